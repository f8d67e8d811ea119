package cgroup_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/internal/testenv"
)

// hog takes more memory than a small limit.
const hog = `a=$(head -c 100000000 /dev/zero | tr '\0' x)`

func TestOOMIsCountedAndWatched(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{MemoryMax: new(uint64(24 << 20)), MemorySwapMax: new(uint64(24 << 20))})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	counts, err := g.WatchOOM(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-counts:
		t.Fatalf("count %d is told before anything happened", n)
	case <-time.After(50 * time.Millisecond):
	}
	for range 2 {
		run(t, g, hog)
	}
	var last uint64
	for deadline := time.After(testenv.Scale(time.Minute)); last < 2; {
		select {
		case n := <-counts:
			if n <= last {
				t.Errorf("count %d follows %d", n, last)
			}
			last = n
		case <-deadline:
			t.Fatalf("last count is %d, want 2", last)
		}
	}
	if n, readErr := g.OOMKills(); n != last || readErr != nil {
		t.Errorf("count is %d, %v; was told %d", n, readErr, last)
	}
	if s, statsErr := g.Stats(); s.OOMKills != last || statsErr != nil {
		t.Errorf("stats tell %d, %v", s.OOMKills, statsErr)
	}
	cancel()
	for range counts {
	}

	// Who begins to watch later learns what it has not seen, at once.
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	counts, err = g.WatchOOM(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if n := <-counts; n != last {
		t.Errorf("first count of a second watch is %d, want %d", n, last)
	}
	cancel()
	for range counts {
	}
}

// threads counts those of this process.
func threads(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A watch that waits costs no thread: a host has hundreds of domains.
func TestWatchOOMManyAtOnce(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all []<-chan uint64
	const many = 50
	before := threads(t)
	for range many {
		counts, err := g.WatchOOM(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, counts)
	}
	if n := threads(t) - before; n > many/2 {
		t.Errorf("%d watches have %d threads more", many, n)
	}
	cancel()
	for _, counts := range all {
		if _, open := <-counts; open {
			t.Error("a count was told")
		}
	}
}
