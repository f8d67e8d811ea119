package auth

import (
	"net"
	"sync"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// branch is a listener of connections that came in through another, which knows who is there: some are to be answered by a
// server of their own, with other limits.
type branch struct {
	conns chan *handed
	ended chan struct{}
	end   func()
}

func newBranch() *branch {
	b := &branch{conns: make(chan *handed), ended: make(chan struct{})}
	b.end = sync.OnceFunc(func() { close(b.ended) })
	return b
}

// handed is a connection that has shaken hands.
type handed struct {
	net.Conn
	info holderInfo
}

// hand hands a connection over. It waits for the server that takes it, and ends the connection where there is none any more.
func (b *branch) hand(conn net.Conn, info holderInfo) error {
	select {
	case b.conns <- &handed{conn, info}:
		return nil
	case <-b.ended:
		_ = conn.Close()
		return net.ErrClosed
	}
}

// Accept waits for a connection.
func (b *branch) Accept() (net.Conn, error) {
	select {
	case conn := <-b.conns:
		return conn, nil
	case <-b.ended:
		return nil, net.ErrClosed
	}
}

// Close ends the listener.
func (b *branch) Close() error {
	b.end()
	return nil
}

// Addr is no place: nobody can connect to it.
func (b *branch) Addr() net.Addr { return branchAddress{} }

type branchAddress struct{}

func (branchAddress) Network() string { return "tcp" }
func (branchAddress) String() string  { return "readers" }

// Readers is a listener of those who may only look when they connect: once it is asked for they are handed to it, and the
// server that took their connection answers all others. Who is given more later has it at once, within the limits of those who
// look until it connects anew. It is asked for before the servers answer; both have [Network.Credentials].
func (n *Network) Readers() net.Listener {
	n.readers = newBranch()
	return n.readers
}

// looksOnly tells whether somebody belongs to [Network.Readers].
func looksOnly(h *holder) bool { return h.now().Access <= davitv1.Access_ACCESS_READ }
