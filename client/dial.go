package client

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// handshake is credentials that remember how their handshakes ended, and make one that came to nothing again.
type handshake struct {
	credentials.TransportCredentials
	link *link
	dial func(context.Context, string) (net.Conn, error)
}

// ClientHandshake shakes hands with the daemon. Where the daemon ended the connection before that was over, without a word, it had
// too many of them at the time: it is tried once more, on a connection of its own.
func (h handshake) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if endedEarly(err) {
		_ = conn.Close()
		if (&pause{window: -1}).next(ctx) {
			secured, info, err = h.again(ctx, authority)
		}
	}
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

// again makes another connection and shakes hands on it.
func (h handshake) again(ctx context.Context, authority string) (net.Conn, credentials.AuthInfo, error) {
	conn, err := h.dial(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	secured, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return secured, info, nil
}

// endedEarly tells that the other end of a connection closed it and said nothing: what it says, and what this side has against
// it, is an error of another kind.
func endedEarly(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe} {
		if errors.Is(err, end) {
			return true
		}
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "read" || op.Op == "write") && !op.Timeout()
}

func (h handshake) Clone() credentials.TransportCredentials {
	return handshake{h.TransportCredentials.Clone(), h.link, h.dial}
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
