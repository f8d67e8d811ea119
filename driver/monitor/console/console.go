// Package console keeps a container's terminals: what the guest wrote, who reads it and who may write.
//
// A [Console] lives as long as its domain runs. For each run of init it is given the master of a pty ([Console.Attach]),
// which it reads into a [Ring] whether or not somebody listens, so that the guest never waits for a reader; when init ended
// it takes what is left in the pty and lets go ([Console.Detach]). Any number of callers read, each at its own pace, and
// one of them may write ([Console.Open]).
//
// What a console says also goes to its [Log], by the hand that reads the pty, so that it is complete however slow the readers
// are.
package console

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// DefaultScrollback is how much is kept of a console that does not say.
	DefaultScrollback = 64 << 10
	// MaxScrollback is the most that a console may keep.
	MaxScrollback = 16 << 20
)

// Log takes what a console says. None of its methods waits.
type Log interface {
	// Write takes output.
	Write(p []byte)
	// End tells that a run of init is over.
	End()
}

// Console is a terminal of a container over all its restarts. It may be used from any goroutine.
type Console struct {
	alias string
	ring  *Ring
	log   Log
	mark  func(next uint64)

	mu          sync.Mutex
	line        *line
	size        *unix.Winsize
	writer      *Attachment
	attachments map[*Attachment]struct{}
	ended       bool
	lost        bool // the guest's terminal is not ours
}

// silent is the log of a console that has none.
type silent struct{}

func (silent) Write([]byte) {}
func (silent) End()         {}

// New makes a console that keeps that much of its output; 0 is [DefaultScrollback]. The log may be nil.
func New(alias string, scrollback uint32, log Log) (*Console, error) {
	if log == nil {
		log = silent{}
	}
	switch {
	case scrollback == 0:
		scrollback = DefaultScrollback
	case scrollback > MaxScrollback:
		return nil, fmt.Errorf("make console %q: %d bytes of scrollback are over the limit of %d", alias, scrollback,
			MaxScrollback)
	}
	return &Console{
		alias: alias, ring: NewRing(int(scrollback)), log: log, mark: func(uint64) {}, attachments: map[*Attachment]struct{}{},
	}, nil
}

// Mark has a function called with the offset behind each output before that is shown, from the next [Console.Attach] on.
func (c *Console) Mark(mark func(next uint64)) { c.mark = mark }

// Resume has a console that was never attached begin at an offset.
func (c *Console) Resume(offset uint64) { c.ring.Resume(offset) }

// Lose tells that the terminal of the init that runs is not to be had: nobody can open the console until the next is attached.
func (c *Console) Lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = true
}

// Alias is the console's name.
func (c *Console) Alias() string { return c.alias }

// Attach connects the console to the pty of an init that is about to run. The master stays the caller's.
func (c *Console) Attach(master *os.File) error {
	l, err := newLine(master)
	if err != nil {
		return fmt.Errorf("attach console %q: %w", c.alias, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size != nil {
		_ = l.resize(c.size) // the guest starts with the size that the last one had
	}
	c.line, c.lost = l, false
	go l.pump(func(p []byte) {
		_, next := c.ring.Bounds()
		c.mark(next + uint64(len(p)))
		c.ring.Write(p)
		c.log.Write(p)
	})
	return nil
}

// Detach takes what init's run left in its pty, and lets go of that. Readers that do not follow the console over
// restarts end with it.
func (c *Console) Detach() {
	c.mu.Lock()
	l := c.line
	c.line = nil
	c.mu.Unlock()
	if l != nil {
		l.drain()
		c.log.End()
	}
	c.mu.Lock()
	_, end := c.ring.Bounds()
	for a := range c.attachments {
		if !a.follow {
			a.last, a.limit = true, end
		}
	}
	c.mu.Unlock()
	c.ring.Wake()
}

// End tells that nothing will be attached again. What is kept can still be read.
func (c *Console) End() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.ring.Wake()
}

// Options say how a console is opened.
type Options struct {
	// ReadOnly does not write, and takes the console from nobody.
	ReadOnly bool
	// Force takes it from who writes.
	Force bool
	// Follow stays connected over restarts.
	Follow bool
	// Start is where to begin, Offset with the start of that name.
	Start  monitorv1.ConsoleStart
	Offset uint64
}

// Open connects to the console.
func (c *Console) Open(o Options) (*Attachment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return nil, &wire.Error{
			Operation: "open console", Object: c.alias, Kind: monitorv1.ErrorKind_ERROR_KIND_STATE,
			Message: "its terminal was lost with the processes that had it; the next boot of the domain has a new one",
		}
	}
	if !o.ReadOnly && c.writer != nil && !o.Force {
		return nil, &wire.Error{
			Operation: "open console", Object: c.alias, Message: "somebody else writes to it",
			Kind: monitorv1.ErrorKind_ERROR_KIND_BUSY,
		}
	}
	oldest, next := c.ring.Bounds()
	a := &Attachment{console: c, follow: o.Follow, readOnly: o.ReadOnly, gone: make(chan struct{}), offset: next}
	switch o.Start {
	case monitorv1.ConsoleStart_CONSOLE_START_OLDEST:
		a.offset = oldest
	case monitorv1.ConsoleStart_CONSOLE_START_OFFSET:
		a.offset = min(max(o.Offset, oldest), next)
	case monitorv1.ConsoleStart_CONSOLE_START_UNSPECIFIED:
	}
	if !o.ReadOnly {
		if c.writer != nil {
			c.writer.let(true)
		}
		c.writer = a
	}
	c.attachments[a] = struct{}{}
	return a, nil
}
