package client_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestSocketPathsOfAnyLength connects to a socket whose path is far longer than the 107 bytes of an address.
func TestSocketPathsOfAnyLength(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 60))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	listener, err := net.Listen("unix", "davit.sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("/")
	server := grpc.NewServer()
	davitv1.RegisterHostServiceServer(server, &stub{})
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	c, err := client.Dial(filepath.Join(dir, "davit.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	v, err := c.GetVersion(t.Context(), &davitv1.GetVersionRequest{})
	if err != nil || v.GetVersion() != "0.1.0" {
		t.Fatalf("GetVersion over a path of %d bytes: %v, %v", len(c.Address()), v, err)
	}
}

// TestUnreachable names the socket and keeps the system's error, and calls fail at once, not after the retry window.
func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{filepath.Join(dir, "none.sock"): fs.ErrNotExist, stale: syscall.ECONNREFUSED} {
		c, err := client.Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		err = c.Connect(t.Context())
		if !errors.Is(err, want) || !errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), path) {
			t.Errorf("Connect to %s: %v, want UNAVAILABLE because of %v", path, err, want)
		}
		if _, err := c.GetVersion(context.Background(), &davitv1.GetVersionRequest{}); !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("GetVersion at %s: %v, want UNAVAILABLE", path, err)
		}
	}
}
