// Package escape is the escape suite: hostile guests and documents against a real davitd, one named case for each way out that
// runc, crun, LXC, libvirt, Docker and their like once left open.
//
// A case attacks from inside domains of each profile, or as a client of the daemon, end to end through the built programs. It
// holds when nothing of the attack succeeded and the host shows no trace: mounts, cgroups, programs, settings of the kernel, a
// tree of canary files and the daemon's own descriptors are as before. A suite that never fails proves nothing, so each case has
// a control wherever that is possible: the same attack where its defence is missing, on an unconfined child in namespaces of its
// own or against a naive helper, must succeed. Where a case cannot have one, the table says why.
//
// Whether davit has what a case is about is asked of a real fact, such as the state of seccomp in a guest's init; a case without
// its feature counts as such, and counts as soon as the feature is there.
//
// make escape runs it with all rounds and prints the table; go test -update writes the table into docs/security.md. An attack
// that would succeed must not hurt the host: it writes back the value that is there, opens devices only to read, and never connects
// to anything that is not the suite's own.
package escape
