package fake

import (
	"bytes"
	"context"
	"io"
	"path"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Bounds of a session: what is kept of its output, and for how long after the command; and how much is moved at once.
const (
	sessionBytes = 64 << 10
	sessionTime  = 10 * time.Minute
	chunkBytes   = 16 << 10
)

// session is a command in a container, and its output for who is attached, who misses nothing, or attaches later.
type session struct {
	c       *container
	id      string
	task    *task
	tty     bool
	stdin   bool
	detach  bool
	caller  *execStream // nil if nobody is attached
	unread  int         // bytes that the caller has not read
	total   uint64      // bytes of standard output
	size    int
	first   int // number of the oldest entry that is kept
	entries []driver.StreamOutput
	line    []byte // typed and not yet ended
	done    bool
}

// full tells whether the command has to wait for the caller.
func (s *session) full() bool { return s.caller != nil && s.unread >= sessionBytes }

func (s *session) output(p []byte) {
	if s.tty {
		p = bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))
	}
	for chunk := range slices.Chunk(p, chunkBytes) {
		s.add(driver.StreamOutput{Data: bytes.Clone(chunk), Offset: s.total})
		s.total += uint64(len(chunk))
	}
}

func (s *session) errors(p []byte) {
	if s.tty {
		s.output(p)
		return
	}
	for chunk := range slices.Chunk(p, chunkBytes) {
		s.add(driver.StreamOutput{Stderr: bytes.Clone(chunk)})
	}
}

func (s *session) add(o driver.StreamOutput) {
	s.entries = append(s.entries, o)
	s.size += sizeOf(o)
	s.unread += sizeOf(o)
	s.trim()
	s.c.d.changed.Broadcast()
}

func sizeOf(o driver.StreamOutput) int { return len(o.Data) + len(o.Stderr) }

// trim forgets the oldest output beyond what is kept, and nothing that the caller has yet to read.
func (s *session) trim() {
	for s.size > sessionBytes && len(s.entries) > 1 && (s.caller == nil || s.first < s.caller.next) {
		s.size -= sizeOf(s.entries[0])
		s.entries = s.entries[1:]
		s.first++
	}
}

// attach makes a stream the caller's. It begins with the oldest output that is kept.
func (s *session) attach(x *execStream) {
	s.caller, s.unread = x, s.size
}

// leave lets the caller go; the command waits for nobody then.
func (s *session) leave() {
	s.caller, s.unread = nil, 0
	s.trim()
	s.task.relieve()
}

// ended tells how the command ended, also those who attach later.
func (s *session) ended(x exit) {
	s.add(driver.StreamOutput{Exit: x.proto()})
	s.done = true
	time.AfterFunc(sessionTime, func() {
		s.c.d.mu.Lock()
		defer s.c.d.mu.Unlock()
		delete(s.c.sessions, s.id)
	})
}

// input is what was typed or written to standard input. A terminal echoes, hands over whole lines, and makes a signal of
// ^C and an end of ^D.
func (s *session) input(p []byte) {
	if !s.tty {
		s.task.input(p)
		return
	}
	for _, b := range p {
		switch b {
		case 3:
			s.task.signal(syscall.SIGINT)
		case 4:
			s.task.closeInput()
		default:
			s.typed(b)
		}
	}
}

func (s *session) typed(b byte) {
	if b == '\r' {
		b = '\n'
	}
	s.output([]byte{b})
	if s.line = append(s.line, b); b == '\n' {
		line := s.line
		s.line = nil
		s.task.input(line)
	}
}

// Exec runs a command or attaches to one.
func (i *instance) Exec(ctx context.Context, o driver.ExecOptions) (driver.Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i.lock()
	defer i.unlock()
	if err := i.running("run command"); err != nil {
		return nil, err
	}
	s := i.c.sessions[o.ID]
	switch {
	case o.Attach && s == nil:
		return nil, noObject("attach to command", o.ID, "the domain has no such session")
	case o.Attach && s.caller != nil:
		return nil, busy("attach to command", o.ID, "somebody else is attached to it")
	case o.Attach:
		return i.stream(s), nil
	case s != nil:
		return nil, busy("run command", o.ID, "a session of that name exists")
	case len(o.Argv) == 0:
		return nil, invalid("run command", o.ID, "it has no arguments")
	case i.c.init == nil:
		return nil, stateError("run command", i.c.def.GetName(), "its init is about to be started again")
	}
	name := path.Base(o.Argv[0])
	if absent(o.Argv[0]) || builtin(name) == nil && !isShell(name) {
		return nil, noObject("run command", o.Argv[0], syscall.ENOENT.Error())
	}
	s = &session{c: i.c, id: o.ID, tty: o.TTY, stdin: o.Stdin || o.TTY, detach: o.Detach}
	s.task = i.c.newTask(slices.Clone(o.Argv), append(i.c.environ(), o.Env...))
	s.task.tty, s.task.dir, s.task.eof = o.TTY, o.Cwd, !s.stdin
	s.task.stdout, s.task.stderr, s.task.ended, s.task.full = s.output, s.errors, s.ended, s.full
	i.c.sessions[o.ID] = s
	x := i.stream(s)
	s.task.start()
	return x, nil
}

func (i *instance) stream(s *session) *execStream {
	x := &execStream{
		s: s, next: s.first, epoch: i.c.d.epoch,
		opened: driver.StreamOpened{Name: s.id, PID: s.task.pid, Offset: s.oldest()},
	}
	s.attach(x)
	return x
}

// oldest is the offset of the oldest byte of standard output that is kept.
func (s *session) oldest() uint64 {
	for _, e := range s.entries {
		if e.Data != nil {
			return e.Offset
		}
	}
	return s.total
}

// execStream is who is attached to a session.
type execStream struct {
	s      *session
	opened driver.StreamOpened
	next   int
	epoch  uint64
	closed bool
}

func (x *execStream) Opened() driver.StreamOpened { return x.opened }

func (x *execStream) Receive() (driver.StreamOutput, error) {
	d := x.s.c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		x.next = max(x.next, x.s.first)
		i := x.next - x.s.first
		switch {
		case x.closed || x.epoch != d.epoch:
			return driver.StreamOutput{}, io.EOF
		case i < len(x.s.entries):
			x.next++
			o := x.s.entries[i]
			x.s.unread -= sizeOf(o)
			x.s.task.relieve()
			return o, nil
		case x.s.done:
			if x.s.caller == x {
				x.s.leave()
			}
			return driver.StreamOutput{}, io.EOF
		}
		d.changed.Wait()
	}
}

func (x *execStream) act(op string, f func() error) error {
	d := x.s.c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if x.over() {
		return io.ErrClosedPipe
	}
	if f == nil {
		return invalid(op, x.s.id, "it has no standard input")
	}
	return f()
}

func (x *execStream) Send(p []byte) error {
	if !x.s.stdin {
		return x.act("write to command", nil)
	}
	for chunk := range slices.Chunk(p, chunkBytes) {
		err := x.act("write to command", func() error { return x.write(chunk) })
		if err != nil {
			return err
		}
	}
	return nil
}

// write waits while the command does not read, or while a terminal has nobody who reads what it echoes.
func (x *execStream) write(p []byte) error {
	for len(x.s.task.unread) >= sessionBytes || x.s.tty && x.s.full() {
		if x.over() {
			return io.ErrClosedPipe
		}
		x.s.c.d.changed.Wait()
	}
	x.s.input(p)
	return nil
}

// over tells that nothing can be sent any more.
func (x *execStream) over() bool { return x.closed || x.s.done || x.epoch != x.s.c.d.epoch }

func (x *execStream) CloseSend() error {
	return x.act("end input of command", func() error { x.s.task.closeInput(); return nil })
}

func (x *execStream) Resize(uint16, uint16) error {
	return x.act("resize terminal", func() error { return nil })
}

func (x *execStream) Signal(n int) error {
	return x.act("signal command", func() error { x.s.task.signal(syscall.Signal(n)); return nil })
}

// Close ends the command, unless it was to be kept.
func (x *execStream) Close() error {
	d := x.s.c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if x.closed {
		return nil
	}
	x.closed = true
	if x.s.caller == x {
		if !x.s.detach {
			x.s.task.end(exit{signal: syscall.SIGKILL})
		}
		x.s.leave()
	}
	d.changed.Broadcast()
	return nil
}

func noObject(op, subject, message string) error {
	return &domain.Error{
		Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND,
		Op: op, Subject: subject, Message: message,
	}
}

func invalid(op, subject, message string) error {
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Op: op, Subject: subject, Message: message,
	}
}

func stateError(op, subject, message string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
		Op: op, Subject: subject, Message: message,
	}
}
