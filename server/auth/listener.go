package auth

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Limits bounds the connections of a listener.
type Limits struct {
	// Total of all peers; 0 is no limit.
	Total int
	// PerUser of each user but root; 0 is no limit.
	PerUser int
	// TotalName and PerUserName are what those who are refused are told of the limits: keys of the configuration.
	TotalName, PerUserName string
}

// counter counts connections of users, or of others who are told apart by a name.
type counter struct {
	limits Limits

	mu    sync.Mutex
	count int
	users map[string]int
	over  int // connections that are there only to be told that they are too many
}

func newCounter(limits Limits) counter { return counter{limits: limits, users: make(map[string]int)} }

// take counts a connection of a user, unless there are too many, of all or of the user's. Who is exempt has no limit, and counts.
func (c *counter) take(user string, perUser int, exempt bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !exempt {
		if c.limits.Total > 0 && c.count >= c.limits.Total {
			return reached(c.limits.TotalName, c.limits.Total, "connections of all clients are open")
		}
		if perUser > 0 && c.users[user] >= perUser {
			return reached(c.limits.PerUserName, perUser, "connections of this client are open")
		}
	}
	c.count++
	c.users[user]++
	return nil
}

func (c *counter) give(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count--
	if c.users[user]--; c.users[user] == 0 {
		delete(c.users, user)
	}
}

// A connection above the limits is let in for a moment, to be told so by its first call; no more of them than these.
const (
	maxOver  = 16
	overTime = 5 * time.Second
)

// takeOver counts a connection that is there only to be told that it is too many.
func (c *counter) takeOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over >= maxOver {
		return false
	}
	c.over++
	return true
}

func (c *counter) giveOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over--
}

// admit counts a connection and gives it back as one whose peer is known. One that is too many comes with the error that
// its calls are refused with, and ends by itself soon; nil if there are too many of these, too.
func (c *counter) admit(conn net.Conn, p Peer, user string, perUser int, exempt bool) (*known, error) {
	over := c.take(user, perUser, exempt)
	if over == nil {
		return &known{Conn: conn, peer: p, free: sync.OnceFunc(func() { c.give(user) })}, nil
	}
	if !c.takeOver() {
		return nil, over
	}
	p.over = over
	end := time.AfterFunc(overTime, func() { _ = conn.Close() })
	return &known{Conn: conn, peer: p, free: sync.OnceFunc(func() {
		end.Stop()
		c.giveOver()
	})}, over
}

// reached is the error of a limit.
func reached(limit string, value int, what string) error {
	return &domain.Error{
		Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_LIMIT_REACHED,
		Message: fmt.Sprintf("%d %s, which is the limit (%s)", value, what, limit),
		Detail:  map[string]string{"limit": limit, "value": strconv.Itoa(value)},
	}
}

// Listen makes a listener whose connections know their peer. Peers that are granted nothing are let in as well, so that
// each call tells them that it is denied; those above the limits for a moment only, to be told that. The limits are this listener's alone, so that
// who comes through another takes no place here.
func Listen(l net.Listener, grant Grant, limits Limits, log *zap.Logger) net.Listener {
	return &listener{
		Listener: l, grant: grant, refusals: refusals{log: log},
		count: newCounter(limits),
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
		if err != nil {
			l.refusals.add(p, err)
			_ = conn.Close()
			continue
		}
		p.Access = l.grant(p)
		// Root has no limit of its own, so that others cannot lock it out.
		admitted, over := l.count.admit(conn, p, p.Identity(), l.count.limits.PerUser, p.UID == 0)
		if over != nil {
			l.refusals.add(p, over)
		}
		if admitted == nil {
			_ = conn.Close()
			continue
		}
		return admitted, nil
	}
}

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
