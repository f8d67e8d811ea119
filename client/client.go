// Package client talks to davitd, the container daemon.
//
//	c, err := client.Dial("") // DAVIT_DEFAULT_URI, or the daemon of this host
//	if err != nil { … }
//	defer c.Close()
//	web, err := c.Lookup(ctx, "web")
//	if errors.Is(err, domain.ErrNotFound) { … }
//	_, err = c.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: client.ByUUID(web.GetUuid())})
//
// A [Client] has every method of DomainService, DeviceService, HostService and LogService as the API defines them (package
// davitv1), with three things added. Errors are *domain.Error, the same value that the daemon made. A call that changes something
// carries a request id, so a call that was cut off is made again and acts once, also if the daemon was killed over it and
// started anew; only a signal, a reboot or a reset may then come twice. And a daemon that restarts is waited for, as long
// as the retry window of [WithRetry] and the call's own deadline allow; one that is being drained refuses changes at once. The
// same wait, longer each time and by chance, is made where this caller has as many calls in flight as the daemon allows it, or
// begins them too fast (LIMIT_REACHED): such a call was not begun, so making it again is safe whatever it is. Other limits,
// of connections, watchers and sizes, are told at once: waiting does not mend them.
//
// What is not one question and one answer has a type of its own: [Client.Watch] follows events and [Client.Log] the log
// of a domain, and both carry on after the daemon restarts; [Client.Console] is a terminal of a domain; [Client.Exec]
// runs a command in one; [Client.Domains] and [Client.Measure] list page by page. [DialAdmin] reaches the socket on which
// root steers the daemon itself.
//
// A Client may be used by any number of goroutines. The package builds and works on every system, the daemon runs on Linux.
//
// # Compatibility
//
// A client of this version works with every daemon of davit.v1, older and newer, and a daemon with every client of
// davit.v1. An older daemon answers a method that it does not have with domain.ErrUnsupported, and refuses a field that it
// does not know in a request that changes something with domain.ErrInvalid: nothing is ever left out in silence.
//
// These may be added without notice, and a program has to live with them: methods, fields of messages, values of enums
// (states, reasons, kinds of events), reasons of errors and keys of their details, features in GetVersion, options of this
// package, and methods of its types. So let a switch over an enum have a default, treat an event of a kind that you do
// not know as a hint to look again, and do not implement the interfaces of davitv1's clients without embedding one.
//
// These never change within davit.v1: the meaning, number and name of a field, method or enum value; the code of an
// error with a given reason; the promises of the event journal; the names and meaning of this package's exported
// identifiers. Texts, of errors and warnings too, are for people and may change in every version: act on codes and reasons.
package client

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Limits of what a client takes from a daemon and waits for.
const (
	maxMessage      = 64 << 20
	defaultRetry    = 10 * time.Second
	minReconnect    = 20 * time.Millisecond
	maxReconnect    = time.Second
	connectDeadline = 10 * time.Second
)

// Client is a connection to a daemon. Make one with [Dial].
type Client struct {
	davitv1.DomainServiceClient
	davitv1.DeviceServiceClient
	davitv1.HostServiceClient
	davitv1.LogServiceClient

	events  davitv1.EventServiceClient
	console davitv1.ConsoleServiceClient
	conn    *grpc.ClientConn
	target  target
	link    *link
	retry   time.Duration
}

// link is what the connection has been through.
type link struct {
	reached atomic.Bool           // the daemon answered at least once
	last    atomic.Pointer[error] // why the last attempt to connect failed, as far as we saw it
	refusal atomic.Pointer[handshakeError]
}

// Dial prepares a connection; the first call makes it, or [Client.Connect]. The target is one of
//
//	""                              $DAVIT_DEFAULT_URI, else the daemon of this host
//	/run/davit/davit.sock           the daemon's socket, of any length
//	unix:///run/davit/davit.sock    the same
//	davit:///system                 the daemon of this host
//	davit+unix:///?socket=PATH      a daemon with another socket, in the manner of libvirt's URIs
//	davit+tls://HOST[:PORT]/system  a daemon on the network, at port 16514 unless there is another; certificates are those of
//	                                [Identity], or in the folder of ?pkipath=DIR
//	tls://HOST[:PORT]               the same
//	HOST:PORT                       the same
func Dial(to string, opts ...Option) (*Client, error) {
	o := newOptions(opts)
	t, err := resolve(to, o)
	if err != nil {
		return nil, err
	}
	l := &link{}
	conn, err := open(t, o, l)
	if err != nil {
		return nil, err
	}
	return &Client{
		DomainServiceClient: davitv1.NewDomainServiceClient(conn),
		DeviceServiceClient: davitv1.NewDeviceServiceClient(conn),
		HostServiceClient:   davitv1.NewHostServiceClient(conn),
		LogServiceClient:    davitv1.NewLogServiceClient(conn),
		events:              davitv1.NewEventServiceClient(conn),
		console:             davitv1.NewConsoleServiceClient(conn),
		conn:                conn, target: t, link: l, retry: o.retry,
	}, nil
}

// open makes a connection whose calls go through a [caller].
func open(t target, o options, l *link) (*grpc.ClientConn, error) {
	secure, err := t.credentials(o)
	if err != nil {
		return nil, err
	}
	call := caller{window: o.retry, link: l, readOnly: o.readOnly, away: o.away}
	dial := l.record(o.dialer(t))
	grpcOptions := []grpc.DialOption{
		grpc.WithTransportCredentials(handshake{secure, l, dial}),
		grpc.WithContextDialer(dial),
		grpc.WithUnaryInterceptor(call.unary),
		grpc.WithStreamInterceptor(call.stream),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minReconnect, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxReconnect},
			MinConnectTimeout: connectDeadline,
		}),
		grpc.WithUserAgent("davit-client"),
	}
	if t.network == "unix" {
		grpcOptions = append(grpcOptions, grpc.WithAuthority("localhost"))
	}
	conn, err := grpc.NewClient("passthrough:///"+t.address, grpcOptions...)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", t.address, err)
	}
	return conn, nil
}

// Connect makes the connection now and tells why it cannot be made. Without it the first call does so.
func (c *Client) Connect(ctx context.Context) error {
	c.conn.Connect()
	for {
		state := c.conn.GetState()
		switch state {
		case connectivity.Ready:
			c.link.reached.Store(true)
			c.link.refusal.Store(nil)
			return nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			if refusal := c.link.refusal.Load(); refusal != nil {
				return c.unauthenticated(refusal)
			}
			return c.unreachable(c.cause(ctx))
		case connectivity.Idle, connectivity.Connecting:
		}
		if !c.conn.WaitForStateChange(ctx, state) {
			return c.unreachable(ctx.Err())
		}
	}
}

// Address is where the daemon is: the path of its socket, or host:port.
func (c *Client) Address() string { return c.target.address }

// URI names the daemon so that [Dial] finds it again.
func (c *Client) URI() string {
	switch {
	case c.target == systemTarget(false):
		return "davit:///system"
	case c.target.network == "unix":
		return "davit+unix:///system?socket=" + c.target.address
	case c.target.pki != "":
		return "davit+tls://" + c.target.address + "/system?pkipath=" + url.QueryEscape(c.target.pki)
	}
	return "davit+tls://" + c.target.address + "/system"
}

// Close ends the connection and every stream on it.
func (c *Client) Close() error { return c.conn.Close() }

// EventPosition tells where the daemon's journal of events stands: the newest event and the oldest that is kept.
func (c *Client) EventPosition(ctx context.Context) (*davitv1.GetEventPositionResponse, error) {
	return c.events.GetEventPosition(ctx, &davitv1.GetEventPositionRequest{})
}
