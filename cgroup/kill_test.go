package cgroup_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/internal/testenv"
)

// killers are the ways in which a group can be killed on this host.
func killers(h *cgroup.Hierarchy) map[string]*cgroup.Hierarchy {
	ways := map[string]*cgroup.Hierarchy{}
	if v1 := cgroup.Only(h, 1); v1 != nil {
		ways["freeze1"] = v1
	}
	if cgroup.Only(h, 2) != nil {
		ways["kernel"], ways["freeze2"] = h, cgroup.WithoutKillFile(h)
	}
	return ways
}

func TestKillForkBomb(t *testing.T) {
	h := host(t)
	for name, way := range killers(h) {
		t.Run(name, func(t *testing.T) {
			g := create(t, way, cgroup.Limits{PidsMax: new(uint64(200))})
			testenv.Within(t, 2*time.Second, func() time.Duration {
				run(t, g, "f() { f | f & }; trap '' TERM INT HUP; while :; do f; done 2>/dev/null")
				eventually(t, func() string {
					if pids, err := g.Procs(); err != nil || len(pids) < 100 {
						return "the bomb does not go off"
					}
					return ""
				})
				begin := time.Now()
				if err := g.Kill(bounded(t)); err != nil {
					t.Fatal(err)
				}
				took := time.Since(begin)
				if pids, err := g.Procs(); len(pids) != 0 || err != nil {
					t.Errorf("%d processes live on, %v", len(pids), err)
				}
				return took
			})
		})
	}
}

// A group that does not die at once has from then on what others have of the processors, and so has a group that a guest made in it: on
// kernels that hold a process to its quota while it ends, one of a thousandth would keep it for minutes.
func TestKillHurries(t *testing.T) {
	h := host(t)
	for name, way := range killers(h) {
		t.Run(name, func(t *testing.T) {
			way = cgroup.Hurrying(way)
			if !way.Has("cpu") {
				t.Skip("none of these trees has the controller cpu")
			}
			g := create(t, way, cgroup.Limits{CPUQuota: new(int64(20000)), CPUPeriod: new(uint64(1000000)), CPUShares: new(uint64(2))})
			below := slowGroup(t, h, g)
			run(t, g, "exec sleep 1000")
			if err := g.Kill(bounded(t)); err != nil {
				t.Fatal(err)
			}
			for _, want := range []struct{ v1, v2, value1, value2 string }{
				{"cpu.cfs_quota_us", "cpu.max", "-1", "max 1000000"}, {"cpu.shares", "cpu.weight", "1024", "100"},
			} {
				name, value := want.v1, want.value1
				if h.Layout == cgroup.V2 {
					name, value = want.v2, want.value2
				}
				if got := control(t, h, g, want.v1, want.v2); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
				if got := readFile(t, filepath.Join(below, name)); got != value {
					t.Errorf("%s of the group below is %q, want %q", name, got, value)
				}
			}
		})
	}
}

// A group that was cleared has its limits, and can have processes again, which are made into it from outside.
func TestClear(t *testing.T) {
	h := host(t)
	for name, way := range killers(h) {
		t.Run(name, func(t *testing.T) {
			way = cgroup.Hurrying(way)
			limited := way.Has("cpu")
			var limits cgroup.Limits
			if limited {
				limits.CPUQuota, limits.CPUPeriod = new(int64(50000)), new(uint64(100000))
			}
			g := create(t, way, limits)
			for range 3 {
				run(t, g, "exec sleep 1000")
				if err := g.Clear(bounded(t)); err != nil {
					t.Fatal(err)
				}
				if pids, err := g.Procs(); len(pids) != 0 || err != nil {
					t.Errorf("processes live on: %v, %v", pids, err)
				}
			}
			if !limited {
				return
			}
			want := "50000"
			if h.Layout == cgroup.V2 {
				want = "50000 100000"
			}
			if got := control(t, h, g, "cpu.cfs_quota_us", "cpu.max"); got != want {
				t.Errorf("its quota is %q, want %q", got, want)
			}
		})
	}
}

// Groups that a guest made and left go while it dies; one that somebody is in stays until that is over, and then everything goes.
func TestKillSheds(t *testing.T) {
	h := cgroup.Hurrying(host(t))
	g := create(t, h, cgroup.Limits{})
	leaf, err := g.Cgroup2Dir()
	if err != nil {
		t.Fatal(err)
	}
	if leaf == nil {
		t.Skip("the host has no cgroup2 tree, and guests make no groups")
	}
	defer func() { _ = leaf.Close() }()
	for n := range 50 {
		if err := os.MkdirAll(filepath.Join(leaf.Name(), strconv.Itoa(n), "x", "y"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, g, "exec sleep 1000")
	if err := g.Kill(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(leaf.Name(), "*", "x")); err != nil || len(left) > 0 {
		t.Errorf("%d groups are left, %v", len(left), err)
	}
}

// slowGroup makes a group in a group, as a guest does that wants to be long in dying, and gives its path.
func slowGroup(t *testing.T, h *cgroup.Hierarchy, g *cgroup.Group) string {
	t.Helper()
	in, values := filepath.Join("/sys/fs/cgroup", g.Path().String()), [][2]string{{"cpu.max", "1000 1000000"}, {"cpu.weight", "1"}}
	if h.Layout == cgroup.V2 {
		if err := os.WriteFile(filepath.Join(in, "cgroup.subtree_control"), []byte("+cpu"), 0); err != nil {
			t.Fatal(err)
		}
	} else {
		found, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", g.Path().String(), "cpu.shares"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no cpu.shares in any tree: %v", err)
		}
		in, values = filepath.Dir(found[0]), [][2]string{{"cpu.cfs_period_us", "1000000"}, {"cpu.cfs_quota_us", "1000"}, {"cpu.shares", "2"}}
	}
	below := filepath.Join(in, "slow")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := os.WriteFile(filepath.Join(below, v[0]), []byte(v[1]), 0); err != nil {
			t.Fatal(err)
		}
	}
	return below
}

func TestKillFrozen(t *testing.T) {
	h := host(t)
	for name, way := range killers(h) {
		t.Run(name, func(t *testing.T) {
			g := create(t, way, cgroup.Limits{})
			run(t, g, "exec sleep 1000")
			if err := g.Freeze(bounded(t)); err != nil {
				t.Fatal(err)
			}
			if err := g.Kill(bounded(t)); err != nil {
				t.Fatal(err)
			}
			if pids, err := g.Procs(); len(pids) != 0 || err != nil {
				t.Errorf("processes live on: %v, %v", pids, err)
			}
		})
	}
}

func TestKillEndsWithContext(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{})
	run(t, g, "exec sleep 1000")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// Whether the process is dead by then or not: the call comes back, and so does the next.
	_ = g.Kill(ctx)
	if err := g.Kill(bounded(t)); err != nil {
		t.Fatal(err)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	h := host(t)
	for name, way := range killers(h) {
		t.Run(name, func(t *testing.T) {
			g := create(t, way, cgroup.Limits{})
			cmd := run(t, g, "while :; do :; done")
			if err := g.Freeze(bounded(t)); err != nil {
				t.Fatal(err)
			}
			if frozen, err := g.Frozen(); !frozen || err != nil {
				t.Errorf("frozen is %v, %v", frozen, err)
			}
			before := ticks(t, cmd)
			time.Sleep(100 * time.Millisecond)
			if after := ticks(t, cmd); after != before {
				t.Errorf("a frozen process went from %d to %d ticks", before, after)
			}
			if err := g.Freeze(bounded(t)); err != nil {
				t.Errorf("freeze again: %v", err)
			}
			if err := g.Thaw(bounded(t)); err != nil {
				t.Fatal(err)
			}
			if frozen, err := g.Frozen(); frozen || err != nil {
				t.Errorf("frozen is %v, %v after thawing", frozen, err)
			}
			eventually(t, func() string {
				if ticks(t, cmd) == before {
					return "a thawed process does not run"
				}
				return ""
			})
		})
	}
}

// ticks is the processor time of a process.
func ticks(t *testing.T, cmd *exec.Cmd) uint64 {
	t.Helper()
	fields := strings.Fields(readFile(t, "/proc/"+strconv.Itoa(cmd.Process.Pid)+"/stat"))
	n, err := strconv.ParseUint(fields[13], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
