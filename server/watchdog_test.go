package server_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/davitd/davit/internal/testenv"
	"github.com/davitd/davit/server"
)

func TestWatchdogInterval(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		ok        bool
	}{
		{"", "", 0, true},
		{"30000000", self, 30 * time.Second, true},
		{"30000000", "", 30 * time.Second, true},
		{"30000000", "1", 0, true}, // another's
		{"-1", self, 0, false},
		{"0", self, 0, false},
		{"often", self, 0, false},
		{"99999999999999", self, 0, false},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		got, err := server.WatchdogInterval()
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: %v, %v", c.usec, c.pid, got, err)
		}
	}
}

// systemd hears of a daemon that is well, and nothing of one that says it is not or says nothing.
func TestWatchdogTellsOnlyTheTruth(t *testing.T) {
	heard := systemd(t)
	const interval = 20 * time.Millisecond
	well := func(context.Context) error { return nil }
	var mood atomic.Pointer[func(context.Context) error]
	mood.Store(&well)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Watchdog(ctx, interval, func(ctx context.Context) error { return (*mood.Load())(ctx) }, zap.NewNop())
	}()
	for range 3 {
		if got := await(t, heard); got != "WATCHDOG=1" {
			t.Fatalf("systemd heard %q", got)
		}
	}
	stuck := make(chan struct{})
	for _, say := range []func() error{
		func() error { return errors.New("ill") },
		func() error { <-stuck; return nil },
	} {
		asked := make(chan struct{}, 100) // of its own: nobody knows how often the one before was asked
		ill := func(context.Context) error {
			asked <- struct{}{}
			return say()
		}
		mood.Store(&ill)
		<-asked
		mark(t, heard) // what it told before
		<-asked
		<-asked
		if got := mark(t, heard); got > 0 {
			t.Errorf("systemd heard %d times of a daemon that is not well", got)
		}
		mood.Store(&well) // and it may recover
		if got := await(t, heard); got != "WATCHDOG=1" {
			t.Errorf("systemd heard %q of a daemon that is well again", got)
		}
	}
	close(stuck)
	cancel()
	<-done
}

// mark counts what systemd heard up to now.
func mark(t *testing.T, heard <-chan string) (before int) {
	t.Helper()
	if err := server.Notify("STATUS=mark"); err != nil {
		t.Fatal(err)
	}
	for await(t, heard) != "STATUS=mark" {
		before++
	}
	return before
}

// systemd is a notification socket.
func systemd(t *testing.T) <-chan string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	heard := make(chan string, 1000)
	go func() {
		b := make([]byte, 64)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			heard <- string(b[:n])
		}
	}()
	return heard
}

func await(t *testing.T, heard <-chan string) string {
	t.Helper()
	select {
	case got := <-heard:
		return got
	case <-time.After(testenv.Scale(time.Minute)):
		t.Fatal("systemd heard nothing")
		return ""
	}
}
