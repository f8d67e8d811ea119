package rpc

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// consoleService connects callers to consoles and commands.
type consoleService struct {
	davitv1.UnsafeConsoleServiceServer
	engine *engine.Engine
}

// consoleStream is a call of OpenConsole.
type consoleStream = grpc.BidiStreamingServer[davitv1.OpenConsoleRequest, davitv1.OpenConsoleResponse]

// receive takes the next message of a stream, which must be known as a whole.
func receive[Q proto.Message](next func() (Q, error)) (Q, error) {
	q, err := next()
	if err != nil {
		return q, err
	}
	return q, domain.RefuseUnknown(q)
}

// OpenConsole connects to a console.
func (s *consoleService) OpenConsole(stream consoleStream) error {
	q, err := receive(stream.Recv)
	if err != nil {
		return first(err)
	}
	open := q.GetOpen()
	if open == nil {
		return refuse("open", "the first message opens the console")
	}
	session, err := s.engine.OpenConsole(stream.Context(), open)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }() // nothing is lost by it
	opened := session.Opened()
	if err := stream.Send(&davitv1.OpenConsoleResponse{Event: &davitv1.OpenConsoleResponse_Opened{
		Opened: &davitv1.ConsoleOpened{Device: opened.Name, Offset: opened.Offset},
	}}); err != nil {
		return err
	}
	return pump(stream.Context(), session,
		func() error { return typed(stream, session) },
		func() error { return shown(stream, session) })
}

// first makes of a stream that ends before its first message an error of the caller's.
func first(err error) error {
	if errors.Is(err, io.EOF) {
		return refuse("action", "the stream ended before its first message")
	}
	return err
}

// typed hands one message of the caller to the console.
func typed(stream consoleStream, session *engine.Session) error {
	q, err := receive(stream.Recv)
	if err != nil {
		return err
	}
	switch action := q.GetAction().(type) {
	case *davitv1.OpenConsoleRequest_Input:
		if err := small("input", action.Input); err != nil {
			return err
		}
		return session.Send(action.Input)
	case *davitv1.OpenConsoleRequest_Resize:
		rows, columns, err := engine.TerminalSize("resize", action.Resize)
		if err != nil {
			return err
		}
		return session.Resize(rows, columns)
	case *davitv1.OpenConsoleRequest_Open:
		return refuse("open", "the console is open")
	}
	return refuse("action", "a message does something")
}

// shown sends what the console shows until it is closed, and why it was.
func shown(stream consoleStream, session *engine.Session) error {
	why := davitv1.ConsoleCloseReason_CONSOLE_CLOSE_REASON_STOPPED
	for {
		out, err := session.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if out.Taken {
			why = davitv1.ConsoleCloseReason_CONSOLE_CLOSE_REASON_TAKEN
			break
		}
		if err := chunks(out.Data, func(p []byte, at int) error {
			return stream.Send(&davitv1.OpenConsoleResponse{Event: &davitv1.OpenConsoleResponse_Output{
				Output: &davitv1.ConsoleOutput{Offset: out.Offset + uint64(at), Data: p},
			}})
		}); err != nil {
			return err
		}
	}
	return stream.Send(&davitv1.OpenConsoleResponse{Event: &davitv1.OpenConsoleResponse_Closed{
		Closed: &davitv1.ConsoleClosed{Reason: why},
	}})
}
