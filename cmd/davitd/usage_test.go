package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/davitd/davit/internal/testenv"
	"github.com/davitd/davit/server"
)

func TestArguments(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.toml")
	if err := os.WriteFile(bad, []byte("drivr = \"fake\"\n\n[log]\nlevel = \"loud\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args     []string
		code     int
		out, err string // what they contain
	}{
		{[]string{"--version"}, exitOK, "davitd unknown\n", ""},
		{[]string{"--help"}, exitOK, "Usage: davitd", ""},
		{[]string{"--drivr"}, exitUsage, "", "davitd: read arguments: flag provided but not defined: -drivr"},
		{[]string{"start"}, exitUsage, "", `davitd: read arguments: "start" is not one`},
		{[]string{"--config", filepath.Join(dir, "none")}, exitUsage, "", "no such file"},
		{[]string{"--config", bad}, exitUsage, "", "1:0: drivr: no such key, is \"driver\" meant?\n  4:0: log.level: \"loud\" is none of"},
		{[]string{"--root", dir, "--driver", "qemu"}, exitUsage, "", `driver: "qemu" is neither "lxc" nor "fake"`},
		{[]string{"--root", dir, "--log-level", "loud"}, exitUsage, "", `log.level: "loud"`},
		{[]string{"--root", dir, "--cgroup-root", "cg"}, exitUsage, "", `cgroup_root: "cg" is not an absolute path`},
		{[]string{"--root", dir, "--cgroup-root", "/cg", "--print-config"}, exitOK, "cgroup_root = \"/cg\"\n", ""},
		{[]string{"--root", dir, "--driver", "fake", "--print-config"}, exitOK, "driver = \"fake\"\n", ""},
		{[]string{"--root", dir, "--print-config"}, exitOK, "run = \"" + filepath.Join(dir, "run") + "\"\n", ""},
	} {
		code, out, errOut := output(t, c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) {
			t.Errorf("davitd %s: code %d, output %q, errors %q", strings.Join(c.args, " "), code, out, errOut)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("files were made: %v", left)
	}
}

// What --print-config prints is a configuration, and the file of a root is read.
func TestPrintedConfigurationIsRead(t *testing.T) {
	root := t.TempDir()
	_, text, _ := output(t, "--root", root, "--driver", "fake", "--print-config")
	text = strings.Replace(text, "max_lag = 4096", "max_lag = 7", 1)
	if err := os.WriteFile(server.RootedConfigPath(root), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := output(t, "--root", root, "--print-config"); code != exitOK || out != text {
		t.Errorf("code %d, %s, printed again:\n%s", code, errOut, out)
	}
}

// Without root the native driver is refused before anything is touched, and the fake one works.
func TestWithoutRoot(t *testing.T) {
	testenv.Require(t, testenv.Root) // to become somebody else
	root := openDir(t)
	if err := os.Chown(root, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = self.Close() }()
	as := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3", args...)
		cmd.ExtraFiles = []*os.File{self}
		cmd.Env = append(os.Environ(), runVariable+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return cmd
	}
	text, err := as("--root", root).CombinedOutput()
	want := `davitd: open driver "lxc": it needs root, this is user 65534; --driver fake`
	if err == nil || !strings.Contains(string(text), want) {
		t.Errorf("native driver: %v, %s", err, text)
	}
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("made %v", left)
	}
	s := &site{root: root, driver: "fake", partition: "/"}
	d := s.await(t, newDaemon(as("--root", root, "--driver", "fake")))
	// Non-dumpable: its files in /proc are root's, so that other processes of its user cannot look into it.
	info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || owner.Uid != 0 {
		t.Errorf("the daemon is open to its user: %v", info)
	}
	c := s.client(t)
	s.define(t, c, "web")
	if err := startDomain(t.Context(), c, "web"); err != nil {
		t.Error(err)
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}

// openDir makes a folder that other users can reach; those of the testing package lie in private ones.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(os.TempDir(), "davitd-test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
