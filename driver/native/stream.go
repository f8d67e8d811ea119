package native

import (
	"context"
	"errors"
	"io"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// OpenConsole connects to a console.
func (i *instance) OpenConsole(ctx context.Context, o driver.ConsoleOptions) (driver.Stream, error) {
	const op = "open console"
	if _, err := i.running(ctx, op); err != nil {
		return nil, err
	}
	open := &monitorv1.OpenConsole{Alias: o.Alias, Force: o.Force, ReadOnly: o.ReadOnly, Follow: o.Follow}
	switch {
	case o.Offset != nil:
		open.Start, open.Offset = monitorv1.ConsoleStart_CONSOLE_START_OFFSET, *o.Offset
	case o.Scrollback:
		open.Start = monitorv1.ConsoleStart_CONSOLE_START_OLDEST
	}
	s, err := i.monitor.OpenConsole(ctx, open)
	if err != nil {
		return nil, i.refused(op, err)
	}
	return i.stream(s, o.ReadOnly), nil
}

// Exec runs a command in the domain, with the capabilities and limits of its init.
func (i *instance) Exec(ctx context.Context, o driver.ExecOptions) (driver.Stream, error) {
	const op = "run command"
	if !o.Attach && len(o.Argv) == 0 {
		return nil, &domain.Error{
			Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
			Op: op, Subject: i.spec.Definition.GetName(), Message: "the command has no arguments",
		}
	}
	s, err := i.exchange(ctx, op, o)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return i.execSlowly(ctx, op, o)
	}
	return s, nil
}

// execSlowly runs a command after it was found out whether the container runs, and what its init has.
func (i *instance) execSlowly(ctx context.Context, op string, o driver.ExecOptions) (driver.Stream, error) {
	if _, err := i.running(ctx, op); err != nil {
		return nil, err
	}
	x := execOf(o)
	if !o.Attach {
		var err error
		if x.Process, err = i.command(ctx, op, o); err != nil {
			return nil, err
		}
	}
	var s *client.Stream
	err := i.d.step("run command", func() (err error) { s, err = i.monitor.Exec(ctx, x); return err })
	if err != nil {
		return nil, i.refused(op, err)
	}
	return i.stream(s, false), nil
}

// exchange runs a command by one exchange with a monitor that knows what a command beside init has. Both are nil where nothing was
// done because the monitor could not be reached, or says that no container runs: it may have been replaced, or is about to adopt.
func (i *instance) exchange(ctx context.Context, op string, o driver.ExecOptions) (*stream, error) {
	if o.Attach || i.isEnded() || i.isReleased() || i.group == nil || i.isLost() || i.monitor == nil || !i.monitor.KnowsBeside() || i.d.hooks.older {
		return nil, nil
	}
	x := execOf(o)
	x.Beside, x.Process = true, ownOf(o)
	var s *client.Stream
	err := i.d.step("run command", func() (err error) { s, err = i.monitor.Exec(ctx, x); return err })
	told, ok := errors.AsType[*client.Error](err)
	switch {
	case err == nil:
		return i.stream(s, false), nil
	case errors.Is(err, client.ErrNotAsked) && ctx.Err() == nil, ok && told.Kind == monitorv1.ErrorKind_ERROR_KIND_STATE:
		return nil, nil
	}
	return nil, i.refused(op, err)
}

// execOf is what a monitor is asked, without the command.
func execOf(o driver.ExecOptions) *monitorv1.Exec {
	return &monitorv1.Exec{
		Id: o.ID, Tty: o.TTY, Rows: uint32(o.Rows), Columns: uint32(o.Columns), Detach: o.Detach, Stdin: o.Stdin || o.TTY,
	}
}

// command is a process beside init: it has what init has, and its own variables after those. That is asked of the monitor, so that
// it is what init was given, whatever became of filters of the host since; a monitor of an older davit does not know.
func (i *instance) command(ctx context.Context, op string, o driver.ExecOptions) (*monitorv1.Process, error) {
	var plan *monitorv1.Plan
	err := i.d.step("ask for the plan", func() (err error) { plan, err = i.monitor.Plan(ctx); return err })
	told, ok := errors.AsType[*client.Error](err)
	p := plan.GetInit()
	switch {
	case err == nil:
	case ok && told.Kind == monitorv1.ErrorKind_ERROR_KIND_INVALID:
		def := i.spec.Definition
		facts := i.d.facts.withFilter(def, i.d.opts.SeccompDir)
		if err = hostLacks(op, def.GetName(), unconfined(def, facts)...); err != nil {
			return nil, err
		}
		p = initProcess(def, facts)
	default:
		return nil, i.refused(op, err)
	}
	return wire.Beside(p, ownOf(o)), nil
}

// ownOf is what a command has of its own.
func ownOf(o driver.ExecOptions) *monitorv1.Process {
	p := &monitorv1.Process{Argv: o.Argv, Cwd: o.Cwd, Env: o.Env}
	p.User, p.Group = userAndGroup(o.User)
	return p
}

func (i *instance) stream(s *client.Stream, readOnly bool) *stream {
	x := &stream{Stream: s, i: i, readOnly: readOnly}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.streams == nil {
		i.streams = make(map[*stream]bool)
	}
	i.streams[x] = true
	return x
}

// stream is a monitor's stream in the words of the contract.
type stream struct {
	*client.Stream
	i        *instance
	readOnly bool
}

func (s *stream) Opened() driver.StreamOpened {
	o := s.Stream.Opened()
	return driver.StreamOpened{Name: o.GetName(), PID: o.GetPid(), Offset: o.GetOffset()}
}

func (s *stream) Receive() (driver.StreamOutput, error) {
	for {
		o, err := s.Stream.Receive()
		if err != nil {
			return driver.StreamOutput{}, s.end(err)
		}
		switch {
		case o.GetData() != nil:
			return driver.StreamOutput{Data: o.GetData().GetData(), Offset: o.GetData().GetOffset()}, nil
		case len(o.GetStderr()) > 0:
			return driver.StreamOutput{Stderr: o.GetStderr()}, nil
		case o.GetExit() != nil:
			return driver.StreamOutput{Exit: exitOf(o.GetExit())}, nil
		case o.GetClosed().GetTaken():
			return driver.StreamOutput{Taken: true}, nil
		}
	}
}

// end tells the end of a stream from its loss. One that was closed by us is at its end.
func (s *stream) end(err error) error {
	s.i.mu.Lock()
	ours := s.i.streams[s]
	s.i.mu.Unlock()
	if errors.Is(err, io.EOF) || !ours {
		return io.EOF
	}
	return s.i.refused("read stream", err)
}

func (s *stream) Send(p []byte) error {
	if s.readOnly {
		return &domain.Error{
			Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
			Op: "write to console", Subject: s.Opened().Name, Message: "it was opened read-only",
		}
	}
	return s.Stream.Send(p)
}

func (s *stream) Signal(n int) error { return s.Stream.Signal(syscall.Signal(n)) }

func (s *stream) Close() error {
	s.i.mu.Lock()
	open := s.i.streams[s]
	delete(s.i.streams, s)
	s.i.mu.Unlock()
	if !open {
		return nil
	}
	return s.Stream.Close()
}
