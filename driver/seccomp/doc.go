// Package seccomp makes the system-call filters of domains: a [Profile], which says by name what calls a process may make and
// how any other is answered, becomes a [Program] of classic BPF that the kernel takes as it is. It is davitd's side alone: the
// program's bytes travel in the plan, and the domain's first process only loads them.
//
// It promises:
//
//   - Nothing is "no filter". A profile without a default action, one that refuses nothing, an empty document and a missing file are errors.
//   - The architecture is looked at first. A call by another than the profile's ends the process; x86-64's numbers with the x32
//     bit are unknown numbers.
//   - A number that no table has is answered as the profile says, in the built-in ones with ENOSYS, so that a program on a newer
//     kernel does what it would do on an older one. Calls that are known and not permitted fail with EPERM, but for those that
//     programs take for absent: clone3, io_uring, the kernel's keys.
//   - Every known call is decided: the groups of [Groups] hold each exactly once, and a test fails for a new one in the tables.
//   - Arguments are compared as the kernel takes them: where it reads 32 bits, the upper ones do not hide anything.
//   - A program is a balanced tree over ranges of numbers, at most [MostInstructions] long; each profile is compiled once.
//   - Docker's and OCI's profiles are read as their runtimes read them, or refused with the place; nothing in them is passed over in silence.
//
// It needs no libseccomp and no cgo.
package seccomp
