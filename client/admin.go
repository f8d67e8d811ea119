package client

import (
	"context"
	"fmt"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Admin is a connection to the socket on which root steers the daemon itself. Make one with [DialAdmin].
type Admin struct {
	davitv1.AdminServiceClient
	steering
}

// Audit is a connection on which what all callers did is read. Make one with [DialAudit].
type Audit struct {
	davitv1.AuditServiceClient
	steering
}

// DialAdmin prepares a connection to AdminService. The target names the daemon as for [Dial]: the socket is the one named
// davit-admin.sock beside the socket that the target names. A daemon on the network is not steered.
func DialAdmin(to string, opts ...Option) (*Admin, error) {
	o := newOptions(opts)
	o.readOnly, o.insecure = false, true // of a host on the network only the name is looked at, to refuse it
	t, err := resolve(to, o)
	if err != nil {
		return nil, err
	}
	if t, err = t.admin(); err != nil {
		return nil, fmt.Errorf("dial %q: %w", to, err)
	}
	s, err := steer(t, o)
	if err != nil {
		return nil, err
	}
	return &Admin{davitv1.NewAdminServiceClient(s.connection.conn), s}, nil
}

// DialAudit prepares a connection to AuditService. A daemon of this host is asked through the socket that [DialAdmin] uses,
// one on the network at its address, by who has the role admin there.
func DialAudit(to string, opts ...Option) (*Audit, error) {
	o := newOptions(opts)
	o.readOnly = false
	t, err := resolve(to, o)
	if err != nil {
		return nil, err
	}
	if t.network == "unix" {
		if t, err = t.admin(); err != nil {
			return nil, fmt.Errorf("dial %q: %w", to, err)
		}
	}
	s, err := steer(t, o)
	if err != nil {
		return nil, err
	}
	return &Audit{davitv1.NewAuditServiceClient(s.connection.conn), s}, nil
}

// steering is a connection of who does more than look at domains and act on them.
type steering struct{ connection *Client }

func steer(t target, o options) (steering, error) {
	l := &link{}
	conn, err := open(t, o, l)
	if err != nil {
		return steering{}, err
	}
	return steering{&Client{events: davitv1.NewEventServiceClient(conn), conn: conn, target: t, link: l, retry: o.retry}}, nil
}

// Connect makes the connection now and tells why it cannot be made. Without it the first call does so.
func (s steering) Connect(ctx context.Context) error { return s.connection.Connect(ctx) }

// Address is the path of the socket, or host:port.
func (s steering) Address() string { return s.connection.Address() }

// Close ends the connection.
func (s steering) Close() error { return s.connection.Close() }
