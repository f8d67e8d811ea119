package admin

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// Clients are the connections of all sockets. The zero value has none.
type Clients struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*client
}

// client is a connection.
type client struct {
	id        uint64
	socket    string
	peer      auth.Peer        // as it was when it connected
	look      func() auth.Peer // as it is now
	connected time.Time
	conn      net.Conn
	end       *time.Timer // of the certificate; nil for one that has none

	calls map[uint64]string // that run, by a number of their own
	next  uint64
}

// Options are what the server of a socket needs for its connections to be known under the socket's name. They stand in the
// place of the credentials, which are of package auth.
func (c *Clients) Options(socket string, by credentials.TransportCredentials) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(counted{by, c, socket}),
		grpc.ChainUnaryInterceptor(c.unary),
		grpc.ChainStreamInterceptor(c.stream),
	}
}

// counted are credentials that count the connections that pass.
type counted struct {
	credentials.TransportCredentials
	clients *Clients
	socket  string
}

func (t counted) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := t.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	who, ok := auth.PeerIn(info)
	if !ok {
		return nil, nil, errors.New("peer of the connection is not known")
	}
	look := func() auth.Peer {
		now, _ := auth.PeerIn(info)
		return now
	}
	return t.clients.add(t.socket, who, look, conn), info, nil
}

func (t counted) Clone() credentials.TransportCredentials {
	return counted{t.TransportCredentials.Clone(), t.clients, t.socket}
}

func (c *Clients) add(socket string, who auth.Peer, look func() auth.Peer, conn net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[uint64]*client)
	}
	c.last++
	on := &client{
		id: c.last, socket: socket, peer: who, look: look, connected: time.Now(), conn: conn, calls: make(map[uint64]string),
	}
	c.open[on.id] = on
	if who.Kind == auth.KindTLS {
		on.end = time.AfterFunc(untilLook(who), func() { c.lookAgain(on) })
	}
	return &numbered{Conn: conn, address: address{conn.RemoteAddr(), c.last}, clients: c}
}

// numbered is a connection that has its number in its address.
type numbered struct {
	net.Conn
	address address
	clients *Clients
}

// address is that of the other end.
type address struct {
	net.Addr
	id uint64
}

func (n *numbered) RemoteAddr() net.Addr { return n.address }

// Close ends the connection.
func (n *numbered) Close() error {
	n.clients.remove(n.address.id)
	return n.Conn.Close()
}

func (c *Clients) remove(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(id)
}

// forget takes a connection out of those that are open. The mutex is held.
func (c *Clients) forget(id uint64) *client {
	on := c.open[id]
	delete(c.open, id)
	if on != nil && on.end != nil {
		on.end.Stop()
	}
	return on
}

// lookInterval is how often the end of a certificate is looked for at least: the clock may be set meanwhile.
const lookInterval = time.Minute

// untilLook is how long a certificate is sure to be valid.
func untilLook(who auth.Peer) time.Duration {
	if who.Ends.IsZero() {
		return lookInterval
	}
	return min(lookInterval, max(0, time.Until(who.Ends))+time.Millisecond)
}

// lookAgain ends a connection whose certificate is no longer valid, or looks again later.
func (c *Clients) lookAgain(on *client) {
	now := on.look()
	if lost(now) {
		c.Disconnect(on.id)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[on.id] == on {
		on.end.Reset(untilLook(now))
	}
}

// lost tells whether somebody may do less than it ever could on its connection; or nothing, on the network.
func lost(now auth.Peer) bool {
	return now.Access < now.Held || now.Kind == auth.KindTLS && now.Access == davitv1.Access_ACCESS_UNSPECIFIED
}

// begin notes a call of a connection until end is called.
func (c *Clients) begin(ctx context.Context, method string) (end func()) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return func() {}
	}
	at, ok := p.Addr.(address)
	if !ok {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	on := c.open[at.id]
	if on == nil { // it is cut off already
		return func() {}
	}
	on.next++
	number := on.next
	on.calls[number] = method
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(on.calls, number)
	}
}

func (c *Clients) unary(ctx context.Context, q any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	defer c.begin(ctx, call.FullMethod)()
	return next(ctx, q)
}

func (c *Clients) stream(server any, stream grpc.ServerStream, call *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	defer c.begin(stream.Context(), call.FullMethod)()
	return next(server, stream)
}

// List lists the connections in order of their number.
func (c *Clients) List() []*davitv1.ConnectedClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*davitv1.ConnectedClient, 0, len(c.open))
	for _, on := range c.open {
		one := &davitv1.ConnectedClient{
			Id: on.id, Socket: on.socket, Uid: on.peer.UID, Pid: uint32(on.peer.PID), Connected: timestamppb.New(on.connected),
			Access: auth.Word(on.look().Access),
		}
		if holder := on.peer.Certificate; holder != nil {
			one.Certificate, one.Serial, one.Address = holder.Subject, holder.Serial, on.peer.Address
		}
		for _, method := range on.calls {
			one.Calls = append(one.Calls, method)
		}
		slices.Sort(one.Calls)
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *davitv1.ConnectedClient) int { return cmp.Compare(a.GetId(), b.GetId()) })
	return list
}

// Count counts the connections, and the calls that run on them.
func (c *Clients) Count() (clients, calls int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, on := range c.open {
		calls += len(on.calls)
	}
	return len(c.open), calls
}

// CutOff ends the connections of those who may do less than they ever could on them, and so the streams that the rights of
// then have opened; and of those on the network who may do nothing. It tells how many they were.
func (c *Clients) CutOff() int {
	c.mu.Lock()
	var ids []uint64
	for id, on := range c.open {
		if lost(on.look()) {
			ids = append(ids, id)
		}
	}
	c.mu.Unlock()
	for _, id := range ids {
		c.Disconnect(id)
	}
	return len(ids)
}

// Disconnect ends a connection, and so the calls on it; false if there is none of that number.
func (c *Clients) Disconnect(id uint64) bool {
	c.mu.Lock()
	on := c.forget(id)
	c.mu.Unlock()
	if on == nil {
		return false
	}
	_ = on.conn.Close() // grpc notices, and closes it again
	return true
}
