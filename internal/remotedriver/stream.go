package remotedriver

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// call is what both kinds of streams have: a call that Close ends.
type call struct {
	opened driver.StreamOpened
	cancel context.CancelFunc
	closed atomic.Bool
}

func (c *call) Opened() driver.StreamOpened { return c.opened }

func (c *call) Close() error {
	c.closed.Store(true)
	c.cancel()
	return nil
}

// end is the end of a call as a driver tells it: that the driver, here the daemon, was closed is an end like others.
func (c *call) end(err error) error {
	var e *domain.Error
	err = domain.FromStatus(err)
	if c.closed.Load() || errors.As(err, &e) && e.Reason == davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN {
		return io.EOF
	}
	return err
}

// console is a call of OpenConsole.
type console struct {
	call
	d      *Driver
	stream davitv1.ConsoleService_OpenConsoleClient
}

// OpenConsole calls OpenConsole.
func (i *instance) OpenConsole(ctx context.Context, o driver.ConsoleOptions) (driver.Stream, error) {
	return i.whenFree(ctx, func() (driver.Stream, error) { return i.openConsole(ctx, o) })
}

// whenFree opens a console or command. A driver's is free when Close returns, a daemon's a little later: it hears of the
// end of a call and gives no answer to it.
func (i *instance) whenFree(ctx context.Context, open func() (driver.Stream, error)) (driver.Stream, error) {
	const little = 2 * time.Second
	for {
		s, err := open()
		var e *domain.Error
		if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY {
			return s, err
		}
		i.d.mu.Lock()
		since := time.Since(i.d.let)
		i.d.mu.Unlock()
		if since > little {
			return nil, err
		}
		select {
		case <-time.After(little / 100):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close lets the console go.
func (c *console) Close() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.let = time.Now()
	return c.call.Close()
}

func (i *instance) openConsole(ctx context.Context, o driver.ConsoleOptions) (driver.Stream, error) {
	open := &davitv1.ConsoleOpen{Domain: i.domain(), Device: o.Alias, Force: o.Force, ReadOnly: o.ReadOnly, Follow: o.Follow}
	switch {
	case o.Offset != nil:
		open.Start = &davitv1.ConsoleOpen_Offset{Offset: *o.Offset}
	case o.Scrollback:
		open.Start = &davitv1.ConsoleOpen_Scrollback{Scrollback: true}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &console{call: call{cancel: cancel}, d: i.d}
	var err error
	if c.stream, err = i.d.consoles.OpenConsole(ctx); err == nil {
		err = c.send(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Open{Open: open}})
	}
	var r *davitv1.OpenConsoleResponse
	if err == nil {
		r, err = c.stream.Recv()
	}
	if err != nil {
		cancel()
		return nil, domain.FromStatus(err)
	}
	c.opened = driver.StreamOpened{Name: r.GetOpened().GetDevice(), Offset: r.GetOpened().GetOffset()}
	return c, nil
}

func (c *console) Receive() (driver.StreamOutput, error) {
	r, err := c.stream.Recv()
	if err != nil {
		return driver.StreamOutput{}, c.end(err)
	}
	if out := r.GetOutput(); out != nil {
		return driver.StreamOutput{Data: out.GetData(), Offset: out.GetOffset()}, nil
	}
	if r.GetClosed().GetReason() == davitv1.ConsoleCloseReason_CONSOLE_CLOSE_REASON_TAKEN {
		return driver.StreamOutput{Taken: true}, nil
	}
	return driver.StreamOutput{}, io.EOF
}

// send sends; of a call that is over Receive tells why.
func (c *console) send(q *davitv1.OpenConsoleRequest) error { return c.stream.Send(q) }

func (c *console) Send(p []byte) error {
	return c.send(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Input{Input: p}})
}

func (c *console) CloseSend() error { return c.stream.CloseSend() }

func (c *console) Resize(rows, columns uint16) error {
	size := &davitv1.TerminalSize{Rows: uint32(rows), Columns: uint32(columns)}
	return c.send(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Resize{Resize: size}})
}

func (c *console) Signal(int) error {
	return &domain.Error{Code: codes.InvalidArgument, Message: "a console has no command"}
}

// command is a call of Exec.
type command struct {
	call
	d      *Driver
	stream davitv1.ConsoleService_ExecClient
	read   uint64
}

// Close lets the command go.
func (c *command) Close() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.let = time.Now()
	return c.call.Close()
}

// Exec calls Exec. The daemon makes the name up; the memory knows which one is meant.
func (i *instance) Exec(ctx context.Context, o driver.ExecOptions) (driver.Stream, error) {
	return i.whenFree(ctx, func() (driver.Stream, error) { return i.exec(ctx, o) })
}

func (i *instance) exec(ctx context.Context, o driver.ExecOptions) (driver.Stream, error) {
	m := i.d.memory
	m.mu.Lock()
	id, known := m.commands[o.ID]
	m.mu.Unlock()
	if !known {
		id = o.ID
	}
	q := &davitv1.ExecRequest{Action: &davitv1.ExecRequest_Attach{Attach: &davitv1.ExecAttach{Domain: i.domain(), ExecId: id}}}
	if !o.Attach {
		start := &davitv1.ExecStart{
			Domain: i.domain(), Argv: o.Argv, Env: o.Env, Cwd: o.Cwd, User: o.User, Tty: o.TTY, Detach: o.Detach, Stdin: o.Stdin,
		}
		if o.Rows > 0 {
			start.Size = &davitv1.TerminalSize{Rows: uint32(o.Rows), Columns: uint32(o.Columns)}
		}
		q.Action = &davitv1.ExecRequest_Start{Start: start}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &command{d: i.d, call: call{cancel: cancel}}
	var err error
	if c.stream, err = i.d.consoles.Exec(ctx); err == nil {
		err = c.stream.Send(q)
	}
	var r *davitv1.ExecResponse
	if err == nil {
		r, err = c.stream.Recv()
	}
	if err != nil {
		cancel()
		return nil, domain.FromStatus(err)
	}
	c.opened = driver.StreamOpened{Name: o.ID, PID: r.GetStarted().GetPid()}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.commands == nil {
		m.commands = map[string]string{}
	}
	m.commands[o.ID] = r.GetStarted().GetExecId()
	return c, nil
}

func (c *command) Receive() (driver.StreamOutput, error) {
	r, err := c.stream.Recv()
	if err != nil {
		return driver.StreamOutput{}, c.end(err)
	}
	switch e := r.GetEvent().(type) {
	case *davitv1.ExecResponse_Stdout:
		out := driver.StreamOutput{Data: e.Stdout, Offset: c.read}
		c.read += uint64(len(e.Stdout))
		return out, nil
	case *davitv1.ExecResponse_Stderr:
		return driver.StreamOutput{Stderr: e.Stderr}, nil
	case *davitv1.ExecResponse_Exit:
		return driver.StreamOutput{Exit: e.Exit}, nil
	}
	return driver.StreamOutput{}, io.EOF
}

func (c *command) Send(p []byte) error {
	return c.stream.Send(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Stdin{Stdin: p}})
}

func (c *command) CloseSend() error {
	return c.stream.Send(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_StdinClose{StdinClose: true}})
}

func (c *command) Resize(rows, columns uint16) error {
	size := &davitv1.TerminalSize{Rows: uint32(rows), Columns: uint32(columns)}
	return c.stream.Send(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Resize{Resize: size}})
}

func (c *command) Signal(signal int) error {
	return c.stream.Send(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Signal{Signal: strconv.Itoa(signal)}})
}
