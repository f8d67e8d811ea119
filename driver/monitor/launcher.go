package monitor

import (
	"context"
	"os"
	"syscall"

	"github.com/davitd/davit/driver/monitor/consolelog"
	"github.com/davitd/davit/driver/monitor/session"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Launcher makes containers. [Native] does it for real.
type Launcher interface {
	// Launch makes a container and returns when its init runs. The files stay the caller's.
	Launch(plan *monitorv1.Plan, cgroups Cgroups) (Guest, error)
	// Adopt is a container that another process has launched. The files of the orphan are the guest's.
	Adopt(plan *monitorv1.Plan, cgroups Cgroups, o Orphan) Guest
}

// Cgroups are what leads to the domain's cgroups, and to the namespaces that it shares with others.
type Cgroups struct {
	// Cgroup2 is the folder in the cgroup2 tree, or nil.
	Cgroup2 *os.File
	// Tasks are the tasks files of version 1 hierarchies.
	Tasks []*os.File
	// Namespaces are those that the plan shares, in its order. A restart joins the same ones.
	Namespaces []*os.File
	// Held are what the plan has held open, in the order of its names.
	Held []*os.File
	// Files are what consoles are written to beside their log, by their aliases.
	Files map[string]*consolelog.Log
	// Furnish has somebody put into the network namespace what belongs there (launch.Descriptors); nil if nothing does.
	Furnish func(ctx context.Context, netns *os.File) func() error
}

// Guest is one run of a container.
type Guest interface {
	session.Runner
	// PID of init on the host.
	PID() int
	// Pidfd of init.
	Pidfd() *os.File
	// Consoles are the masters of the consoles, in the plan's order.
	Consoles() []*os.File
	// Signal sends a signal to init.
	Signal(signal syscall.Signal) error
	// Revise changes the devices of the container, all of it or nothing. The files are what the new plan has held open, in the
	// order of its names; they stay the caller's. It is called by one at a time, and may be under way when init ends.
	Revise(revise *monitorv1.Revise, held []*os.File) error
	// Wait waits until init ended, reaps it and tells how it ended. It is called once.
	Wait() (*monitorv1.Exit, error)
	// Close lets go of the descriptors.
	Close() error
}
