package rpc

import (
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// execStream is a call of Exec.
type execStream = grpc.BidiStreamingServer[davitv1.ExecRequest, davitv1.ExecResponse]

// Exec runs a command, or attaches to one.
func (s *consoleService) Exec(stream execStream) error {
	q, err := receive(stream.Recv)
	if err != nil {
		return first(err)
	}
	session, err := s.execute(stream, q)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }() // nothing is lost by it
	opened := session.Opened()
	if err := stream.Send(&davitv1.ExecResponse{Event: &davitv1.ExecResponse_Started{
		Started: &davitv1.ExecStarted{ExecId: opened.Name, Pid: opened.PID},
	}}); err != nil {
		return err
	}
	return pump(stream.Context(), session,
		func() error { return fed(stream, session) },
		func() error { return printed(stream, session) })
}

// execute does what the first message says.
func (s *consoleService) execute(stream execStream, q *davitv1.ExecRequest) (*engine.Session, error) {
	switch action := q.GetAction().(type) {
	case *davitv1.ExecRequest_Start:
		return s.engine.Exec(stream.Context(), action.Start)
	case *davitv1.ExecRequest_Attach:
		return s.engine.AttachExec(stream.Context(), action.Attach)
	}
	return nil, refuse("action", "the first message starts a command or attaches to one")
}

// fed hands one message of the caller to the command. A caller that has no more to say has ended standard input.
func fed(stream execStream, session *engine.Session) error {
	q, err := receive(stream.Recv)
	if errors.Is(err, io.EOF) {
		_ = session.CloseSend() // that it has ended, or has no input, is no fault here
		return err
	}
	if err != nil {
		return err
	}
	switch action := q.GetAction().(type) {
	case *davitv1.ExecRequest_Stdin:
		if err := small("stdin", action.Stdin); err != nil {
			return err
		}
		return session.Send(action.Stdin)
	case *davitv1.ExecRequest_StdinClose:
		return session.CloseSend()
	case *davitv1.ExecRequest_Resize:
		rows, columns, err := engine.TerminalSize("resize", action.Resize)
		if err != nil {
			return err
		}
		return session.Resize(rows, columns)
	case *davitv1.ExecRequest_Signal:
		signal, err := domain.ParseSignal(action.Signal)
		if err != nil {
			return refuse("signal", err.Error())
		}
		return session.Signal(signal)
	}
	return refuse("action", "a message writes, ends the input, resizes or signals; the command was started")
}

// printed sends what the command writes and how it ends.
func printed(stream execStream, session *engine.Session) error {
	for {
		out, err := session.Receive()
		if errors.Is(err, io.EOF) {
			return stream.Send(&davitv1.ExecResponse{Event: &davitv1.ExecResponse_Closed{Closed: &davitv1.ExecClosed{}}})
		}
		if err != nil {
			return err
		}
		if err := write(stream, out.Data, out.Stderr, out.Exit); err != nil {
			return err
		}
	}
}

// write sends one piece of output.
func write(stream execStream, stdout, stderr []byte, exit *davitv1.Exit) error {
	if err := chunks(stdout, func(p []byte, _ int) error {
		return stream.Send(&davitv1.ExecResponse{Event: &davitv1.ExecResponse_Stdout{Stdout: p}})
	}); err != nil {
		return err
	}
	if err := chunks(stderr, func(p []byte, _ int) error {
		return stream.Send(&davitv1.ExecResponse{Event: &davitv1.ExecResponse_Stderr{Stderr: p}})
	}); err != nil {
		return err
	}
	if exit == nil {
		return nil
	}
	return stream.Send(&davitv1.ExecResponse{Event: &davitv1.ExecResponse_Exit{Exit: exit}})
}
