//go:build linux

package cli_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	return a
}

// issue makes NAME.pem and NAME.key in the authority's folder.
func (a *authority) issue(name string) {
	a.t.Helper()
	a.sign(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, a.key)
}

func (a *authority) sign(name string, c, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", secret)
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// host answers GetVersion.
type host struct {
	davitv1.UnimplementedHostServiceServer
}

func (host) GetVersion(context.Context, *davitv1.GetVersionRequest) (*davitv1.GetVersionResponse, error) {
	return &davitv1.GetVersionResponse{Version: "9.9.9", Driver: "lxc", Kernel: "6.18.0"}, nil
}

// listenTLS runs a daemon on the network that wants certificates of the authority.
func listenTLS(t *testing.T, a *authority) (address string) {
	t.Helper()
	a.issue("server")
	pair, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(a.cert)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: trusted, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})))
	davitv1.RegisterHostServiceServer(server, host{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// TestNetwork reaches a daemon by host:port with certificates, and not when either side does not know the other.
func TestNetwork(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	ours.issue("me")
	theirs.issue("me")
	address := listenTLS(t, ours)
	tests := []struct {
		name string
		args []string
		says string
		code int
	}{
		{
			"both known",
			[]string{"--cacert", ours.file("ca.pem"), "--cert", ours.file("me.pem"), "--key", ours.file("me.key")},
			"Running hypervisor: LXC 6.18.0", 0,
		},
		{
			"daemon unknown",
			[]string{"--cacert", theirs.file("ca.pem"), "--cert", ours.file("me.pem"), "--key", ours.file("me.key")},
			"certificate signed by unknown authority", 1,
		},
		{
			"caller unknown",
			[]string{"--cacert", ours.file("ca.pem"), "--cert", theirs.file("me.pem"), "--key", theirs.file("me.key")},
			"error: ", 1,
		},
		{"caller has none", []string{"--cacert", ours.file("ca.pem")}, "error: ", 1},
		{"no such file", []string{"--cacert", ours.file("none.pem")}, "error: read certificates: ", 1},
		{"no certificate in it", []string{"--cacert", ours.file("me.key")}, "holds none", 1},
		{
			"key of another",
			[]string{"--cacert", ours.file("ca.pem"), "--cert", ours.file("me.pem"), "--key", ours.file("ca.key")},
			"error: read certificate: ", 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, address, "", append(tt.args, "version")...)
			if r.code != tt.code || !strings.Contains(r.stdout+r.stderr, tt.says) {
				t.Errorf("exit code %d, %q, %q; want %d and %q", r.code, r.stdout, r.stderr, tt.code, tt.says)
			}
		})
	}
}
