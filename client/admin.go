package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Admin is a connection to the socket on which root steers the daemon itself and reads what all callers did. Make one with [DialAdmin].
type Admin struct {
	davitv1.AdminServiceClient
	davitv1.AuditServiceClient

	connection *Client
	conn       *grpc.ClientConn
}

// DialAdmin prepares a connection to AdminService. The target names the daemon as for [Dial]: the socket is the one named
// davit-admin.sock beside the socket that the target names.
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
	l := &link{}
	conn, err := open(t, o, l)
	if err != nil {
		return nil, err
	}
	return &Admin{
		AdminServiceClient: davitv1.NewAdminServiceClient(conn), AuditServiceClient: davitv1.NewAuditServiceClient(conn), conn: conn,
		connection: &Client{events: davitv1.NewEventServiceClient(conn), conn: conn, target: t, link: l, retry: o.retry},
	}, nil
}

// Connect makes the connection now and tells why it cannot be made. Without it the first call does so.
func (a *Admin) Connect(ctx context.Context) error { return a.connection.Connect(ctx) }

// Address is the path of the socket.
func (a *Admin) Address() string { return a.connection.Address() }

// Close ends the connection.
func (a *Admin) Close() error { return a.conn.Close() }
