package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// maxInput is the most bytes that one frame of input carries.
const maxInput = 32 << 10

// Stream is a connection to a console or a command. One goroutine may receive while others send.
type Stream struct {
	conn   *wire.Conn
	opened *monitorv1.StreamOpened
	ended  bool
}

// OpenConsole connects to a console. The context bounds opening only.
func (m *Monitor) OpenConsole(ctx context.Context, open *monitorv1.OpenConsole) (*Stream, error) {
	return m.stream(ctx, "open console", &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_OpenConsole{OpenConsole: open},
	})
}

// Exec runs a command in the container, or attaches to one. The context bounds opening only.
func (m *Monitor) Exec(ctx context.Context, exec *monitorv1.Exec) (*Stream, error) {
	return m.stream(ctx, "run command", &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_Exec{Exec: exec},
	})
}

// stream opens a stream.
func (m *Monitor) stream(ctx context.Context, what string, request *monitorv1.MonitorRequest) (*Stream, error) {
	conn, err := m.peer.dial(ctx)
	if err != nil {
		return nil, err
	}
	first := new(monitorv1.StreamOutput)
	err = during(ctx, conn, func() error {
		if sent := conn.Send(request); sent != nil {
			return sent
		}
		_, received := conn.Receive(first)
		return received
	})
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", what, err)
	case first.GetError() != nil:
		err = wire.FromProto(first.GetError())
	case first.GetOpened() == nil:
		err = fmt.Errorf("%s: monitor did not answer the request", what)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &Stream{conn: conn, opened: first.GetOpened()}, nil
}

// Opened tells what the stream is connected to.
func (s *Stream) Opened() *monitorv1.StreamOpened { return s.opened }

// Receive waits for output. After StreamClosed, which it returns too, it returns io.EOF. A stream that ends without
// StreamClosed, because the monitor died, fails with io.ErrUnexpectedEOF.
func (s *Stream) Receive() (*monitorv1.StreamOutput, error) {
	if s.ended {
		return nil, io.EOF
	}
	output := new(monitorv1.StreamOutput)
	if _, err := s.conn.Receive(output); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	s.ended = output.GetClosed() != nil
	if err := wire.FromProto(output.GetError()); err != nil {
		return nil, err
	}
	return output, nil
}

// Send writes to the terminal or standard input. It waits while the command does not read.
func (s *Stream) Send(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), maxInput)
		input := &monitorv1.StreamInput{Input: &monitorv1.StreamInput_Data{Data: p[:n]}}
		if err := s.conn.Send(input); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// CloseSend ends standard input.
func (s *Stream) CloseSend() error {
	return s.conn.Send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_End{End: true}})
}

// Resize sets the size of the terminal.
func (s *Stream) Resize(rows, columns uint16) error {
	return s.conn.Send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Size{
		Size: &monitorv1.WindowSize{Rows: uint32(rows), Columns: uint32(columns)},
	}})
}

// Signal sends a signal to the command.
func (s *Stream) Signal(signal syscall.Signal) error {
	return s.conn.Send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Signal{Signal: uint32(signal)}})
}

// Close lets go. A command that was not detached is ended.
func (s *Stream) Close() error { return s.conn.Close() }
