package server_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/server"
)

// The test binary is also a program that systemd starts.
const activationProbe = "DAVIT_SERVER_TEST_ACTIVATION"

func TestMain(m *testing.M) {
	if os.Getenv(activationProbe) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("LISTEN_PID") == "self" {
		_ = os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	}
	sockets, err := server.Activation()
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(0)
	}
	var got []string
	for name, l := range sockets {
		got = append(got, name+"="+filepath.Base(l.Addr().String()))
	}
	slices.Sort(got)
	fmt.Println(strings.Join(got, " "), os.Getenv("LISTEN_FDS"))
	os.Exit(0)
}

func TestActivation(t *testing.T) {
	dir := t.TempDir()
	var files []*os.File
	for _, name := range []string{"one", "two"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		files = append(files, f)
	}
	for _, c := range []struct{ pid, count, names, want string }{
		{"self", "2", "davitd.socket:davitd-ro.socket", "davit-ro.sock=two davit.sock=one"},
		{"self", "2", "read-only:admin", "davit-ro.sock=one davit.sock=two"},
		{"self", "1", "admin", "davit.sock=one"},
		{"self", "2", "davitd-admin.socket:davitd.socket", "davit-admin.sock=one davit.sock=two"},
		{"1", "2", "admin:read-only", ""},
		{"self", "2", "admin:admin", `error: take sockets of systemd: name "admin" is not known, or not the only one of its kind`},
		{"self", "1", "", `error: take sockets of systemd: name "" is not known, or not the only one of its kind`},
		{"self", "many", "admin", `error: take sockets of systemd: LISTEN_FDS is "many"`},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.ExtraFiles = files
		cmd.Env = append(os.Environ(), activationProbe+"=1", "LISTEN_PID="+c.pid, "LISTEN_FDS="+c.count, "LISTEN_FDNAMES="+c.names)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(out)); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestNotify(t *testing.T) {
	if err := server.Notify("READY=1"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	for _, address := range []string{path, "@davit-test-" + fmt.Sprint(os.Getpid())} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		t.Setenv("NOTIFY_SOCKET", address)
		if err = server.Notify("READY=1"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 20)
		n, err := l.Read(b)
		if err != nil || string(b[:n]) != "READY=1" {
			t.Errorf("systemd got %q, %v", b[:n], err)
		}
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := server.Notify("READY=1"); err == nil {
		t.Error("nobody was notified without an error")
	}
}
