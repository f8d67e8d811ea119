package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// greetTimeout bounds the hellos of a caller.
	greetTimeout = 10 * time.Second
	// FrameTimeout bounds a caller's frame that has begun, and sending it a response.
	FrameTimeout = 10 * time.Second
)

// Server serves the callers of a socket: it refuses those that are neither root nor of its own user, greets the others,
// and lets each be talked with on a goroutine of its own.
type Server struct {
	// Hello is what it says of itself.
	Hello *monitorv1.Hello
	// Limit is the most callers at once.
	Limit int
	// Talk talks with a caller until one of them hangs up.
	Talk func(*Conn) error
	// Fault is told why a caller was refused, or talking failed otherwise than by hanging up.
	Fault func(error)

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// Serve accepts callers until the listener is closed or fails.
func (s *Server) Serve(listener *Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		s.Attend(conn)
	}
}

// Attend serves a caller whose connection was made otherwise than by the socket, as one that was accepted.
func (s *Server) Attend(conn *Conn) {
	if err := s.admit(conn); err != nil {
		s.Fault(err)
		_ = conn.Close()
		return
	}
	go s.serve(conn)
}

// serve talks with a caller.
func (s *Server) serve(conn *Conn) {
	defer s.dismiss(conn)
	err := s.greet(conn)
	if err == nil {
		err = s.Talk(conn)
	}
	if err != nil && !hungUp(err) {
		s.Fault(err)
	}
}

// greet finds out who calls.
func (s *Server) greet(conn *Conn) error {
	cred, err := conn.Peer()
	if err != nil {
		return err
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("refuse caller: user %d, process %d, may not ask", cred.Uid, cred.Pid)
	}
	if err := conn.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return err
	}
	if _, err := conn.Answer(s.Hello); err != nil {
		return err
	}
	conn.frameTimeout = FrameTimeout
	return conn.SetDeadline(time.Time{})
}

// admit counts a caller, if there is room.
func (s *Server) admit(conn *Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.Limit {
		return fmt.Errorf("refuse caller: %d connections are the limit", s.Limit)
	}
	if s.conns == nil {
		s.conns = map[*Conn]struct{}{}
	}
	s.conns[conn] = struct{}{}
	return nil
}

func (s *Server) dismiss(conn *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	_ = conn.Close()
}

// HangUp closes all connections.
func (s *Server) HangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// hungUp tells whether an error is only that somebody hung up.
func hungUp(err error) bool {
	for _, end := range []error{io.EOF, os.ErrClosed, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
