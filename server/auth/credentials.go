package auth

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Credentials makes the peer of a connection, which its listener found out, known to the calls on it. A server with
// these credentials serves no connection whose peer is not known.
func Credentials() credentials.TransportCredentials { return peerCredentials{} }

// Trusted makes a listener whose connections all have the given peer. It is for connections within a process.
func Trusted(l net.Listener, p Peer) net.Listener { return trusted{l, p} }

type trusted struct {
	net.Listener
	peer Peer
}

func (l trusted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &known{Conn: conn, peer: l.peer, free: func() {}}, nil
}

// PeerOf gives the peer of a call.
func PeerOf(ctx context.Context) (Peer, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Peer{}, false
	}
	return PeerIn(p.AuthInfo)
}

// PeerIn gives the peer that a handshake of this package found, with what it may do now.
func PeerIn(info credentials.AuthInfo) (Peer, bool) {
	switch known := info.(type) {
	case peerInfo:
		return known.Peer, true
	case holderInfo:
		return known.now(), true
	}
	return Peer{}, false
}

// peerInfo is what grpc keeps of a connection.
type peerInfo struct {
	credentials.CommonAuthInfo
	Peer
}

// AuthType names the kind.
func (peerInfo) AuthType() string { return "unix" }

type peerCredentials struct{}

func (peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	k, ok := conn.(*known)
	if !ok {
		return nil, nil, errors.New("peer of the connection is not known")
	}
	// The kernel carries it: nobody else can read it or write to it.
	common := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	return conn, peerInfo{CommonAuthInfo: common, Peer: k.peer}, nil
}

func (peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's")
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}

func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

func (peerCredentials) OverrideServerName(string) error { return nil }
