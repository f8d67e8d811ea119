package engine

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Session is a connection to a console or command. It ends with the engine.
type Session struct {
	driver.Stream
	owner *sessions
}

// sessions are those that are open.
type sessions struct {
	mu     sync.Mutex
	closed bool
	open   map[*Session]struct{}
	left   chan struct{} // closed, and another put in its place, when one is let go
}

// A caller that cancels its call is gone for itself before the daemon hears of it, and the daemon's own connection before
// the monitor does; it may come again at once. So what somebody has is waited for a moment: the departure of a session is
// told at once, what only the driver sees is asked for again.
const (
	leaving  = time.Second
	askAgain = 10 * time.Millisecond
)

// OpenConsole connects to a console of an active domain.
func (e *Engine) OpenConsole(ctx context.Context, q *davitv1.ConsoleOpen) (*Session, error) {
	instance, _, err := e.reach(ctx, q.GetDomain(), "open console of")
	if err != nil {
		return nil, err
	}
	options := driver.ConsoleOptions{
		Alias: q.GetDevice(), Force: q.GetForce(), ReadOnly: q.GetReadOnly(), Follow: q.GetFollow(),
	}
	switch start := q.GetStart().(type) {
	case *davitv1.ConsoleOpen_Offset:
		options.Offset = &start.Offset
	case *davitv1.ConsoleOpen_Scrollback:
		options.Scrollback = start.Scrollback
	}
	return e.sessions.await(ctx, func() (driver.Stream, error) { return instance.OpenConsole(ctx, options) })
}

// await opens a session, and waits a moment for one who has it and is leaving.
func (t *sessions) await(ctx context.Context, open func() (driver.Stream, error)) (*Session, error) {
	patience := time.NewTimer(leaving)
	defer patience.Stop()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		left := t.departure()
		session, err := t.add(open())
		if e, ok := errors.AsType[*domain.Error](err); !ok || e.Reason != davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY {
			return session, err
		}
		select {
		case <-left:
		case <-again.C:
		case <-patience.C:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Exec runs a command in an active domain.
func (e *Engine) Exec(ctx context.Context, q *davitv1.ExecStart) (*Session, error) {
	options, err := execOptions(q)
	if err != nil {
		return nil, err
	}
	instance, s, err := e.reach(ctx, q.GetDomain(), "run command in")
	if err != nil {
		return nil, err
	}
	if s.State == davitv1.DomainState_DOMAIN_STATE_PAUSED {
		return nil, wrongState(s, "run command in", "domain is paused")
	}
	options.ID = domain.NewUUID()
	return e.sessions.add(instance.Exec(ctx, options))
}

// AttachExec connects to a command that was started before.
func (e *Engine) AttachExec(ctx context.Context, q *davitv1.ExecAttach) (*Session, error) {
	if q.GetExecId() == "" {
		return nil, invalid("attach.exec_id", "name the command")
	}
	instance, _, err := e.reach(ctx, q.GetDomain(), "attach to command in")
	if err != nil {
		return nil, err
	}
	options := driver.ExecOptions{ID: q.GetExecId(), Attach: true}
	return e.sessions.await(ctx, func() (driver.Stream, error) { return instance.Exec(ctx, options) })
}

// maxArguments is how much argv and environment of a command may be, together; Linux's own limit depends on the stack.
const maxArguments = 128 << 10

// execOptions checks a command.
func execOptions(q *davitv1.ExecStart) (driver.ExecOptions, error) {
	var none driver.ExecOptions
	if len(q.GetArgv()) == 0 || q.GetArgv()[0] == "" {
		return none, invalid("start.argv", "name a command")
	}
	total := 0
	for _, text := range q.GetArgv() {
		total += len(text) + 1
		if strings.ContainsRune(text, 0) {
			return none, invalid("start.argv", "%q holds a NUL", text)
		}
	}
	for _, text := range q.GetEnv() {
		total += len(text) + 1
		if name, _, ok := strings.Cut(text, "="); !ok || name == "" || strings.ContainsRune(text, 0) {
			return none, invalid("start.env", "%q is not NAME=VALUE", text)
		}
	}
	if total > maxArguments {
		return none, invalid("start.argv", "with the environment %d bytes, the limit is %d", total, maxArguments)
	}
	if q.GetCwd() != "" && !strings.HasPrefix(q.GetCwd(), "/") {
		return none, invalid("start.cwd", "%q is not absolute", q.GetCwd())
	}
	options := driver.ExecOptions{
		Argv: q.GetArgv(), Env: q.GetEnv(), Cwd: q.GetCwd(), User: q.GetUser(), TTY: q.GetTty(),
		Detach: q.GetDetach(), Stdin: q.GetStdin(),
	}
	if q.GetSize() != nil {
		rows, columns, err := TerminalSize("start.size", q.GetSize())
		if err != nil {
			return none, err
		}
		options.Rows, options.Columns = rows, columns
	}
	return options, nil
}

// TerminalSize checks the size of a terminal.
func TerminalSize(field string, size *davitv1.TerminalSize) (rows, columns uint16, err error) {
	for _, n := range []uint32{size.GetRows(), size.GetColumns()} {
		if n < 1 || n > math.MaxUint16 {
			return 0, 0, invalid(field, "%d by %d, each must be 1 to %d", size.GetRows(), size.GetColumns(), math.MaxUint16)
		}
	}
	return uint16(size.GetRows()), uint16(size.GetColumns()), nil
}

// add makes a session of a stream.
func (t *sessions) add(stream driver.Stream, err error) (*Session, error) {
	if err != nil {
		return nil, err
	}
	s := &Session{Stream: stream, owner: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errors.Join(shuttingDown(), stream.Close())
	}
	if t.open == nil {
		t.open = map[*Session]struct{}{}
	}
	t.open[s] = struct{}{}
	return s, nil
}

// departure is closed when the next session is let go.
func (t *sessions) departure() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left == nil {
		t.left = make(chan struct{})
	}
	return t.left
}

// depart tells those who wait that a session was let go.
func (t *sessions) depart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left != nil {
		close(t.left)
		t.left = nil
	}
}

// close ends all, and those that come.
func (t *sessions) close() {
	t.mu.Lock()
	t.closed = true
	open := t.open
	t.open = nil
	t.mu.Unlock()
	for s := range open {
		_ = s.Stream.Close() // nobody is left who could act on it
	}
}

// closing tells whether the engine ended the sessions.
func (t *sessions) closing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// Receive waits for output. After the last it returns [io.EOF]; if the engine closes, an error with reason SHUTTING_DOWN.
func (s *Session) Receive() (driver.StreamOutput, error) {
	out, err := s.Stream.Receive()
	if err != nil && s.owner.closing() {
		return out, shuttingDown()
	}
	return out, err
}

// Close lets go.
func (s *Session) Close() error {
	s.owner.mu.Lock()
	delete(s.owner.open, s)
	s.owner.mu.Unlock()
	defer s.owner.depart()
	return s.Stream.Close()
}
