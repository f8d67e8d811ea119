package auth

import (
	"errors"
	"net"
	"sync"

	"go.uber.org/zap"
)

// Limits bounds the connections of a listener.
type Limits struct {
	// Total of all peers; 0 is no limit.
	Total int
	// PerUser of each user but root; 0 is no limit.
	PerUser int
}

// counter counts connections.
type counter struct {
	limits Limits

	mu    sync.Mutex
	total int
	users map[uint32]int
}

// take counts a connection of a user, unless there are too many. Root has no limit of its own, so that others cannot
// lock it out.
func (c *counter) take(uid uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if uid != 0 {
		if c.limits.Total > 0 && c.total >= c.limits.Total {
			return false
		}
		if c.limits.PerUser > 0 && c.users[uid] >= c.limits.PerUser {
			return false
		}
	}
	c.total++
	c.users[uid]++
	return true
}

func (c *counter) give(uid uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.users[uid]--; c.users[uid] == 0 {
		delete(c.users, uid)
	}
}

// Listen makes a listener whose connections know their peer. Peers that are granted nothing are let in as well, so that
// each call tells them that it is denied; those above the limits are not. The limits are this listener's alone, so that
// who comes through another takes no place here.
func Listen(l net.Listener, grant Grant, limits Limits, log *zap.Logger) net.Listener {
	return &listener{
		Listener: l, grant: grant, refusals: refusals{log: log},
		count: counter{limits: limits, users: make(map[uint32]int)},
	}
}

type listener struct {
	net.Listener
	grant    Grant
	count    counter
	refusals refusals
}

// Accept waits for a connection whose peer is known.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := peerOf(conn)
		if err == nil && !l.count.take(p.UID) {
			err = errTooMany
		}
		if err != nil {
			l.refusals.add(p, err)
			_ = conn.Close()
			continue
		}
		p.Access = l.grant(p)
		return &known{Conn: conn, peer: p, free: sync.OnceFunc(func() { l.count.give(p.UID) })}, nil
	}
}

var errTooMany = errors.New("too many connections")

// known is a connection whose peer is known.
type known struct {
	net.Conn
	peer Peer
	free func()
}

// Close ends the connection.
func (c *known) Close() error {
	c.free()
	return c.Conn.Close()
}
