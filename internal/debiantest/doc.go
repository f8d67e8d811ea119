// Package debiantest boots a Debian with systemd as a domain and lives in it: make test-debian.
//
// A small server is made by debootstrap, once, and kept in the folder that DAVIT_TEST_DEBIAN names. It is booted under the profile
// "system" with a user namespace, once from its folder and once below an overlay whose changes are dropped, by a davitd of its
// own in a network namespace of its own. What an administrator would do is done with davit's command line: wait until it is up,
// look at its units, log in on its console, reboot it, shut it down. A failed unit of it is a failed test: docs/security.md
// promises that there is none.
//
// It needs root, debootstrap, and a mirror of Debian the first time. The mirror is debootstrap's own choice, or
// DAVIT_TEST_MIRROR.
package debiantest
