// Package lxctools reads the configuration of containers of the LXC tools (lxc.container.conf(5)) as definitions of
// domains: what libvirt's "domxml-from-native lxc-tools" reads, in the old spelling of keys and in that of LXC 2.1 and
// later, and much of what it refuses.
//
//	def, warnings, err := lxctools.Parse("/var/lib/lxc/web/config", text, lxctools.Options{Files: files})
//
// A file is read in four steps. Its lines become settings (scan), and those of the files that it includes stand in the place
// of lxc.include. Spellings become one (canonical), and what is set again or taken back is left out, as LXC does (effective). Then
// the keys of one table act, in the order of the table ([Keys]): each converts its settings, or says in a warning why not. At
// last the definition is completed with libvirt's defaults, put into canonical form and validated; what is refused then is told
// at the line it comes from.
//
// Where LXC and libvirt differ in what they take for a default, libvirt is followed: 64 MiB of memory, /sbin/init, all
// capabilities but those that are dropped. Whoever relies on that is told so.
package lxctools
