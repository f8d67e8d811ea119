package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A newcomer makes certificates, adds a client and looks at them; nothing is made twice.
func TestPKI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	for _, step := range []struct {
		args []string
		code int
		says []string
	}{
		{
			[]string{"pki", "init", dir, "--host", "node1.example", "--host", "192.0.2.7"},
			0,
			[]string{"Certificates made in " + dir, "[tls]", `client_ca = "` + dir + `/cacert.pem"`, `san = "URI:davit:role/operate"`},
		},
		{[]string{"pki", "init", dir, "--host", "node1.example"}, 1, []string{"cacert.pem", "not overwritten"}},
		{[]string{"pki", "client", "alice", "--dir", dir, "--role", "operate"}, 0, []string{"alicecert.pem", "alicekey.pem"}},
		{[]string{"pki", "client", "alice", "--dir", dir}, 1, []string{"not overwritten"}},
		{
			[]string{"pki", "show", dir},
			0,
			[]string{"CN=alice,O=davit", "davit:role/operate", "node1.example 192.0.2.7", "davit:role/admin", "serial:", "sha256:"},
		},
	} {
		r := run(t, "", "", step.args...)
		if r.code != step.code {
			t.Errorf("%v: exit code %d, %s%s", step.args, r.code, r.stdout, r.stderr)
		}
		for _, want := range step.says {
			if !strings.Contains(r.stdout+r.stderr, want) {
				t.Errorf("%v: %q does not say %q", step.args, r.stdout+r.stderr, want)
			}
		}
	}
	for _, name := range []string{"cakey.pem", "serverkey.pem", "clientkey.pem", "alicekey.pem"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
