package server

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/davitd/davit/server/auth"
)

// TLS is the way in from the network.
type TLS struct {
	Listen      []string `toml:"listen" doc:"Addresses to listen on, as in \"0.0.0.0:16514\"; none and nobody comes in. A change needs a new start."`
	Certificate string   `toml:"certificate" doc:"File in PEM with the daemon's certificate, and those between it and its authority. davit pki init makes it."`
	Key         string   `toml:"key" doc:"File in PEM with the key of it, of mode 0640 at most."`
	ClientCA    string   `toml:"client_ca" doc:"File in PEM with the authorities that sign clients' certificates. These must be for the purpose of clients (extended key usage)."`
	Revoked     []string `toml:"revoked" doc:"Certificates that are refused, each as \"serial:\" or \"sha256:\" and hexadecimal digits, of the number or the fingerprint; davit pki show prints both."`

	MaxConnections          int `toml:"max_connections" doc:"Connections of all clients on the network together."`
	MaxConnectionsPerClient int `toml:"max_connections_per_client" doc:"Connections with one certificate; of who has the role read, 8 at most."`
	MaxHandshakes           int `toml:"max_handshakes" doc:"Connections that have not shown a certificate yet. Each has 5 seconds; when there are as many, the next takes the place of the oldest, of the address that has most."`
	MaxHandshakesPerAddress int `toml:"max_handshakes_per_address" doc:"Those of one address, of IPv6 those of one network of 64 bits."`

	Role []Role `toml:"role" doc:"What the holders of certificates may do. The first table that fits a certificate decides; who fits none may do nothing. Each has a role and one of san, cn and fingerprint. A * in san and cn stands for one or more characters other than . @ / and :."`
}

// Role is what the holders of certificates may do.
type Role struct {
	SAN         string `toml:"san" doc:"One of the certificate's alternative names, with its kind: \"DNS:web.example.org\", \"email:alice@example.org\", \"IP:192.0.2.1\", \"URI:davit:role/read\". The last is what davit pki client --role read puts there."`
	CN          string `toml:"cn" doc:"The common name of its subject."`
	Fingerprint string `toml:"fingerprint" doc:"The SHA-256 of one certificate: \"sha256:\" and hexadecimal digits."`
	Role        string `toml:"role" doc:"read: look; operate: also start, stop, enter; admin: everything but davit-admin.sock, which is as much as being root on this host."`
}

// Limits bounds what one client does.
type Limits struct {
	Calls          int `toml:"calls" doc:"Calls in flight. Those that only look, and destroy, have a quarter more, so that they work while others wait. At davit-ro.sock, and of who has the role read, they are 96 at most."`
	Watchers       int `toml:"watchers" doc:"Streams of events and logs. At davit-ro.sock, and of who has the role read, they are 32 at most."`
	CallsPerSecond int `toml:"calls_per_second" doc:"Calls that may begin in a second, in the long run."`
	Burst          int `toml:"burst" doc:"Calls that may begin at once after a pause."`
}

// check names the values that cannot be. Files are looked at when they are needed.
func (t TLS) check(fault func(key, format string, args ...any)) {
	for i, address := range t.Listen {
		if err := checkAddress(address); err != nil {
			fault(fmt.Sprintf("tls.listen[%d]", i+1), "%v", err)
		}
	}
	for key, path := range map[string]string{"tls.certificate": t.Certificate, "tls.key": t.Key, "tls.client_ca": t.ClientCA} {
		if !filepath.IsAbs(path) {
			fault(key, "%q is not an absolute path", path)
		}
	}
	within(fault, "tls.max_connections", t.MaxConnections, 1, 100_000)
	within(fault, "tls.max_connections_per_client", t.MaxConnectionsPerClient, 1, 100_000)
	within(fault, "tls.max_handshakes", t.MaxHandshakes, 1, 100_000)
	within(fault, "tls.max_handshakes_per_address", t.MaxHandshakesPerAddress, 1, 100_000)
	for i, text := range t.Revoked {
		if err := auth.CheckMark(text); err != nil {
			fault(fmt.Sprintf("tls.revoked[%d]", i+1), "%v", err)
		}
	}
	for i, r := range t.Role {
		if err := r.role().Check(); err != nil {
			fault(fmt.Sprintf("tls.role[%d]", i+1), "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
}

// checkAddress tells what is wrong with an address to listen on. Names are not looked up: what they stand for may change.
func checkAddress(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not an address and a port, as in \"0.0.0.0:16514\"", text)
	}
	if host != "" && net.ParseIP(host) == nil {
		return fmt.Errorf("%q is no IP address", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return errors.New("port " + strconv.Quote(port) + " is not a number from 0 to 65535")
	}
	return nil
}

// role is the one for package auth.
func (r Role) role() auth.Role {
	access, _ := auth.ParseAccess(r.Role)
	return auth.Role{SAN: r.SAN, CN: r.CN, Fingerprint: r.Fingerprint, Access: access}
}

// policy reads the files.
func (t TLS) policy() (*auth.Policy, error) {
	source := auth.Source{Certificate: t.Certificate, Key: t.Key, ClientCA: t.ClientCA, Revoked: t.Revoked}
	for _, r := range t.Role {
		source.Roles = append(source.Roles, r.role())
	}
	return auth.NewPolicy(source)
}

// CheckFiles looks at the files that a configuration names, as a start or a reload would: it tells what is wrong with those of
// the network, where somebody may come in from there.
func (c Config) CheckFiles() error {
	if len(c.TLS.Listen) == 0 {
		return nil
	}
	if _, err := c.TLS.policy(); err != nil {
		return fmt.Errorf("open way in from the network: %w", err)
	}
	return nil
}

// limits of the connections.
func (t TLS) limits() auth.NetworkLimits {
	return auth.NetworkLimits{
		Handshakes: t.MaxHandshakes, HandshakesPerAddress: t.MaxHandshakesPerAddress,
		Connections: t.MaxConnections, ConnectionsPerClient: t.MaxConnectionsPerClient,
		ConnectionsPerReader: min(t.MaxConnectionsPerClient, maxReadConnections),
	}
}

func (l Limits) check(fault func(key, format string, args ...any)) {
	within(fault, "limits.calls", l.Calls, 4, 100_000)
	within(fault, "limits.watchers", l.Watchers, 1, 100_000)
	within(fault, "limits.calls_per_second", l.CallsPerSecond, 1, 10_000_000)
	within(fault, "limits.burst", l.Burst, 1, 10_000_000)
}

// quota counts from nothing.
func (l Limits) quota() *auth.Quota {
	return auth.NewQuota(auth.CallLimits{Calls: l.Calls, Watchers: l.Watchers, Rate: l.CallsPerSecond, Burst: l.Burst})
}
