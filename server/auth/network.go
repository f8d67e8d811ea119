package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// NetworkLimits bounds the connections of clients on the network.
type NetworkLimits struct {
	// Handshakes that are under way, and those of each address.
	Handshakes, HandshakesPerAddress int
	// Connections of all clients, and of each certificate; of one by which its holder may only look, ConnectionsPerReader.
	Connections, ConnectionsPerClient, ConnectionsPerReader int
}

// Network is the way in for clients on the network: TLS 1.3 in which both sides show a certificate, and nothing else. What
// the holder of a certificate may do is asked of the policy at every call, so that a new policy holds for connections
// that are there already.
type Network struct {
	policy     atomic.Pointer[Policy]
	handshakes handshakes
	clients    counter
	refusals   refusals
	perReader  int
	readers    *branch // nil where who looks only is served like all others
}

// NewNetwork makes a way in.
func NewNetwork(p *Policy, limits NetworkLimits, log *zap.Logger) *Network {
	n := &Network{
		handshakes: newHandshakes(limits.Handshakes, limits.HandshakesPerAddress),
		clients: newCounter(Limits{
			Total: limits.Connections, TotalName: "tls.max_connections",
			PerUser: limits.ConnectionsPerClient, PerUserName: "tls.max_connections_per_client",
		}),
		refusals:  refusals{log: log},
		perReader: limits.ConnectionsPerReader,
	}
	n.policy.Store(p)
	return n
}

// SetPolicy lets another policy hold from now on.
func (n *Network) SetPolicy(p *Policy) { n.policy.Store(p) }

// Listen makes a listener of one for TCP. The handshake of a connection is made by [Network.Credentials].
func (n *Network) Listen(l net.Listener) net.Listener { return &networkListener{l, n} }

type networkListener struct {
	net.Listener
	network *Network
}

// Accept waits for a connection whose handshake may begin.
func (l *networkListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := conn.RemoteAddr().String()
		s := &stranger{Conn: conn}
		s.done = func() { l.network.handshakes.end(s) }
		if s.origin, err = originOf(address); err == nil {
			err = l.network.handshakes.begin(s)
		}
		if err != nil {
			l.network.refusals.add(Peer{Kind: KindTLS, Address: address}, err)
			_ = conn.Close()
			continue
		}
		return s, nil
	}
}

// Credentials make the handshakes of the listeners.
func (n *Network) Credentials() credentials.TransportCredentials { return networkCredentials{n} }

type networkCredentials struct{ network *Network }

// ServerHandshake finds out who the client is. The time for it is the connection's deadline, which grpc sets.
func (c networkCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if h, ok := raw.(*handed); ok {
		return h.Conn, h.info, nil
	}
	s, ok := raw.(*stranger)
	if !ok {
		return nil, nil, errors.New("connection is not one of the network's listeners")
	}
	defer s.done()
	conn, info, err := c.network.shake(s)
	if err != nil {
		if late := s.late.Load(); late != nil {
			err = *late
		}
		c.network.refusals.add(Peer{Kind: KindTLS, Address: raw.RemoteAddr().String()}, err)
		linger(s.Conn)
		_ = s.Close()
		return nil, nil, err
	}
	if readers := c.network.readers; readers != nil && looksOnly(info.holder) {
		s.done() // it has shown its certificate, however long the other server takes
		s.handed.Store(true)
		if err := readers.hand(conn, info); err != nil {
			return nil, nil, err
		}
		return nil, nil, credentials.ErrConnDispatched
	}
	return conn, info, nil
}

// shake makes the handshake.
func (n *Network) shake(s *stranger) (conn net.Conn, info holderInfo, err error) {
	secured := tls.Server(s.Conn, n.policy.Load().config())
	if err := secured.Handshake(); err != nil { //nolint:noctx // the connection has a deadline
		return nil, info, fmt.Errorf("shake hands: %w", err)
	}
	state := secured.ConnectionState()
	if state.NegotiatedProtocol != protocol {
		return nil, info, fmt.Errorf("shake hands: the client speaks %q, want %q", state.NegotiatedProtocol, protocol)
	}
	h := &holder{
		network: n, chain: state.PeerCertificates,
		peer: Peer{
			Kind: KindTLS, Certificate: describe(state.PeerCertificates[0]), Address: s.RemoteAddr().String(),
		},
	}
	most := n.clients.limits.PerUser
	if looksOnly(h) {
		most = n.perReader
	}
	known, over := n.clients.admit(secured, h.peer, h.peer.Certificate.Fingerprint, most, false)
	if known == nil {
		return nil, info, over
	}
	h.peer.over = over
	common := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	return known, holderInfo{common, h}, nil
}

// lingering is how much a client may still send, and how long, before its connection is closed: closed at once it
// would be told that it was reset, and not why.
const (
	lingerBytes = 64 << 10
	lingerTime  = time.Second
)

// linger lets the client read why its handshake failed.
func linger(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, conn, lingerBytes)
}

func (networkCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's")
}

func (networkCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (c networkCredentials) Clone() credentials.TransportCredentials { return c }

func (networkCredentials) OverrideServerName(string) error { return nil }

// holder is the holder of a certificate, on one connection.
type holder struct {
	network *Network
	chain   []*x509.Certificate
	peer    Peer
	judged  atomic.Pointer[judgement]
	held    atomic.Int32 // the highest access that it was ever judged to have
}

// now is the peer with what it may do now.
func (h *holder) now() Peer {
	p, policy, at := h.peer, h.network.policy.Load(), time.Now()
	j := h.judged.Load()
	if j == nil || j.policy != policy || !j.ends.IsZero() && at.After(j.ends) {
		j = policy.judge(h.chain, at)
		h.hold(j.access)
		h.judged.Store(j)
	}
	p.Access, p.Denied, p.Ends, p.Held = j.access, j.denied, j.ends, davitv1.Access(h.held.Load())
	return p
}

// hold notes an access before anybody is granted it.
func (h *holder) hold(a davitv1.Access) {
	for {
		held := h.held.Load()
		if int32(a) <= held || h.held.CompareAndSwap(held, int32(a)) {
			return
		}
	}
}

// holderInfo is what grpc keeps of a connection of the network.
type holderInfo struct {
	credentials.CommonAuthInfo
	*holder
}

// AuthType names the kind.
func (holderInfo) AuthType() string { return "tls" }
