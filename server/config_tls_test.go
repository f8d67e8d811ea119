package server_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/server"
)

const network = `
[tls]
listen = ["127.0.0.1:16514", "[::1]:0"]
key = "/k.pem"
revoked = ["serial:0f", "sha256:` + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + `"]

[[tls.role]]
san = "URI:davit:role/read"
role = "read"

[[tls.role]]
cn = "alice"
role = "admin"
`

func TestRolesAreRead(t *testing.T) {
	got, err := server.ParseConfig(network, "test", server.Default())
	if err != nil {
		t.Fatal(err)
	}
	want := server.Default()
	want.TLS.Listen = []string{"127.0.0.1:16514", "[::1]:0"}
	want.TLS.Key = "/k.pem"
	want.TLS.Revoked = []string{"serial:0f", "sha256:" + strings.Repeat("0123456789abcdef", 4)}
	want.TLS.Role = []server.Role{{SAN: "URI:davit:role/read", Role: "read"}, {CN: "alice", Role: "admin"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again, err := server.ParseConfig(got.TOML(), "written", server.Config{})
	if err != nil {
		t.Fatalf("%v\n%s", err, got.TOML())
	}
	if diff := cmp.Diff(got, again); diff != "" {
		t.Error(diff)
	}
}

// All faults of lists and tables come at once, each with its line.
func TestNetworkFaults(t *testing.T) {
	_, err := server.ParseConfig(strings.TrimPrefix(`
tls.revoked = 7
[tls]
listen = ["somewhere", "host:1", "127.0.0.1:70000", 5]
certificate = "server.pem"
max_handshakes = 0
[[tls.role]]
cn = "alice"
rol = "read"
[[tls.role]]
san = "alice"
cn = "bob"
role = "root"
[limits]
calls = 1
[[limits.more]]
`, "\n"), "test", server.Default())
	e, ok := errors.AsType[*domain.Error](err)
	if !ok {
		t.Fatalf("error is %v", err)
	}
	var got []string
	for _, v := range e.Violations {
		got = append(got, v.Field)
		if v.Line == 0 {
			t.Errorf("%s has no line: %s", v.Field, v.Message)
		}
	}
	for _, want := range []string{
		"tls.revoked", "tls.listen[1]", "tls.listen[2]", "tls.listen[3]", "tls.listen[4]", "tls.certificate", "tls.max_handshakes",
		"tls.role[1].rol", "tls.role[1]", "tls.role[2]", "limits.calls", "limits.more",
	} {
		found := false
		for _, field := range got {
			found = found || field == want
		}
		if !found {
			t.Errorf("no fault of %s: %v", want, err)
		}
	}
	for _, want := range []string{
		`is "tls.role.role" meant?`, "it is none of read, operate and admin", "it has 2 of san, cn and fingerprint", `san "alice" does not begin`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
}
