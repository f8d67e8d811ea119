package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/davitd/davit/client/pki"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// authority is one with a daemon's pair and clients of every role, and one that says a role that no rule is for.
func authority(t *testing.T) pki.Folder {
	t.Helper()
	folder := pki.Folder(t.TempDir())
	err := folder.Init(pki.Subject{Name: "host", Hosts: []string{"127.0.0.1"}, Days: 1}, pki.Subject{Name: "client", Role: "admin", Days: 1})
	for _, role := range pki.Roles {
		if err == nil {
			err = folder.AddClient(pki.Subject{Name: role, Role: role, Days: 1})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// roles are those of the certificates of an authority, by the names that say them; "unmapped" is nobody's.
func roles() []auth.Role {
	return []auth.Role{
		{SAN: "URI:" + pki.RoleURI("read"), Access: davitv1.Access_ACCESS_READ},
		{SAN: "URI:" + pki.RoleURI("operate"), Access: davitv1.Access_ACCESS_OPERATE},
		{CN: "admi*", Access: davitv1.Access_ACCESS_ADMIN},
	}
}

func source(folder pki.Folder) auth.Source {
	return auth.Source{
		Certificate: folder.Certificate("server"), Key: folder.Key("server"), ClientCA: folder.Certificate("ca"), Roles: roles(),
	}
}

func policy(t *testing.T, s auth.Source) *auth.Policy {
	t.Helper()
	p, err := auth.NewPolicy(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serveNetwork runs a server like [serve]'s for the network.
func serveNetwork(t *testing.T, p *auth.Policy, limits auth.NetworkLimits, more ...grpc.ServerOption) (*auth.Network, string) {
	t.Helper()
	table, err := auth.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	network := auth.NewNetwork(p, limits, zap.NewNop())
	options := append(auth.NewGuard(table).Options(), grpc.Creds(network.Credentials()), grpc.ConnectionTimeout(testenv.Scale(5*time.Second)))
	s := grpc.NewServer(append(options, more...)...)
	davitv1.RegisterDomainServiceServer(s, davitv1.UnimplementedDomainServiceServer{})
	davitv1.RegisterEventServiceServer(s, davitv1.UnimplementedEventServiceServer{})
	davitv1.RegisterConsoleServiceServer(s, davitv1.UnimplementedConsoleServiceServer{})
	davitv1.RegisterHostServiceServer(s, davitv1.UnimplementedHostServiceServer{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(network.Listen(l)) }()
	t.Cleanup(s.Stop)
	return network, l.Addr().String()
}

// as is the configuration of a client with a pair of a folder, or without one.
func as(t *testing.T, folder pki.Folder, pair string) *tls.Config {
	t.Helper()
	ca, err := pki.ReadCertificate(folder.Certificate("ca"))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(ca)
	if pair != "" {
		c, err := tls.LoadX509KeyPair(folder.Certificate(pair), folder.Key(pair))
		if err != nil {
			t.Fatal(err)
		}
		// Whatever authorities the daemon names: a client may show what it likes.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
	return config
}

func dialNetwork(t *testing.T, address string, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Every kind of client can call exactly the methods of its role, and who has no certificate of a client none at all.
func TestEachCertificateCallsExactlyItsMethods(t *testing.T) {
	folder, stranger := authority(t), authority(t)
	p := policy(t, source(folder))
	none := davitv1.Access_ACCESS_UNSPECIFIED
	for _, c := range []struct {
		name    string
		config  *tls.Config
		granted davitv1.Access
		refused bool // by the handshake
	}{
		{"read", as(t, folder, "read"), davitv1.Access_ACCESS_READ, false},
		{"operate", as(t, folder, "operate"), davitv1.Access_ACCESS_OPERATE, false},
		{"admin", as(t, folder, "admin"), davitv1.Access_ACCESS_ADMIN, false},
		{"no role", as(t, folder, "client"), none, false},
		{"no certificate", as(t, folder, ""), none, true},
		{"wrong authority", withRoots(as(t, stranger, "admin"), as(t, folder, "")), none, true},
		{"daemon's certificate", as(t, folder, "server"), none, true},
		{"authority's certificate", as(t, folder, "ca"), none, true},
		{"expired", withPair(as(t, folder, ""), signed(t, folder, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), none, true},
		{"not yet valid", withPair(as(t, folder, ""), signed(t, folder, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })), none, true},
		{"no purpose", withPair(as(t, folder, ""), signed(t, folder, func(c *x509.Certificate) { c.ExtKeyUsage = nil })), none, true},
		{"TLS 1.2", atMost12(as(t, folder, "admin")), none, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, address := serveNetwork(t, p, auth.NetworkLimits{})
			conn := dialNetwork(t, address, c.config)
			table, err := auth.NewTable()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range services() {
				for i := range s.Methods().Len() {
					name := fmt.Sprintf("/%s/%s", s.FullName(), s.Methods().Get(i).Name())
					want := codes.PermissionDenied
					switch {
					case c.refused:
						want = codes.Unavailable
					case c.granted >= table[name]:
						want = codes.Unimplemented // it reached the service
					}
					if got := call(t, conn, name, &emptypb.Empty{}); got.Code() != want {
						t.Errorf("%s: %v, want %v", name, got, want)
					}
				}
			}
		})
	}
}

func withRoots(config, other *tls.Config) *tls.Config {
	config.RootCAs = other.RootCAs
	return config
}

func withPair(config *tls.Config, c tls.Certificate) *tls.Config {
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	return config
}

func atMost12(config *tls.Config) *tls.Config {
	config.MaxVersion = tls.VersionTLS12
	return config
}

// signed makes a certificate as that of the client "admin", changed, and signed by the folder's authority.
func signed(t *testing.T, folder pki.Folder, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(folder.Certificate("ca"), folder.Key("ca"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(folder.Certificate("admin"), folder.Key("admin"))
	if err != nil {
		t.Fatal(err)
	}
	template, key := *pair.Leaf, pair.Leaf.PublicKey
	change(&template)
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Leaf, key, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	pair.Certificate, pair.Leaf = [][]byte{der}, nil
	return pair
}

// A new policy holds at the next call of a connection that is there: roles, authorities and revocations.
func TestPolicyHoldsForOpenConnections(t *testing.T) {
	folder := authority(t)
	network, address := serveNetwork(t, policy(t, source(folder)), auth.NetworkLimits{})
	conn := dialNetwork(t, address, as(t, folder, "admin"))
	define := func() codes.Code {
		return call(t, conn, "/davit.v1.DomainService/DefineDomain", &emptypb.Empty{}).Code()
	}
	if got := define(); got != codes.Unimplemented {
		t.Fatalf("define as admin: %v", got)
	}
	certificate, err := pki.ReadCertificate(folder.Certificate("admin"))
	if err != nil {
		t.Fatal(err)
	}
	lower, revoked, other := source(folder), source(folder), source(folder)
	lower.Roles = []auth.Role{{CN: "admin", Access: davitv1.Access_ACCESS_READ}}
	revoked.Revoked = []string{"serial:00:" + certificate.SerialNumber.Text(16)}
	other.ClientCA = authority(t).Certificate("ca")
	for name, p := range map[string]*auth.Policy{
		"lower role": policy(t, lower), "revoked": policy(t, revoked), "another authority": policy(t, other), "none": auth.Denying(),
	} {
		network.SetPolicy(p)
		if got := define(); got != codes.PermissionDenied {
			t.Errorf("%s: define is %v", name, got)
		}
		if got := call(t, conn, list, &emptypb.Empty{}).Code(); (got == codes.Unimplemented) != (name == "lower role") {
			t.Errorf("%s: list is %v", name, got)
		}
		network.SetPolicy(policy(t, source(folder)))
		if got := define(); got != codes.Unimplemented {
			t.Errorf("after %s: define is %v", name, got)
		}
	}
}

// A certificate can be revoked by any number that it may have, however the number is written.
func TestRevokedSerials(t *testing.T) {
	folder := authority(t)
	for text, number := range map[string]int64{
		"serial:0": 0, "serial:00:00": 0, "serial:1": 1, "serial:01": 1, "serial:0A:B0": 0xab0, "SERIAL:ab0": 0xab0,
	} {
		pair := withPair(as(t, folder, ""), signed(t, folder, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(number) }))
		s := source(folder)
		for revoked, want := range map[string]codes.Code{"serial:123": codes.Unimplemented, text: codes.Unavailable} {
			s.Revoked = []string{revoked}
			_, address := serveNetwork(t, policy(t, s), auth.NetworkLimits{})
			if got := call(t, dialNetwork(t, address, pair), list, &emptypb.Empty{}); got.Code() != want {
				t.Errorf("number %d with %q revoked: list is %v, want %v", number, revoked, got, want)
			}
		}
	}
}

// Who holds more connections with one certificate than it may is told, others are not concerned.
func TestConnectionsOfACertificate(t *testing.T) {
	folder := authority(t)
	_, address := serveNetwork(t, policy(t, source(folder)), auth.NetworkLimits{ConnectionsPerClient: 2})
	for range 2 {
		if got := call(t, dialNetwork(t, address, as(t, folder, "admin")), list, &emptypb.Empty{}); got.Code() != codes.Unimplemented {
			t.Fatalf("list is %v", got)
		}
	}
	refused := call(t, dialNetwork(t, address, as(t, folder, "admin")), list, &emptypb.Empty{})
	wantLimit(t, domain.FromStatus(refused.Err()), "tls.max_connections_per_client", "2")
	if got := call(t, dialNetwork(t, address, as(t, folder, "read")), list, &emptypb.Empty{}); got.Code() != codes.Unimplemented {
		t.Errorf("another's list is %v", got)
	}
}

// Connections that do not shake hands are ended, and bounded meanwhile; others come in when they are gone.
func TestSlowHandshakes(t *testing.T) {
	folder := authority(t)
	_, address := serveNetwork(t, policy(t, source(folder)), auth.NetworkLimits{Handshakes: 4, HandshakesPerAddress: 4})
	var slow []net.Conn
	for range 20 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte{0x16, 0x03, 0x01}) // the begin of a hello
		slow = append(slow, conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
	defer cancel()
	conn := dialNetwork(t, address, as(t, folder, "read"))
	err := conn.Invoke(ctx, list, &emptypb.Empty{}, &emptypb.Empty{}, grpc.WaitForReady(true))
	if code := domain.ToStatus(err).Code(); code != codes.Unimplemented {
		t.Errorf("list beside them: %v", err)
	}
	for _, c := range slow { // each was ended
		_ = c.SetReadDeadline(time.Now().Add(testenv.Scale(time.Minute)))
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("a handshake that does not go on: %v", err)
		}
	}
}

// What is wrong with the files is told at once, and the mode of a key is part of it.
func TestPolicyNamesAllFaults(t *testing.T) {
	folder := authority(t)
	s := source(folder)
	if err := os.Chmod(s.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	s.ClientCA = folder.Certificate("client")
	s.Revoked = []string{"0815", "sha256:00"}
	s.Roles = []auth.Role{{Access: davitv1.Access_ACCESS_READ}, {SAN: "host", CN: "x"}}
	_, err := auth.NewPolicy(s)
	for _, want := range []string{
		"mode 0644", "want 0640 at most", "is not an authority's", `"0815"`, `"sha256:00"`, "role 1: it has 0 of san, cn and fingerprint",
		"role 2: it has 2 of", `san "host"`, "none of read, operate and admin",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
	s = source(folder)
	s.Key, s.Certificate = filepath.Join(t.TempDir(), "none"), folder.Certificate("nobody")
	if _, err := auth.NewPolicy(s); err == nil || !strings.Contains(err.Error(), "none") || !strings.Contains(err.Error(), "nobodycert.pem") {
		t.Errorf("error is %v", err)
	}
}
