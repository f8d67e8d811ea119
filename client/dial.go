package client

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/davitd/davit/domain"
)

// maxUnixPath is how long the path of a socket may be for connect(2), without its NUL (unix(7)).
const maxUnixPath = 107

// dialer is how a connection to t is made.
func (o options) dialer(t target) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, _ string) (net.Conn, error) {
		switch {
		case o.dial != nil:
			return o.dial(ctx)
		case t.network == "unix" && len(t.address) > maxUnixPath:
			return dialLongUnix(ctx, t.address)
		}
		return (&net.Dialer{}).DialContext(ctx, t.network, t.address)
	}
}

// record remembers how attempts to connect ended.
func (l *link) record(dial func(context.Context, string) (net.Conn, error)) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dial(ctx, address)
		if err != nil {
			l.last.Store(&err)
			return nil, err
		}
		l.last.Store(nil)
		return conn, nil
	}
}

// handshake is credentials that remember how their handshakes ended.
type handshake struct {
	credentials.TransportCredentials
	link *link
}

func (h handshake) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err != nil {
		h.link.last.Store(&err)
		h.link.note(err)
		return nil, nil, err
	}
	if info.AuthType() == "tls" {
		secured = told{secured, h.link}
	}
	return secured, info, nil
}

func (h handshake) Clone() credentials.TransportCredentials {
	return handshake{h.TransportCredentials.Clone(), h.link}
}

// cause is why a connection could not be made.
func (c *Client) cause(ctx context.Context) error {
	if err := c.link.last.Load(); err != nil {
		return *err
	}
	// The daemon took the connection and ended it: what a call is told is all that is known.
	if _, err := c.EventPosition(ctx); err != nil {
		return err
	}
	return errors.New("the connection broke")
}

// unreachable is the error of a daemon that cannot be reached. It keeps its cause: errors.Is with fs.ErrNotExist or
// syscall.ECONNREFUSED holds.
func (c *Client) unreachable(cause error) error {
	return &domain.Error{
		Code: codes.Unavailable, Op: "connect to", Subject: c.target.address,
		Detail: map[string]string{"address": c.target.address}, Err: rootCause(cause),
	}
}

// rootCause takes the operation and address off a network error: the caller's error names them already.
func rootCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	if err == nil {
		return fmt.Errorf("unknown cause")
	}
	return err
}
