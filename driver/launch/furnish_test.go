package launch_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	netlink "github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
)

// hostNetwork is a network namespace in the place of the host's.
func hostNetwork(t *testing.T) *netlink.Host {
	t.Helper()
	host, err := netlink.Open(testenv.Netns(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	return host
}

// by has others furnish who do it while the launch goes on.
func by(do func(ctx context.Context, netns *os.File) error) func(context.Context, *os.File) func() error {
	return func(ctx context.Context, netns *os.File) func() error {
		done := make(chan error, 1)
		go func() { done <- do(ctx, netns) }()
		return func() error { return <-done }
	}
}

// What others put into the network namespace is there when init runs, and belongs to the container: its root brings it down.
func TestFurnish(t *testing.T) {
	inBoth(t, func(w world) {
		host := hostNetwork(w.T)
		plan := w.plan("cat", "/sys/class/net/eth0/address", "--", "pause")
		guest, err := launch.Launch(plan, launch.Descriptors{Furnish: by(func(_ context.Context, netns *os.File) error {
			_, err := host.Attach(netns, netlink.Spec{
				Guest: "eth0", MAC: []byte{0x52, 0x54, 0, 1, 2, 3}, Addresses: []netlink.Address{{Prefix: netip.MustParsePrefix("10.0.0.2/24")}},
			})
			return err
		})})
		if err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { end(guest) })
		text := make([]byte, 4096)
		if n, err := guest.Consoles[0].Read(text); err != nil || !strings.Contains(string(text[:n]), "52:54:00:01:02:03") {
			w.Errorf("init sees %q, %v", text[:n], err)
		}
	})
}

// A container that cannot be furnished is not made, and the error says so.
func TestFurnishFails(t *testing.T) {
	inBoth(t, func(w world) {
		_, err := launch.Launch(w.plan("pause"), launch.Descriptors{Furnish: by(func(context.Context, *os.File) error {
			return os.ErrDeadlineExceeded
		})})
		e, ok := errors.AsType[*launch.Error](err)
		if !ok || e.Operation != "furnish network namespace" || !strings.Contains(e.Message, os.ErrDeadlineExceeded.Error()) {
			w.Errorf("got %v", err)
		}
	})
}

// A launch that fails otherwise meanwhile tells its own fault, and whoever furnishes is told to stop.
func TestFurnishIsCalledOff(t *testing.T) {
	inBoth(t, func(w world) {
		called := false
		d := launch.Descriptors{Furnish: by(func(ctx context.Context, _ *os.File) error {
			called = true
			<-ctx.Done()
			return ctx.Err()
		})}
		const late = 10 // among those that reset signals, soon after the child was let go: none of them may fail
		_, _, _, err := launch.LaunchBreakingWith(w.plan("pause"), d, late)
		e, ok := errors.AsType[*launch.Error](err)
		if !called || !ok || e.Operation == "furnish network namespace" {
			w.Errorf("called: %v, got %v", called, err)
		}
	})
}

// While others furnish, which may take long, we are what the kernel ends last; init has its score when it runs.
func TestScoreWhileItIsFurnished(t *testing.T) {
	inBoth(t, func(w world) {
		before, furnishing := scoreOf(w.T, os.Getpid()), -1
		guest, err := launch.Launch(w.plan("pause"), launch.Descriptors{Furnish: by(func(context.Context, *os.File) error {
			furnishing = scoreOf(w.T, os.Getpid())
			return nil
		})})
		if err != nil {
			w.Fatal(err)
		}
		defer end(guest)
		if after := scoreOf(w.T, os.Getpid()); furnishing != before || after != before {
			w.Errorf("our score is %d, %d while it is furnished, and %d afterwards", before, furnishing, after)
		}
		if got, want := scoreOf(w.T, guest.PID), min(max(before, 0)+100, 1000); got != want {
			w.Errorf("score of init is %d, want %d", got, want)
		}
	})
}

func scoreOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/oom_score_adj")
	if err != nil {
		t.Error(err)
		return -1001
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Error(err)
	}
	return n
}
