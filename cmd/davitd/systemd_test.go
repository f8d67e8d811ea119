package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/davitd/davit/internal/testenv"
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

// hear waits for the next thing that systemd hears.
func hear(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(testenv.Scale(time.Minute))); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}
