package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/pki"
)

// within is an environment in which certificates are looked for in a folder only.
func within(dir string) client.Option {
	return client.WithEnvironment(func(name string) string {
		if name == client.PKI {
			return dir
		}
		return ""
	})
}

// made is a folder of certificates of an authority of its own.
func made(t *testing.T) pki.Folder {
	t.Helper()
	folder := pki.Folder(filepath.Join(t.TempDir(), "pki"))
	err := folder.Init(pki.Subject{Name: "daemon", Hosts: []string{"127.0.0.1"}, Days: 1}, pki.Subject{Name: "ann", Role: "read", Days: 1})
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// through gives connections whose first byte is told, and ends them.
func through(first chan<- byte) client.Option {
	return client.WithDialer(func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer func() { _ = far.Close() }()
			one := make([]byte, 1)
			if _, err := far.Read(one); err == nil {
				first <- one[0]
			}
		}()
		return near, nil
	})
}

// A daemon on the network is spoken to with TLS through a dialer, too, and without certificates not at all.
func TestDialerSpeaksTLS(t *testing.T) {
	folder := made(t)
	never := client.WithDialer(func(context.Context) (net.Conn, error) { return nil, errors.New("nobody is to connect") })
	for _, to := range []string{"davit+tls://host/system", "tls://host", "host:16514"} {
		if c, err := client.Dial(to, never, within(t.TempDir())); err == nil || !strings.Contains(err.Error(), "TLS only") {
			t.Errorf("Dial(%q) without certificates: %v", to, err)
			if err == nil {
				_ = c.Close()
			}
		}
		for name, known := range map[string]client.Option{
			"identity":      client.WithIdentity(client.Identity{Folder: string(folder)}),
			"configuration": client.WithTLS(&tls.Config{}),
		} {
			first := make(chan byte, 64)
			c, err := client.Dial(to, through(first), known, within(t.TempDir()), client.WithRetry(0))
			if err != nil {
				t.Errorf("Dial(%q) with %s: %v", to, name, err)
				continue
			}
			if err := c.Connect(t.Context()); err == nil {
				t.Error("it is connected to nobody")
			}
			if got := <-first; got != 22 { // a handshake: RFC 8446, 5.1
				t.Errorf("Dial(%q) with %s begins with %#x", to, name, got)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// The authority and the certificate are found each on its own, and the authorities of the system stand in for none.
func TestIdentityIsFound(t *testing.T) {
	folder := made(t)
	copied := func(names ...string) string { // a folder with some of the files
		dir := t.TempDir()
		for _, name := range names {
			text, err := os.ReadFile(filepath.Join(string(folder), name))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	pair, ca := copied("clientcert.pem", "clientkey.pem"), copied("cacert.pem")
	for _, test := range []struct {
		name     string
		identity client.Identity
		says     string
	}{
		{"all", client.Identity{Folder: string(folder)}, ""},
		{"authority alone", client.Identity{Folder: ca}, ""},
		{"pair alone", client.Identity{Folder: pair}, "no cacert.pem in " + pair},
		{"pair named, nothing else", client.Identity{
			Certificate: folder.Certificate("client"), Key: folder.Key("client"), Folder: t.TempDir(),
		}, "no cacert.pem in"},
		{"pair alone, public authorities", client.Identity{Folder: pair, PublicCAs: true}, ""},
		{"authority named", client.Identity{Folder: pair, CA: folder.Certificate("ca")}, ""},
		{"nothing", client.Identity{Folder: t.TempDir()}, "there are no certificates in"},
	} {
		c, err := client.Dial("tls://host", client.WithIdentity(test.identity), within(t.TempDir()))
		if err == nil {
			_ = c.Close()
		}
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
	}
}
