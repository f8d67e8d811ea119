package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// Error is why a monitor or the keeper did not do what it was asked.
type Error = wire.Error

// ErrReplaced tells that another process answers than the one that answered first.
var ErrReplaced = errors.New("it was replaced")

const (
	// greetTimeout bounds connecting and the hellos.
	greetTimeout = 10 * time.Second
	// idleConnections is how many connections are kept for the next request.
	idleConnections = 2
)

// peer makes connections to one socket and keeps idle ones.
type peer struct {
	folder *os.File
	socket string

	mu     sync.Mutex
	first  *monitorv1.Hello
	idle   []*wire.Conn
	closed bool
}

// newPeer connects to a socket of a folder for the first time. It duplicates the folder.
func newPeer(ctx context.Context, folder *os.File, socket string) (*peer, error) {
	dup, err := wire.Duplicate(folder)
	if err != nil {
		return nil, fmt.Errorf("connect to %q: %w", socket, err)
	}
	p := &peer{folder: dup, socket: socket}
	conn, err := p.dial(ctx)
	if err != nil {
		_ = dup.Close()
		return nil, err
	}
	p.release(conn)
	return p, nil
}

// dial makes a connection. Whoever answers must be who answered first.
func (p *peer) dial(ctx context.Context) (*wire.Conn, error) {
	conn, err := wire.Dial(p.folder, p.socket)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	var hello *monitorv1.Hello
	err = during(ctx, conn, func() (err error) {
		if err = trust(conn); err == nil {
			hello, err = conn.Greet(&monitorv1.Hello{Version: wire.Version(), Pid: uint32(os.Getpid())})
		}
		return err
	})
	if err == nil {
		err = p.recognise(hello)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("connect to %q: %w", p.socket, err)
	}
	return conn, nil
}

// recognise refuses who is not the one that answered first.
func (p *peer) recognise(hello *monitorv1.Hello) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil {
		p.first = hello
	}
	if hello.GetPid() != p.first.GetPid() {
		return fmt.Errorf("greet: process %d listens where process %d did: %w", hello.GetPid(), p.first.GetPid(), ErrReplaced)
	}
	return nil
}

// hello is what who answered first said of itself.
func (p *peer) hello() *monitorv1.Hello {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

// become has another process answer from now on, by what was connected to it.
func (p *peer) become(next *peer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.idle
	p.first, p.idle, next.idle = next.first, next.idle, nil
	if p.closed {
		old, p.idle = append(old, p.idle...), nil
	}
	for _, conn := range old {
		_ = conn.Close()
	}
	return next.close()
}

// trust refuses a listener that is neither root nor of the caller's own user.
func trust(conn *wire.Conn) error {
	cred, err := conn.Peer()
	if err != nil {
		return err
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d listens", cred.Uid)
	}
	return nil
}

// during runs what uses a connection; when ctx ends it fails with the context's error.
func during(ctx context.Context, conn *wire.Conn, use func() error) error {
	stop := context.AfterFunc(ctx, conn.Abort)
	err := use()
	if !stop() && err == nil {
		// The connection is aborted, although it had served; it must not serve again.
		_ = conn.Close()
	}
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

// take gives an idle connection, or a new one.
func (p *peer) take(ctx context.Context) (conn *wire.Conn, err error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, os.ErrClosed
	}
	for len(p.idle) > 0 {
		conn = p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !conn.HungUp() {
			p.mu.Unlock()
			return conn, nil
		}
		_ = conn.Close()
	}
	p.mu.Unlock()
	return p.dial(ctx)
}

// release keeps a connection for the next request, or closes it.
func (p *peer) release(conn *wire.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) == idleConnections {
		_ = conn.Close()
		return
	}
	p.idle = append(p.idle, conn)
}

// call sends a request and waits for its response. A connection on which either failed is not used again.
func (p *peer) call(ctx context.Context, request, response plain.Message, files []*os.File) ([]*os.File, error) {
	conn, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	var answered []*os.File
	err = during(ctx, conn, func() (err error) {
		if err = conn.Send(request, files...); err == nil {
			answered, err = conn.Receive(response)
		}
		return err
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	p.release(conn)
	return answered, nil
}

// gone waits until nobody answers any more, or ctx ends.
func (p *peer) gone(ctx context.Context) {
	conn, err := p.take(ctx)
	if err != nil {
		return
	}
	_ = during(ctx, conn, func() error { conn.Hangup(); return nil })
	_ = conn.Close()
}

// lost is gone, over a connection that serves requests meanwhile. An error says that nobody can tell just now, and not that it is gone.
func (p *peer) lost(ctx context.Context) error {
	conn, err := p.take(ctx)
	if exhausted(err) {
		return err
	}
	if err != nil {
		return nil // nobody is there who answers
	}
	watch, err := conn.Duplicate()
	if err != nil {
		p.release(conn)
		return err
	}
	p.release(conn)
	defer func() { _ = watch.Close() }()
	return during(ctx, watch, watch.Lost)
}

// exhausted tells whether it is our own descriptors or memory that lack.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOBUFS)
}

// close drops the connections.
func (p *peer) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, conn := range p.idle {
		_ = conn.Close()
	}
	p.idle = nil
	return p.folder.Close()
}
