package auth_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"testing"

	"github.com/davitd/davit/server/auth"
)

func TestRolesFit(t *testing.T) {
	c := &x509.Certificate{
		Raw: []byte("certificate"), Subject: pkix.Name{CommonName: "alice.ops"},
		DNSNames: []string{"Web1.Example.org"}, EmailAddresses: []string{"alice@example.org"},
		IPAddresses: []net.IP{net.ParseIP("192.0.2.1")}, URIs: []*url.URL{{Scheme: "davit", Opaque: "role/read"}},
	}
	for _, tt := range []struct {
		role auth.Role
		want bool
	}{
		{auth.Role{CN: "alice.ops"}, true},
		{auth.Role{CN: "alice.*"}, true},
		{auth.Role{CN: "*.ops"}, true},
		{auth.Role{CN: "*"}, false},
		{auth.Role{CN: "alice"}, false},
		{auth.Role{CN: "Alice.ops"}, false},
		{auth.Role{CN: "alice.ops*"}, false},
		{auth.Role{SAN: "DNS:web1.example.org"}, true},
		{auth.Role{SAN: "DNS:web*.example.org"}, true},
		{auth.Role{SAN: "DNS:*.org"}, false},
		{auth.Role{SAN: "DNS:*.*.org"}, true},
		{auth.Role{SAN: "DNS:alice@example.org"}, false},
		{auth.Role{SAN: "email:*@example.org"}, true},
		{auth.Role{SAN: "email:*@*.org"}, true},
		{auth.Role{SAN: "email:alice@example.com"}, false},
		{auth.Role{SAN: "IP:192.0.2.1"}, true},
		{auth.Role{SAN: "IP:192.0.2.2"}, false},
		{auth.Role{SAN: "URI:davit:role/read"}, true},
		{auth.Role{SAN: "URI:davit:role/*"}, true},
		{auth.Role{SAN: "URI:*"}, false},
		{auth.Role{SAN: "*:role/read"}, false},
		{auth.Role{Fingerprint: auth.Fingerprint(c)}, true},
		{auth.Role{Fingerprint: "sha256:" + "00"}, false},
		{auth.Role{}, false},
	} {
		if got := tt.role.Fits(c); got != tt.want {
			t.Errorf("%+v fits: %v, want %v", tt.role, got, tt.want)
		}
	}
}
