package launch

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/davitd/davit/devices"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Exit is how a process ended: by itself, with a code, or by a signal.
type Exit struct {
	// Code that it exited with.
	Code int
	// Signal that killed it; 0 if none did.
	Signal syscall.Signal
}

// String is "exit code 3" or "signal 9 (killed)".
func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("signal %d (%v)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// ToProto is the exit as it travels, without its time.
func (e Exit) ToProto() *monitorv1.Exit {
	if e.Signal != 0 {
		return &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(e.Signal)}}
	}
	return &monitorv1.Exit{How: &monitorv1.Exit_Code{Code: uint32(e.Code)}}
}

// A Guest is a container whose init runs, or ran.
type Guest struct {
	// PID of init on the host. It is init's until [Guest.Wait] has returned.
	PID int
	// Pidfd of init.
	Pidfd *os.File
	// Consoles are the masters of the consoles, in the plan's order. Reads wait without holding a thread. When init has
	// ended and Wait has seen it, a master gives what was written to it and then EIO.
	Consoles []*os.File

	plan  *monitorv1.Plan
	child *child
	// changing is held by whoever changes what is live.
	changing sync.Mutex
	noting   sync.Mutex // of live
	live     *live      // nil of a container that was adopted and never changed
	devpts   *os.File   // nil of one that was adopted or has none
	// slaves are held so that a console that nobody has open is not at its end.
	slaves  []*os.File
	release sync.Once
}

func newGuest(plan *monitorv1.Plan, c *child, live *live, terminals []*devices.Terminal, devpts *os.File) *Guest {
	g := &Guest{PID: c.pid, Pidfd: c.pidfd, plan: plan, child: c, live: live, devpts: devpts}
	for _, t := range terminals {
		g.Consoles = append(g.Consoles, t.Master)
		g.slaves = append(g.slaves, t.Slave)
	}
	return g
}

// Wait waits until init has ended, reaps it and tells how. The kernel has killed every other process of the container
// by then. It is called once.
func (g *Guest) Wait() (Exit, error) {
	exit, err := g.child.wait()
	if err != nil {
		return Exit{}, fmt.Errorf("wait for init: %w", err)
	}
	g.hangUp()
	return exit, nil
}

// hangUp closes the programs' sides of the consoles.
func (g *Guest) hangUp() {
	g.release.Do(func() { closeAll(g.slaves) })
}

// Signal sends a signal to init, and to nothing else whose number it may have been.
func (g *Guest) Signal(s syscall.Signal) error {
	if err := g.child.signal(s); err != nil {
		return fmt.Errorf("signal init: %w", err)
	}
	return nil
}

// OpenTerminal opens a terminal of the container for a command that is to have one: see [Stdio].
func (g *Guest) OpenTerminal(rows, columns uint16) (*devices.Terminal, error) {
	who, err := ownerOf(g.plan)
	if err != nil {
		return nil, err
	}
	var devpts *os.File
	if g.devpts != nil {
		if devpts, err = duplicate(g.devpts); err != nil { // the guest may be closed meanwhile
			return nil, notHeld(err)
		}
	} else if devpts, err = g.findDevpts(); err != nil {
		return nil, &Error{Operation: "open terminal", Message: "the container has no /dev/pts"}
	}
	defer func() { _ = devpts.Close() }()
	terminal, err := devices.OpenTerminal(devpts, who.uid)
	if err != nil {
		return nil, failed(step{operation: "open terminal"}, err)
	}
	if rows > 0 && columns > 0 {
		if err := terminal.Resize(rows, columns); err != nil {
			_ = terminal.Close()
			return nil, failed(step{operation: "open terminal"}, err)
		}
	}
	return terminal, nil
}

// Close lets go of the container's descriptors. It does not end the container: that is done by a signal, and by Wait.
func (g *Guest) Close() error {
	g.hangUp()
	err := g.Pidfd.Close()
	if g.devpts != nil {
		err = errors.Join(err, g.devpts.Close())
	}
	g.noted().close()
	for _, c := range g.Consoles {
		err = errors.Join(err, c.Close())
	}
	return err
}
