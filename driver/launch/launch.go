// Package launch carries out launch plans: it makes a container, runs its init, and runs commands in it.
//
// [Launch] performs a [monitorv1.Plan] in two halves. The parent, on a thread with a mount table of its own, makes every
// filesystem that it can as a detached mount, reachable by a descriptor and by nothing else. Then it clones a child into
// the new namespaces. The child shares the parent's memory, on a stack of its own, and has no Go runtime; it goes through an
// array of system calls that ordinary Go has prepared (an assembler wrote it, and [DescribeSyscalls] prints it): it attaches the mounts,
// each at a place that was resolved without leaving the container's root, makes the filesystems that belong to its
// namespaces, enters the root, gives up what it shall not have, and becomes init. Nothing of ours is executed on the
// way. What is mounted, entered or run is used by the descriptor that looking it up gave, but for the program, which the
// kernel looks up once more when it runs it, in a tree that no process of the container has touched yet.
//
// If any step fails the child says which instruction it was and why; an instruction belongs to an operation of the plan,
// and the caller gets an [*Error] that names it. A launch that failed leaves nothing: all that it made were descriptors,
// and a process that is gone.
//
// [Join] runs a command in a container that runs, with the same means, but by a child that has a copy of its program alone
// and of no other memory: the processes of the container must not find ours through it. For the same reason a process that uses this package is
// not to be looked into (PR_SET_DUMPABLE 0), which a launch makes it if it is not yet.
package launch

import (
	"context"
	"os"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Descriptors lead to the cgroups and to the namespaces of others that a process is to be in.
type Descriptors struct {
	// Cgroup2 is the folder of a cgroup in the cgroup2 tree: the process is made in it. May be nil.
	Cgroup2 *os.File
	// Tasks are the tasks files, open for writing, of cgroups in version 1 hierarchies.
	Tasks []*os.File
	// Namespaces are those that the plan shares, in its order; of no meaning for a command, which enters those of init.
	Namespaces []*os.File
	// Held are what the plan has held open, in the order of its names; of no meaning for a command.
	Held []*os.File
	// Furnish, which may be nil, is called with the network namespace of a container that is being made: as the launch begins, where
	// it was made ahead, else when the child begins to make its filesystems; with nil, if the container has none of its own. Where what
	// was made ahead cannot be used after all that is called off, and it is called with another. It asks others, without waiting for
	// them: what it gives does that, is always called, and when it returns the file is closed. What is put there by then is there when
	// init runs; its error ends the launch. When ctx ends, so did the launch.
	Furnish func(ctx context.Context, netns *os.File) (wait func() error)
	// Ahead, which may be nil, are namespaces for the container, if it can have them. The launch uses them up, however it goes.
	Ahead *Ahead
}

// Launch makes a container and returns when its init runs. The descriptors remain the caller's, but for what was made ahead.
// If it fails, nothing is left; the error is an [*Error].
func Launch(plan *monitorv1.Plan, d Descriptors) (*Guest, error) {
	return launch(plan, d, faults{})
}

// faults make a launch fail on purpose, for tests.
type faults struct {
	// operation fails the preparation of an operation, by index.
	operation func(index int) error
	// program may change a program before it runs.
	program func(a *assembler)
}

func launch(plan *monitorv1.Plan, d Descriptors, f faults) (*Guest, error) {
	defer d.Ahead.Close()
	if err := Check(plan); err != nil {
		return nil, err
	}
	if err := checkSharedFiles(plan, d); err != nil {
		return nil, err
	}
	if err := checkHeldFiles(plan, d.Held); err != nil {
		return nil, err
	}
	guest, err := onThread(func() (*Guest, error) {
		if err := leaveHost(); err != nil {
			return nil, failed(step{operation: "leave host"}, err)
		}
		l := &launcher{plan: plan, descriptors: d, faults: f}
		return l.launch()
	})
	if err != nil {
		return nil, err
	}
	return guest, nil
}
