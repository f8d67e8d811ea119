package monitor

import (
	"os"
	"sync/atomic"
	"syscall"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/driver/monitor/session"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Native makes real containers, by package launch.
type Native struct {
	// ahead are namespaces for the first of them; nil if there are none any more.
	ahead atomic.Pointer[launch.Ahead]
}

// MakeAhead makes namespaces before there is a plan. The first container has them, if it is one that can; no other has.
func (n *Native) MakeAhead() error {
	made, err := launch.MakeAhead()
	if err != nil {
		return err
	}
	n.ahead.Swap(made).Close()
	return nil
}

// Launch makes a container.
func (n *Native) Launch(plan *monitorv1.Plan, cgroups Cgroups) (Guest, error) {
	descriptors := descriptorsOf(cgroups)
	first := descriptors
	first.Ahead = n.ahead.Swap(nil)
	guest, err := launch.Launch(plan, first)
	if err != nil {
		return nil, err
	}
	return &nativeGuest{guest: guest, target: guest.Target(descriptors)}, nil
}

// Adopt is a container that another process has launched.
func (n *Native) Adopt(plan *monitorv1.Plan, cgroups Cgroups, o Orphan) Guest {
	n.ahead.Swap(nil).Close()
	guest := launch.Adopt(plan, o.InitPID, o.Pidfd, o.Consoles)
	return &nativeGuest{guest: guest, target: guest.Target(descriptorsOf(cgroups)), await: o.Await}
}

// descriptorsOf are the cgroups and the rest as launch has them.
func descriptorsOf(cgroups Cgroups) launch.Descriptors {
	return launch.Descriptors{
		Cgroup2: cgroups.Cgroup2, Tasks: cgroups.Tasks, Namespaces: cgroups.Namespaces, Held: cgroups.Held,
		Furnish: cgroups.Furnish,
	}
}

// nativeGuest is a container that launch made.
type nativeGuest struct {
	guest  *launch.Guest
	target launch.Target
	await  func() *monitorv1.Exit // nil if it is a child of ours
}

func (g *nativeGuest) PID() int                        { return g.guest.PID }
func (g *nativeGuest) Pidfd() *os.File                 { return g.guest.Pidfd }
func (g *nativeGuest) Consoles() []*os.File            { return g.guest.Consoles }
func (g *nativeGuest) Signal(sig syscall.Signal) error { return g.guest.Signal(sig) }
func (g *nativeGuest) Close() error                    { return g.guest.Close() }

// Revise changes the devices of the container.
func (g *nativeGuest) Revise(revise *monitorv1.Revise, held []*os.File) error {
	return g.guest.Revise(revise, held)
}

func (g *nativeGuest) Wait() (*monitorv1.Exit, error) {
	if g.await != nil {
		return g.await(), nil
	}
	exit, err := g.guest.Wait()
	if err != nil {
		return nil, err
	}
	return exit.ToProto(), nil
}

// Run runs a command in the container.
func (g *nativeGuest) Run(process *monitorv1.Process, stdio session.Stdio) (session.Command, error) {
	own := launch.Stdio{Stdin: stdio.Stdin, Stdout: stdio.Stdout, Stderr: stdio.Stderr}
	var master *os.File
	if stdio.TTY {
		terminal, err := g.guest.OpenTerminal(stdio.Rows, stdio.Columns)
		if err != nil {
			return nil, err
		}
		// The command has the slave from then on; ours would keep the terminal from its end.
		defer func() { _ = terminal.Slave.Close() }()
		own.TTY, master = terminal.Slave, terminal.Master
	}
	command, err := launch.Join(g.target, process, own)
	if err != nil {
		if master != nil {
			_ = master.Close()
		}
		return nil, err
	}
	return &nativeCommand{process: command, terminal: master}, nil
}

// nativeCommand is a command that launch runs.
type nativeCommand struct {
	process  *launch.Process
	terminal *os.File
}

func (c *nativeCommand) PID() int                        { return c.process.PID }
func (c *nativeCommand) Terminal() *os.File              { return c.terminal }
func (c *nativeCommand) Signal(sig syscall.Signal) error { return c.process.Signal(sig) }
func (c *nativeCommand) Close() error                    { return c.process.Close() }

func (c *nativeCommand) Wait() (*monitorv1.Exit, error) {
	exit, err := c.process.Wait()
	if err != nil {
		return nil, err
	}
	return exit.ToProto(), nil
}
