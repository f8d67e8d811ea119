// Package store keeps what the daemon must know again after it died: definitions and autostart for ever, the state of
// running domains while the host is up.
//
// Definitions are libvirt's domain XML, one file a domain, which people may read, compare, back up, and edit while the
// daemon does not run. [Store.Put] returns once the file and its name are on disk: written beside, synced, renamed
// over the old one, the folder synced. At every instant, also of a power cut, the old or the new definition is there
// and whole; with an error the old one is. A file that cannot be read is renamed and named, and does not keep the
// others from being loaded.
//
// Status records say which run of a domain is on and what was last known of it. They live in the run folder, which is
// gone after a reboot as the domains are, so they are replaced by rename and not synced.
//
// # Places
//
//	LibDir/lock                 held while a daemon runs; holds its pid
//	LibDir/instance             8 hex digits that mark all that this state folder's daemon makes on the host
//	LibDir/domains/UUID.xml     definitions
//	LibDir/autostart/UUID.xml   a link to each definition that starts with the daemon
//	RunDir/lock                 as above
//	RunDir/id                   the last number that a domain got
//	RunDir/autostarted          stands there once autostart is done
//	RunDir/status/UUID.json     status records
//
// Files are 0600 in folders of 0700, the run folder is 0711. All access goes through descriptors of the folders.
// Methods may be called from any goroutine; two calls for one domain are the caller's to order.
package store
