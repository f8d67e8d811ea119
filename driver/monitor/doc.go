// Package monitor is the process that a running domain has beside it: the parent of its init, and the owner of all that
// must outlive davitd.
//
// A monitor is started by the keeper with the domain's state folder, in which it listens ([Run]). It is told once to make
// the container, by a plan; from then on it waits for init, tells how it ended, starts it again by the domain's policy,
// slowed down if that happens in a loop, reads the consoles whether or not somebody listens, and runs commands in the
// container. None of that needs davitd, which may be away for days: what happened meanwhile is kept as numbered events
// until they are acknowledged.
//
// It never touches cgroups, links or files of the host, and knows of its domain no more than the plan. Signals do not end
// it: it goes when it is told to (Quit), once its container is gone.
//
// The parts are packages of their own: policy decides what follows when init ends, journal keeps the events, console the
// terminals, session the commands; wire is the protocol and client the other end of it; keeper is the process above all
// monitors.
package monitor
