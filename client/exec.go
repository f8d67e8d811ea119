package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ErrNoExit ends a session whose daemon went away before it told how the command ended. The command may still run: where
// its id is known, [Client.Attach] finds out.
var ErrNoExit = errors.New("the connection ended before the command did")

// ExecOptions says what to run in a domain.
type ExecOptions struct {
	// Argv is the command and its arguments; a name without "/" is looked up in PATH inside the domain. Required.
	Argv []string
	// Env is NAME=VALUE, beside the container's own variables.
	Env []string
	// Cwd is the working directory; the user's home when empty.
	Cwd string
	// User is USER[:GROUP], as the domain's own files know them; init's when empty.
	User string
	// TTY gives the command a terminal of this Size. Standard error is then part of the output.
	TTY  bool
	Size Size
	// Detach lets the command run on when the session is closed.
	Detach bool
	// Stdin gives it standard input; otherwise that is empty.
	Stdin bool
}

// Session is a command in a domain. Receive belongs to one goroutine, the others may be called by any.
type Session struct {
	stream grpc.BidiStreamingClient[davitv1.ExecRequest, davitv1.ExecResponse]
	cancel context.CancelFunc
	send   sync.Mutex

	id   string
	pid  uint32
	exit *davitv1.Exit
	end  error
}

// Output is what a command wrote: one of both is set.
type Output struct {
	// Stdout was written to standard output or the terminal.
	Stdout []byte
	// Stderr was written to standard error.
	Stderr []byte
}

// Exec starts a command in an active domain and returns once it runs. When ctx ends, so does the session, and with it
// the command unless it is detached.
func (c *Client) Exec(ctx context.Context, ref *davitv1.DomainRef, o ExecOptions) (*Session, error) {
	return c.session(ctx, &davitv1.ExecRequest{Action: &davitv1.ExecRequest_Start{Start: &davitv1.ExecStart{
		Domain: ref, Argv: o.Argv, Env: o.Env, Cwd: o.Cwd, User: o.User,
		Tty: o.TTY, Size: o.Size.proto(), Detach: o.Detach, Stdin: o.Stdin,
	}}})
}

// Attach connects to a command that was started before, until ten minutes after its end. What it wrote last is told
// first.
func (c *Client) Attach(ctx context.Context, ref *davitv1.DomainRef, id string) (*Session, error) {
	return c.session(ctx, &davitv1.ExecRequest{Action: &davitv1.ExecRequest_Attach{
		Attach: &davitv1.ExecAttach{Domain: ref, ExecId: id},
	}})
}

func (c *Client) session(ctx context.Context, first *davitv1.ExecRequest) (*Session, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.console.Exec(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &Session{stream: stream, cancel: cancel}
	if err := s.open(first); err != nil {
		cancel()
		return nil, err
	}
	return s, nil
}

func (s *Session) open(first *davitv1.ExecRequest) error {
	// If the send fails, receiving tells why.
	_ = s.stream.Send(first)
	resp, err := s.stream.Recv()
	if err != nil {
		return opening(err)
	}
	started := resp.GetStarted()
	if started == nil {
		return fmt.Errorf("run command: the daemon began with %T", resp.GetEvent())
	}
	s.id, s.pid = started.GetExecId(), started.GetPid()
	return nil
}

// ID names the command for [Client.Attach].
func (s *Session) ID() string { return s.id }

// PID is the process id of the command on the daemon's host.
func (s *Session) PID() uint32 { return s.pid }

// Receive waits for output. After the last it returns [io.EOF], and [Session.Exit] tells how the command ended; a
// session that was cut off before ends with another error, [ErrNoExit] among them.
func (s *Session) Receive() (Output, error) {
	for s.end == nil {
		resp, err := s.stream.Recv()
		if err != nil {
			s.end = s.ending(err)
			break
		}
		switch event := resp.GetEvent().(type) {
		case *davitv1.ExecResponse_Stdout:
			return Output{Stdout: event.Stdout}, nil
		case *davitv1.ExecResponse_Stderr:
			return Output{Stderr: event.Stderr}, nil
		case *davitv1.ExecResponse_Exit:
			s.exit = event.Exit
		case *davitv1.ExecResponse_Closed:
			s.end = s.ending(io.EOF)
		}
	}
	return Output{}, s.end
}

// ending is what a session ends with. Once the exit is known, a connection that breaks takes nothing away but output.
func (s *Session) ending(err error) error {
	if errors.Is(err, io.EOF) && s.exit == nil {
		return ErrNoExit
	}
	return err
}

// Exit is how the command ended, nil as long as [Session.Receive] has not told.
func (s *Session) Exit() *davitv1.Exit { return s.exit }

// Write writes to standard input or the terminal. It waits while the command does not read.
func (s *Session) Write(p []byte) (int, error) {
	return writeChunks(p, func(chunk []byte) error {
		return s.request(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Stdin{Stdin: chunk}})
	})
}

// CloseWrite ends standard input.
func (s *Session) CloseWrite() error {
	return s.request(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_StdinClose{StdinClose: true}})
}

// Resize sets the size of the command's terminal.
func (s *Session) Resize(size Size) error {
	if size.proto() == nil {
		return nil
	}
	return s.request(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Resize{Resize: size.proto()}})
}

// Signal sends a signal by its name, "TERM" or "SIGTERM", or number.
func (s *Session) Signal(name string) error {
	return s.request(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Signal{Signal: name}})
}

func (s *Session) request(req *davitv1.ExecRequest) error {
	s.send.Lock()
	defer s.send.Unlock()
	return sending(s.stream.Send(req))
}

// Close lets go of the command, which ends unless it was started with Detach.
func (s *Session) Close() error {
	s.cancel()
	return nil
}

// Copy connects the command to in, out and errOut until it ends, and tells how it did. A nil in gives it no input. It
// closes the session. A read of in that is under way then goes on until it gets something, which is lost.
func (s *Session) Copy(in io.Reader, out, errOut io.Writer) (*davitv1.Exit, error) {
	defer func() { _ = s.Close() }()
	if in != nil {
		go s.feed(in)
	}
	for {
		o, err := s.Receive()
		if errors.Is(err, io.EOF) {
			return s.exit, nil
		}
		if err != nil {
			return nil, err
		}
		if err := o.writeTo(out, errOut); err != nil {
			return nil, err
		}
	}
}

func (o Output) writeTo(out, errOut io.Writer) error {
	if len(o.Stdout) > 0 {
		_, err := out.Write(o.Stdout)
		return err
	}
	_, err := errOut.Write(o.Stderr)
	return err
}

// feed writes all of in to the command. A command that no longer reads, or is gone, ends it: receiving tells that.
func (s *Session) feed(in io.Reader) {
	if _, err := io.Copy(struct{ io.Writer }{s}, in); err == nil {
		_ = s.CloseWrite()
	}
}
