package client_test

import (
	"strings"
	"testing"

	"github.com/davitd/davit/client"
)

func TestDialReadsTargets(t *testing.T) {
	env := func(value string) client.Option {
		return client.WithEnvironment(func(name string) string {
			if name == "DAVIT_DEFAULT_URI" {
				return value
			}
			return "/wrong/" + name
		})
	}
	tests := []struct {
		target, environment string
		opts                []client.Option
		address             string
	}{
		{target: "", address: "/run/davit/davit.sock"},
		{target: "", opts: []client.Option{client.WithReadOnly()}, address: "/run/davit/davit-ro.sock"},
		{target: "", environment: "unix:///tmp/x.sock", address: "/tmp/x.sock"},
		{target: "/a/b.sock", environment: "unix:///tmp/x.sock", address: "/a/b.sock"},
		{target: "/a/b.sock", opts: []client.Option{client.WithReadOnly()}, address: "/a/b.sock"},
		{target: "unix:/a/b.sock", address: "/a/b.sock"},
		{target: "unix:///a/b.sock", address: "/a/b.sock"},
		{target: "davit:///system", address: "/run/davit/davit.sock"},
		{target: "davit:///", opts: []client.Option{client.WithReadOnly()}, address: "/run/davit/davit-ro.sock"},
		{target: "davit+unix:///?socket=/a/b%20c.sock", address: "/a/b c.sock"},
		{target: "davit+unix:///system?socket=/a/b.sock", address: "/a/b.sock"},
		{target: "host:16520", opts: []client.Option{client.WithInsecure()}, address: "host:16520"},
		{target: "davit+tls://host", opts: []client.Option{client.WithInsecure()}, address: "host:16514"},
		{target: "tls://[::1]/system?pkipath=/pki", opts: []client.Option{client.WithInsecure()}, address: "[::1]:16514"},
		{target: "tls://host:17", opts: []client.Option{client.WithInsecure()}, address: "host:17"},
		{target: "[::1]:16520", opts: []client.Option{client.WithInsecure()}, address: "[::1]:16520"},
	}
	for _, tt := range tests {
		c, err := client.Dial(tt.target, append(tt.opts, env(tt.environment))...)
		if err != nil {
			t.Errorf("Dial(%q): %v", tt.target, err)
			continue
		}
		if c.Address() != tt.address {
			t.Errorf("Dial(%q) is for %q, want %q", tt.target, c.Address(), tt.address)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDialRefusesTargets(t *testing.T) {
	tests := []struct{ target, because string }{
		{"host:16520", "TLS only"},
		{"davit+tls://host/system", "TLS only"},
		{"davit+tls:///system", "there is no host"},
		{"tls://alice@host/", `not by the name "alice"`},
		{"tls://host/session", `unexpected path "/session"`},
		{"tls://host/?no_verify=1", `unexpected parameter "no_verify"`},
		{"tls://host/?pkipath=pki", `pkipath "pki" is not an absolute path`},
		{"host", "neither the path of a socket nor host:port"},
		{"lxc:///system", `unknown scheme "lxc"`},
		{"http://host/", `unknown scheme "http"`},
		{"davit://host/system", `no host, not "host"`},
		{"davit:///session", `unexpected path "/session", try davit:///system`},
		{"davit+unix:///?socket=relative", `socket "relative" is not an absolute path`},
		{"unix:", "no path"},
	}
	for _, tt := range tests {
		empty := client.WithEnvironment(func(string) string { return t.TempDir() })
		c, err := client.Dial(tt.target, empty)
		if err == nil {
			_ = c.Close()
			t.Errorf("Dial(%q) is for %q, want an error", tt.target, c.Address())
			continue
		}
		if !strings.Contains(err.Error(), tt.because) {
			t.Errorf("Dial(%q): %q does not say %q", tt.target, err, tt.because)
		}
	}
}
