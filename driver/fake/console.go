package fake

import (
	"bytes"
	"context"
	"io"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// console is a terminal: it echoes what is typed, takes "\r" for "\n" (ICRNL) and ends lines with "\r\n".
type console struct {
	c      *container
	alias  string
	ring   ring
	task   *task          // reads from it, nil while none does
	writer *consoleStream // may write to it
	boots  uint64
	up     bool
}

func newConsole(c *container, alias string) *console {
	return &console{c: c, alias: alias, ring: ring{limit: c.d.opts.Scrollback}}
}

func (con *console) boot() { con.boots, con.up, con.task = con.boots+1, true, nil }

func (con *console) halt() { con.up, con.task = false, nil }

func (con *console) output(p []byte) {
	con.c.book.write(con.alias, p)
	con.ring.write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	con.c.d.changed.Broadcast()
}

func (con *console) input(p []byte) {
	p = bytes.ReplaceAll(p, []byte("\r"), []byte("\n"))
	con.output(p)
	if con.task != nil {
		con.task.input(p)
	}
}

func (c *container) console(alias string) *console {
	if alias == "" {
		return c.consoles[0]
	}
	i := slices.IndexFunc(c.consoles, func(con *console) bool { return con.alias == alias })
	if i < 0 {
		return nil
	}
	return c.consoles[i]
}

// OpenConsole connects to a console.
func (i *instance) OpenConsole(ctx context.Context, o driver.ConsoleOptions) (driver.Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i.lock()
	defer i.unlock()
	con := i.c.console(o.Alias)
	if con == nil {
		return nil, noObject("open console", o.Alias, "the domain has no such console")
	}
	if err := i.running("open console"); err != nil {
		return nil, err
	}
	if !o.ReadOnly && con.writer != nil && !o.Force {
		return nil, busy("open console", con.alias, "somebody else is connected to it; force takes it")
	}
	s := &consoleStream{con: con, boot: con.boots, epoch: i.c.d.epoch, follow: o.Follow, readOnly: o.ReadOnly}
	switch {
	case o.Offset != nil:
		_, s.offset = con.ring.from(*o.Offset)
	case o.Scrollback:
		s.offset = con.ring.start
	default:
		s.offset = con.ring.end()
	}
	s.opened = driver.StreamOpened{Name: con.alias, Offset: s.offset}
	if !o.ReadOnly {
		if con.writer != nil {
			con.writer.taken = true
		}
		con.writer = s
	}
	i.c.d.changed.Broadcast()
	return s, nil
}

// consoleStream is a reader of a console, and its writer if it has it.
type consoleStream struct {
	con      *console
	opened   driver.StreamOpened
	offset   uint64
	boot     uint64
	epoch    uint64
	follow   bool
	readOnly bool
	taken    bool
	over     bool
}

func (s *consoleStream) Opened() driver.StreamOpened { return s.opened }

func (s *consoleStream) Receive() (driver.StreamOutput, error) {
	d := s.con.c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if s.over || s.epoch != d.epoch {
			return driver.StreamOutput{}, io.EOF
		}
		if p, at := s.con.ring.from(s.offset); len(p) > 0 {
			s.offset = at + uint64(len(p))
			return driver.StreamOutput{Data: p, Offset: at}, nil
		}
		if s.taken {
			s.over = true
			return driver.StreamOutput{Taken: true}, nil
		}
		ended := !s.con.up || s.con.boots != s.boot
		if s.con.c.stopped || ended && !s.follow {
			s.release()
			return driver.StreamOutput{}, io.EOF
		}
		d.changed.Wait()
	}
}

func (s *consoleStream) Send(p []byte) error {
	d := s.con.c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case s.over || s.taken || s.con.c.stopped || s.epoch != d.epoch:
		return io.ErrClosedPipe
	case s.readOnly:
		return &domain.Error{
			Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
			Op: "write to console", Subject: s.con.alias, Message: "it was opened read-only",
		}
	}
	s.con.input(p)
	return nil
}

// CloseSend has no meaning on a terminal.
func (s *consoleStream) CloseSend() error { return nil }

func (s *consoleStream) Resize(uint16, uint16) error { return nil }

func (s *consoleStream) Signal(int) error {
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Op: "signal console", Subject: s.con.alias, Message: "a console has no command",
	}
}

func (s *consoleStream) Close() error {
	d := s.con.c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	s.release()
	d.changed.Broadcast()
	return nil
}

func (s *consoleStream) release() {
	s.over = true
	if s.con.writer == s {
		s.con.writer = nil
	}
}
