package keeper

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/program"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// maxSpares is how many monitors wait for a domain. Each holds about a megabyte.
	maxSpares = 3
	// lull is how long no monitor must have been asked for before a spare is made: making one takes the processor, which
	// a start that is under way needs more.
	lull = 100 * time.Millisecond
	// assignTimeout is how long a spare may take to be told its domain; the message fits the socket's buffer.
	assignTimeout = time.Second
	// These two are the arguments of a spare, for who looks at the list of processes. The UUIDs of its domain and start are
	// written over them, and are as long.
	sparePlace = "spare monitor, not of any domain yet"
	spareNote  = "(its arguments are overwritten then)"
	// uuidBytes is how long a UUID is.
	uuidBytes = len("00000000-0000-0000-0000-000000000000")
)

// Spare tells whether the arguments of a monitor are those of a spare.
func Spare(args []string) bool {
	return len(args) == 2 && args[0] == sparePlace && args[1] == spareNote
}

// spare is a monitor that runs and has no domain yet.
type spare struct {
	process *program.Process
	channel *wire.Conn
}

// nursery has the spares. To start a program takes several times longer than all else that a start of a domain does, so
// it is done ahead. All of them run the program that was asked for last: after an upgrade of davitd those of the old one go.
// The family's lock guards it.
type nursery struct {
	folder  *os.File // where the keeper listens
	program *os.File // nil until a monitor was asked for
	spares  []*spare
	timer   *time.Timer // nil while nothing is to be made
	closed  bool
}

// assign gives a spare of that program the domain of a spawn. It gives nil if there is none.
func (f *family) assign(s spawn) *program.Process {
	n := &f.nursery
	f.renew(s.program)
	for len(n.spares) > 0 && len(s.uuid) == uuidBytes && len(s.generation) == uuidBytes {
		chosen := n.spares[0]
		n.spares = n.spares[1:]
		if err := chosen.assign(s); err != nil {
			f.log.Write(logline.Warn, "spare monitor failed", logline.Int("pid", chosen.process.PID), logline.Err(err))
			chosen.dismiss()
			continue
		}
		return chosen.process
	}
	return nil
}

// assign tells a spare its domain.
func (c *spare) assign(s spawn) error {
	if err := c.channel.SetWriteDeadline(time.Now().Add(assignTimeout)); err != nil {
		return err
	}
	message := &monitorv1.Assign{
		Uuid: s.uuid, Generation: s.generation, Descriptors: []monitorv1.DescriptorKind{
			monitorv1.DescriptorKind_DESCRIPTOR_KIND_FOLDER, monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOG,
		},
	}
	files := []*os.File{s.folder, s.log}
	if s.connection != nil {
		message.Descriptors = append(message.Descriptors, monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONNECTION)
		files = append(files, s.connection)
	}
	err := c.channel.Send(message, files...)
	if err == nil {
		_ = c.channel.Close()
	}
	return err
}

// dismiss ends a spare. It is reaped like any child.
func (c *spare) dismiss() {
	_ = c.process.Kill()
	_ = c.channel.Close()
	c.process.Abandon()
}

// renew sees to it that spares of a program will be there for the next spawn.
func (f *family) renew(of *os.File) {
	n := &f.nursery
	if n.closed {
		return
	}
	if n.program == nil || !same(n.program, of) {
		f.dismissAll()
		own, err := wire.Duplicate(of)
		if err != nil {
			f.log.Write(logline.Warn, "no spare monitors can be made", logline.Err(err))
			return
		}
		n.program = own
	}
	if n.timer == nil {
		n.timer = time.AfterFunc(lull, f.refill)
	} else {
		n.timer.Reset(lull)
	}
}

// refill makes one spare, and sees to the next.
func (f *family) refill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &f.nursery
	if n.closed || n.program == nil || len(n.spares) >= maxSpares {
		return
	}
	made, err := f.raise()
	if err != nil {
		// The next spawn starts its monitor itself, and tells its caller if that does not work either.
		f.log.Write(logline.Warn, "making spare monitor failed", logline.Err(err))
		return
	}
	n.spares = append(n.spares, made)
	n.timer.Reset(lull)
}

// raise starts a spare.
func (f *family) raise() (*spare, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket pair: %w", err)
	}
	its := os.NewFile(uintptr(pair[1]), "channel")
	defer func() { _ = its.Close() }()
	channel, err := wire.NewConn(pair[0])
	if err != nil {
		return nil, err
	}
	process, err := program.Start(program.Options{
		Program: f.nursery.program, Argv: []string{"davit-monitor", sparePlace, spareNote},
		Files: []*os.File{its, f.nursery.folder}, Log: os.Stderr,
	})
	if err != nil {
		return nil, errors.Join(err, channel.Close())
	}
	return &spare{process: process, channel: channel}, nil
}

// lost takes a dead child out of the spares, if it is one, and tells whether it was.
func (f *family) lost(pid int) bool {
	n := &f.nursery
	for i, c := range n.spares {
		if c.process.PID == pid {
			n.spares = append(n.spares[:i], n.spares[i+1:]...)
			c.dismiss()
			return true
		}
	}
	return false
}

// dismissAll ends the spares.
func (f *family) dismissAll() {
	for _, c := range f.nursery.spares {
		c.dismiss()
	}
	f.nursery.spares = nil
	if f.nursery.program != nil {
		_ = f.nursery.program.Close()
		f.nursery.program = nil
	}
}

// close ends the spares for good.
func (f *family) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nursery.closed = true
	if f.nursery.timer != nil {
		f.nursery.timer.Stop()
	}
	f.dismissAll()
}

// same tells whether two descriptors are of one file.
func same(a, b *os.File) bool {
	one, err := a.Stat()
	if err != nil {
		return false
	}
	other, err := b.Stat()
	return err == nil && os.SameFile(one, other)
}
