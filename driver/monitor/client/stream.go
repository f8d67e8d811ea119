package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// maxInput is the most bytes that one frame of input carries.
const maxInput = 32 << 10

// Stream is a connection to a console or a command. One goroutine may receive while others send.
type Stream struct {
	conn   *wire.Conn
	opened *monitorv1.StreamOpened
	// ended tells that StreamClosed was received, and failed that something else ended it.
	ended, failed atomic.Bool
	// peer gets the connection back when the stream is over; nil if it is of no further use.
	peer *peer

	sending sync.Mutex
	closed  bool
}

// ErrNotAsked tells that the monitor could not be reached, and has done nothing.
var ErrNotAsked = errors.New("it was not asked")

// OpenConsole connects to a console. The context bounds opening only.
func (m *Monitor) OpenConsole(ctx context.Context, open *monitorv1.OpenConsole) (*Stream, error) {
	return m.stream(ctx, m.peer.dial, "open console", &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_OpenConsole{OpenConsole: open},
	})
}

// Exec runs a command in the container, or attaches to one. The context bounds opening only.
func (m *Monitor) Exec(ctx context.Context, exec *monitorv1.Exec) (*Stream, error) {
	// Who attaches may be the one who has just let go, which the monitor learns beside what it is asked: that is not hurried.
	connect := m.peer.dial
	if exec.GetProcess() != nil {
		connect = m.peer.take
	}
	s, err := m.stream(ctx, connect, "run command", &monitorv1.MonitorRequest{
		Request: &monitorv1.MonitorRequest_Exec{Exec: exec},
	})
	if err == nil && m.KnowsBeside() {
		s.peer = m.peer
	}
	return s, err
}

// KnowsBeside tells whether the monitor knows what a command has that runs beside init ([monitorv1.Exec]). One of an older davit
// does not.
func (m *Monitor) KnowsBeside() bool { return m.Hello().GetRevision() >= wire.RevisionBeside }

// stream opens a stream.
func (m *Monitor) stream(
	ctx context.Context, connect func(context.Context) (*wire.Conn, error), what string, request *monitorv1.MonitorRequest,
) (*Stream, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAsked, err)
	}
	first := new(monitorv1.StreamOutput)
	err = during(ctx, conn, func() error {
		if sent := conn.Send(request); sent != nil {
			return fmt.Errorf("%w: %w", ErrNotAsked, sent)
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
	if s.ended.Load() {
		return nil, io.EOF
	}
	output := new(monitorv1.StreamOutput)
	if _, err := s.conn.Receive(output); err != nil {
		s.failed.Store(true)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if output.GetClosed() != nil {
		s.ended.Store(true)
	}
	if err := wire.FromProto(output.GetError()); err != nil {
		s.failed.Store(true)
		return nil, err
	}
	return output, nil
}

// send sends what a caller says, unless the stream was closed.
func (s *Stream) send(input *monitorv1.StreamInput) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	if s.closed {
		return fmt.Errorf("send message: %w", os.ErrClosed)
	}
	return s.conn.Send(input)
}

// Send writes to the terminal or standard input. It waits while the command does not read.
func (s *Stream) Send(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), maxInput)
		input := &monitorv1.StreamInput{Input: &monitorv1.StreamInput_Data{Data: p[:n]}}
		if err := s.send(input); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// CloseSend ends standard input.
func (s *Stream) CloseSend() error {
	return s.send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_End{End: true}})
}

// Resize sets the size of the terminal.
func (s *Stream) Resize(rows, columns uint16) error {
	return s.send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Size{
		Size: &monitorv1.WindowSize{Rows: uint32(rows), Columns: uint32(columns)},
	}})
}

// Signal sends a signal to the command.
func (s *Stream) Signal(signal syscall.Signal) error {
	return s.send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Signal{Signal: uint32(signal)}})
}

// Close lets go. A command that was not detached is ended.
func (s *Stream) Close() error {
	// Who sends just now may wait for a command that does not read. The connection is then of no further use.
	if s.peer == nil || !s.ended.Load() || s.failed.Load() || !s.sending.TryLock() {
		return s.conn.Close()
	}
	defer s.sending.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.conn.SetWriteDeadline(time.Now().Add(wire.FrameTimeout))
	if err == nil {
		err = s.conn.Send(&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Done{Done: true}})
	}
	if err = errors.Join(err, s.conn.SetWriteDeadline(time.Time{})); err != nil {
		return s.conn.Close()
	}
	s.peer.release(s.conn)
	return nil
}
