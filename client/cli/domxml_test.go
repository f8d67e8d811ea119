package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/client/cli"
)

// TestBundleOfAFolder reads a bundle by its folder, and finds its program in its root.
func TestBundleOfAFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"),
		`{"ociVersion":"1.2.0","process":{"args":["server"],"env":["PATH=/usr/bin:/bin"],"cwd":"/"},"root":{"path":"rootfs"}}`)
	write(t, filepath.Join(dir, "rootfs/bin/server"), "#!/bin/sh\n")
	out, told, code := alone("domxml-from-native", "oci-bundle", dir)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, told)
	}
	for _, want := range []string{
		"<name>" + filepath.Base(dir) + "</name>", "<init>/bin/server</init>", "<source dir='" + filepath.Join(dir, "rootfs") + "'/>",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}

// TestIncludesStayInTheirFolder: a file that a configuration includes lies in its own folder, and no link leads out of it.
func TestIncludesStayInTheirFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret.conf"), "lxc.uts.name = secret\n")
	write(t, filepath.Join(dir, "web/inner.conf"), "lxc.uts.name = inner\n")
	for link, to := range map[string]string{"inside": "inner.conf", "outside": "../secret.conf", "absolute": filepath.Join(dir, "secret.conf")} {
		if err := os.Symlink(to, filepath.Join(dir, "web", link)); err != nil {
			t.Skipf("needs symbolic links: %v", err)
		}
	}
	for include, ok := range map[string]bool{
		"inner.conf": true, "inside": true, filepath.Join(dir, "web/inner.conf"): true,
		"../secret.conf": false, "outside": false, "absolute": false, filepath.Join(dir, "secret.conf"): false, "/dev/null": false,
	} {
		config := filepath.Join(dir, "web/config")
		write(t, config, "lxc.include = "+include+"\n")
		out, told, code := alone("domxml-from-native", "lxc-tools", config)
		if (code == 0) != ok || ok && !strings.Contains(out, "<name>inner</name>") {
			t.Errorf("including %s: exit code %d\n%s%s", include, code, out, told)
		}
	}
}

// alone runs a command that needs no daemon.
func alone(args ...string) (out, told string, code int) {
	var stdout, stderr strings.Builder
	code = cli.Main(args, cli.IO{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Env: func(string) string { return "" }})
	return stdout.String(), stderr.String(), code
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
