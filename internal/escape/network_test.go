package escape_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/pki"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// noRole is a client whose certificate is good and has no role.
const noRole = "client"

// authority makes certificates in a folder: of a daemon, of a client of each role, and of one of none.
func authority(t *testing.T, folder pki.Folder) {
	t.Helper()
	err := folder.Init(pki.Subject{Name: "host", Hosts: []string{"127.0.0.1"}, Days: 1}, pki.Subject{Name: noRole, Role: "admin", Days: 1})
	for _, role := range pki.Roles {
		if err == nil {
			err = folder.AddClient(pki.Subject{Name: role, Role: role, Days: 1})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pki is where the daemon has its certificates, which anybody may read: beside its state, which nobody may.
func (s *suite) pki() pki.Folder { return pki.Folder(s.folder + "/pki") }

// networkConfig lets clients of each role in from the network.
func (s *suite) networkConfig(t *testing.T) string {
	t.Helper()
	authority(t, s.pki())
	var b strings.Builder
	fmt.Fprintf(&b, "[tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = %q\nkey = %q\nclient_ca = %q\n",
		s.pki().Certificate("server"), s.pki().Key("server"), s.pki().Certificate("ca"))
	for _, role := range pki.Roles {
		fmt.Fprintf(&b, "[[tls.role]]\ncn = %q\nrole = %q\n", role, role)
	}
	return b.String()
}

// listens is what the daemon's log says of its address.
var listens = regexp.MustCompile(`davitd listens on the network.*"address":"([^"]+)"`)

// address is where the daemon listens on the network.
func (s *suite) address(tb testing.TB) string {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if all := listens.FindAllStringSubmatch(s.log.String(), -1); all != nil { // the log comes when it comes
			return all[len(all)-1][1]
		}
	}
	tb.Fatal("the daemon says not where it listens")
	return ""
}

// dialNetwork connects to the daemon with a pair of a folder.
func (s *suite) dialNetwork(t *testing.T, folder pki.Folder, pair string) *grpc.ClientConn {
	t.Helper()
	ca, err := pki.ReadCertificate(s.pki().Certificate("ca"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.LoadX509KeyPair(folder.Certificate(pair), folder.Key(pair))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	config.RootCAs.AddCert(ca)
	// Shown whatever authorities the daemon asks for.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	conn, err := grpc.NewClient(s.address(t), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// harmless is a device that every domain may have, so that nothing is refused but who asks for it.
const harmless = "<filesystem type='ram'><source usage='1024' units='KiB'/><target dir='/harmless'/></filesystem>"

// routes are the calls that change what a domain has, by their names: a domain is defined, changed and taken away.
func (c *scene) routes(t *testing.T, conn *grpc.ClientConn) map[string]error {
	t.Helper()
	const name = "route"
	domains, devices := davitv1.NewDomainServiceClient(conn), davitv1.NewDeviceServiceClient(conn)
	document := client.XML(c.document(domainOptions{name: name, argv: []string{"pause"}}))
	results := map[string]error{}
	_, results["DefineDomain"] = domains.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: document})
	_, results["AttachDevice"] = devices.AttachDevice(t.Context(), &davitv1.AttachDeviceRequest{
		Domain: client.ByName(name), Source: client.DeviceXML(harmless),
	})
	_, results["UpdateDomain"] = domains.UpdateDomain(t.Context(), titleUpdate(name))
	_, results["UndefineDomain"] = domains.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: client.ByName(name)})
	return results
}

// roleRoutes tries the routes, and every method, as holders of certificates who may not.
func (c *scene) roleRoutes(t *testing.T) {
	t.Helper()
	other := pki.Folder(t.TempDir() + "/pki")
	authority(t, other)
	for _, holder := range []struct {
		what   string
		folder pki.Folder
		pair   string
		role   davitv1.Access
		code   codes.Code
	}{
		{"a reader", c.pki(), "read", davitv1.Access_ACCESS_READ, codes.PermissionDenied},
		{"an operator", c.pki(), "operate", davitv1.Access_ACCESS_OPERATE, codes.PermissionDenied},
		{"one without a role", c.pki(), noRole, davitv1.Access_ACCESS_UNSPECIFIED, codes.PermissionDenied},
		{"an admin of another authority", other, "admin", davitv1.Access_ACCESS_UNSPECIFIED, codes.Unavailable},
	} {
		conn := c.dialNetwork(t, holder.folder, holder.pair)
		for route, err := range c.routes(t, conn) {
			if status.Code(err) != holder.code {
				c.escapes(t, "%s comes by %s to %v", holder.what, route, err)
			}
		}
		for _, m := range methods() {
			if m.access <= holder.role {
				continue
			}
			if err := call(t.Context(), conn, m, dynamicpb.NewMessage(m.descriptor.Input())); status.Code(err) != holder.code {
				c.escapes(t, "%s answers %s: %v", m.path(), holder.what, err)
			}
		}
	}
}

// altRouteAdmin goes the same routes as who may.
func altRouteAdmin(c *scene) string {
	t := c.t
	for route, err := range c.routes(t, c.dialNetwork(t, c.pki(), "admin")) {
		if err != nil {
			t.Errorf("%s as admin: %v", route, domain.FromStatus(err))
		}
	}
	return "with the certificate of an admin each route leads in"
}
