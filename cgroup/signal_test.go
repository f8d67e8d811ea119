package cgroup_test

import (
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
)

// Signals that come while limits are set, as the Go runtime sends them to its own threads at any time, fail nothing.
func TestLimitsUnderSignals(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, stop := unix.Gettid(), make(chan struct{})
	var shooting sync.WaitGroup
	shooting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Tgkill(os.Getpid(), thread, unix.SIGURG)
			}
		}
	})
	defer shooting.Wait()
	defer close(stop)
	for n := range uint64(500) {
		if err := g.SetLimits(cgroup.Limits{MemoryMax: new(64<<20 + n<<20)}); err != nil {
			t.Fatalf("limit %d: %v", n, err)
		}
	}
}
