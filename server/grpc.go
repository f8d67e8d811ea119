package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"

	"github.com/davitd/davit/server/audit"
	"github.com/davitd/davit/server/auth"
)

// Limits of a connection. grpc has none of them by itself but those of the message.
const (
	// spareStreams are calls at once on a connection beyond those that the limits let a client have in flight: a call that is
	// above them is told so at once, and does not wait in HTTP/2 for the end of others, nor keep those waiting that would
	// end them.
	spareStreams   = 64
	maxMessage     = 2 << 20 // a request: a definition has at most 1 MiB
	maxHeaders     = 16 << 10
	handshakeLimit = 5 * time.Second
	// leastPing is how often a client may ping; one that does so more often is cut off.
	leastPing = 10 * time.Second
	// maxIdle is how long a connection may be without a call.
	maxIdle = 30 * time.Minute
	// probe is how often a quiet client is asked whether it is there, and deaf how long it has to answer.
	probe = 2 * time.Minute
	deaf  = 30 * time.Second
)

// Limits of a connection to the read-only socket, which every user of the host may open, and of one from the network of who
// has the role read: together they bound what one of them can make the daemon hold.
const (
	// maxReadCalls, of which a quarter more are let in, and maxReadWatchers are what one of them has at most, whatever the
	// configuration allows.
	maxReadCalls    = 96
	maxReadWatchers = 32
	// maxReadConnections are those of one certificate; at the socket it is socket.max_readers_per_user.
	maxReadConnections = 8

	maxReadMessage = 64 << 10 // no request to look holds a definition
	maxReadHeaders = 8 << 10
	// readWindow is how much of requests is taken before they are dealt with, of a call and of all; grpc has no less.
	readWindow = 64 << 10
)

// streams is how many calls at once a connection has room for: all that a client may have in flight, and more.
func (l Limits) streams() uint32 {
	return uint32(l.Calls + l.Calls/4 + l.Watchers + spareStreams)
}

// read are the limits of who may only look.
func (l Limits) read() Limits {
	l.Calls, l.Watchers = min(l.Calls, maxReadCalls), min(l.Watchers, maxReadWatchers)
	return l
}

// adminLimits are the limits of connections of those who may do everything.
func adminLimits(streams uint32) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(streams),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
	}
}

// readLimits are the limits of connections of those who may only look, their answers included; see [shelf].
func readLimits(streams uint32, t auth.Table) []grpc.ServerOption {
	return append(shelving(t),
		grpc.MaxConcurrentStreams(streams),
		grpc.MaxRecvMsgSize(maxReadMessage),
		grpc.MaxHeaderListSize(maxReadHeaders),
		grpc.StaticStreamWindowSize(readWindow),
		grpc.StaticConnWindowSize(readWindow),
	)
}

// networkLimits are the limits of connections from the network of those who may do more than look: whoever is there does not
// make the daemon hold answers without end.
func networkLimits(streams uint32, t auth.Table) []grpc.ServerOption {
	return append(adminLimits(streams), shelving(t)...)
}

// shelving gives each connection a shelf for its answers.
func shelving(t auth.Table) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.StatsHandler(shelves{garbage: new(collector)}),
		grpc.ForceServerCodecV2(shelvingCodec{encoding.GetCodecV2(proto.Name)}),
		grpc.ChainUnaryInterceptor(shelveAnswers(t)),
		grpc.ChainStreamInterceptor(shelveMessages),
	}
}

// newGRPC makes a server with the limits, the guard and the interceptors. What is recorded comes first: it tells what
// became of a call after all others.
func newGRPC(guard *auth.Guard, record *audit.Door, c *calls, limits []grpc.ServerOption) *grpc.Server {
	guard.Denied, guard.Limited = record.Denied, record.Limited
	options := append(record.Options(),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: maxIdle, Time: probe, Timeout: deaf}),
		grpc.ChainUnaryInterceptor(c.unary),
		grpc.ChainStreamInterceptor(c.stream),
	)
	options = append(options, guard.Options()...)
	return grpc.NewServer(append(append(options, limits...), auth.Lines())...)
}
