package pki_test

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/client/pki"
)

var (
	server = pki.Subject{Name: "node1", Hosts: []string{"node1.example", "192.0.2.7", "::1"}, Days: 30}
	client = pki.Subject{Name: "client", Role: "admin", Days: 30}
)

// What Init makes is valid for what it is for, and nothing else; keys are for their owner only.
func TestInit(t *testing.T) {
	for _, algorithm := range []string{pki.P256, pki.Ed25519} {
		folder := pki.Folder(filepath.Join(t.TempDir(), "new", "pki"))
		s, c := server, client
		s.Algorithm, c.Algorithm = algorithm, algorithm
		if err := folder.Init(s, c); err != nil {
			t.Fatal(err)
		}
		all, err := folder.List()
		if err != nil || len(all) != 3 {
			t.Fatalf("certificates are %v, %v", all, err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(all["ca"])
		for name, use := range map[string]x509.ExtKeyUsage{"server": x509.ExtKeyUsageServerAuth, "client": x509.ExtKeyUsageClientAuth} {
			for _, asked := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				_, err := all[name].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{asked}})
				if (err == nil) != (asked == use) {
					t.Errorf("%s, %s for purpose %d: %v", algorithm, name, asked, err)
				}
			}
		}
		for _, host := range server.Hosts {
			if err := all["server"].VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
		if err := all["server"].VerifyHostname("node2.example"); err == nil {
			t.Error("the server's certificate is for another host, too")
		}
		if got := all["client"].URIs; len(got) != 1 || got[0].String() != pki.RoleURI("admin") {
			t.Errorf("names of the client are %v", got)
		}
		for _, pair := range []string{"ca", "server", "client"} {
			info, err := os.Stat(folder.Key(pair))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("key of %s: %v, %v", pair, info.Mode(), err)
			}
		}
	}
}

// What is there is not overwritten, and what fails leaves nothing behind.
func TestNothingIsOverwritten(t *testing.T) {
	folder := pki.Folder(t.TempDir())
	if err := os.WriteFile(folder.Key("client"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := folder.Init(server, client); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "clientkey.pem") {
		t.Errorf("init over a key: %v", err)
	}
	entries, err := os.ReadDir(string(folder))
	if err != nil || len(entries) != 1 {
		t.Errorf("folder has %v, %v", entries, err)
	}
	if text, err := os.ReadFile(folder.Key("client")); err != nil || string(text) != "mine" {
		t.Errorf("the key is %q, %v", text, err)
	}
}

func TestAddClient(t *testing.T) {
	folder := pki.Folder(t.TempDir())
	if err := folder.Init(server, client); err != nil {
		t.Fatal(err)
	}
	if err := folder.AddClient(pki.Subject{Name: "bob@example", Role: "read", Days: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := pki.ReadCertificate(folder.Certificate("bob@example"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.ReadCertificate(folder.Certificate("ca"))
	if err != nil {
		t.Fatal(err)
	}
	if err = c.CheckSignatureFrom(ca); err != nil {
		t.Error(err)
	}
	if c.Subject.CommonName != "bob@example" || c.URIs[0].String() != "davit:role/read" {
		t.Errorf("subject is %v, names %v", c.Subject, c.URIs)
	}
	for _, bad := range []struct {
		subject pki.Subject
		want    string
	}{
		{pki.Subject{Name: "bob@example", Role: "read", Days: 1}, "not overwritten"},
		{pki.Subject{Name: "../bob", Role: "read", Days: 1}, "name"},
		{pki.Subject{Name: ".bob", Role: "read", Days: 1}, "name"},
		{pki.Subject{Name: "", Role: "read", Days: 1}, "name"},
		{pki.Subject{Name: strings.Repeat("b", 65), Role: "read", Days: 1}, "name"},
		{pki.Subject{Name: "ca", Role: "read", Days: 1}, "meaning of its own"},
		{pki.Subject{Name: "eve", Role: "root", Days: 1}, "none of read, operate, admin"},
		{pki.Subject{Name: "eve", Role: "read", Days: 0}, "0 days are not from 1 to 20000"},
		{pki.Subject{Name: "eve", Role: "read", Days: 5000}, "give fewer days"},
		{pki.Subject{Name: "eve", Role: "read", Days: 1, Algorithm: "rsa"}, `algorithm "rsa"`},
	} {
		if err = folder.AddClient(bad.subject); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%+v: %v, want %q", bad.subject, err, bad.want)
		}
	}
	entries, err := os.ReadDir(string(folder))
	if err != nil || len(entries) != 8 {
		t.Errorf("folder has %v, %v", entries, err)
	}
}

// A key that is not the authority's signs nothing.
func TestKeyOfAnotherAuthority(t *testing.T) {
	one, two := pki.Folder(t.TempDir()), pki.Folder(t.TempDir())
	for _, folder := range []pki.Folder{one, two} {
		if err := folder.Init(server, client); err != nil {
			t.Fatal(err)
		}
	}
	key, err := os.ReadFile(two.Key("ca"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(one.Key("ca"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := one.AddClient(pki.Subject{Name: "bob", Role: "read", Days: 1}); err == nil || !strings.Contains(err.Error(), "is not that of") {
		t.Errorf("add client: %v", err)
	}
}

func TestHostsAreNamesOrAddresses(t *testing.T) {
	for _, host := range []string{"", "a b", "-a", "a..b", "a/b", "*.example", strings.Repeat("a", 64)} {
		s := server
		s.Hosts = []string{host}
		err := pki.Folder(t.TempDir()).Init(s, client)
		if err == nil || !strings.Contains(err.Error(), "neither a name nor an address") {
			t.Errorf("host %q: %v", host, err)
		}
	}
	if !slices.Contains(pki.Roles, client.Role) {
		t.Errorf("roles are %v", pki.Roles)
	}
}
