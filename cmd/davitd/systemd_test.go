package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// systemd hears when the daemon is ready, again and again that it is well, and when it ends.
func TestSystemdHears(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := newSite(t, "fake")
	d := s.command(t, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=50000")
	if err = d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := hear(t, l); got != want {
			t.Fatalf("systemd heard %q, want %q", got, want)
		}
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
	got := hear(t, l)
	for got == "WATCHDOG=1" {
		got = hear(t, l)
	}
	if got != "STOPPING=1" {
		t.Errorf("systemd heard %q at the end", got)
	}
}

// systemd hears when the configuration is read again, and what came of it; a fault is told until there is none any more, also by
// the daemon itself, and --check finds it before.
func TestSystemdHearsOfReloads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := newSite(t, "fake")
	good, err := os.ReadFile(server.RootedConfigPath(s.root))
	if err != nil {
		t.Fatal(err)
	}
	d := s.command(t, "NOTIFY_SOCKET="+path)
	if err = d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	if got := hear(t, l); got != "READY=1" {
		t.Fatalf("systemd heard %q first", got)
	}
	last := int64(0)
	for _, step := range []struct {
		config string
		code   int // of --check
		status string
		stale  bool
	}{
		{string(good), exitOK, "The configuration is read again", false},
		{"drivr = 'fake'\n[log]\nlevel = 'loud'\n", exitUsage, "NOT read again", true},
		{string(good) + "[tls]\nlisten = ['127.0.0.1:0']\nkey = '/nowhere/key.pem'\n", exitUsage, "", false},
		{string(good), exitOK, "The configuration is read again", false},
	} {
		if err := os.WriteFile(server.RootedConfigPath(s.root), []byte(step.config), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errOut := output(t, "--root", s.root, "--check"); code != step.code || (code == exitOK) != (errOut == "") {
			t.Errorf("davitd --check of %q ends with %d, %q", step.config, code, errOut)
		}
		if step.status == "" { // it is for --check only: this daemon does not listen on the network
			continue
		}
		if err := d.cmd.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		var usec int64
		if n, err := fmt.Sscanf(hear(t, l), "RELOADING=1\nMONOTONIC_USEC=%d", &usec); n != 1 || err != nil || usec <= last {
			t.Fatalf("systemd heard of time %d, after %d: %v", usec, last, err)
		}
		last = usec
		state, status, _ := strings.Cut(hear(t, l), "\nSTATUS=")
		if state != "READY=1" || !strings.Contains(status, step.status) || strings.Contains(status, "\n") || strings.Contains(status, "drivr") {
			t.Errorf("systemd heard %q, %q", state, status)
		}
		if got := staleness(t, s.client(t)); (got != "") != step.stale || step.stale && !strings.Contains(got, "drivr") {
			t.Errorf("the daemon tells of its configuration %q", got)
		}
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}

// staleness is what a daemon finds wrong with its configuration.
func staleness(t *testing.T, c *client.Client) string {
	t.Helper()
	r, err := c.DiagnoseHost(t.Context(), &davitv1.DiagnoseHostRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.GetFindings() {
		if f.GetSubject() == "configuration" {
			return f.GetSeen()
		}
	}
	return ""
}

// hear waits for the next thing that systemd hears.
func hear(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(testenv.Scale(time.Minute))); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}
