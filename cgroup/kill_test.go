package cgroup_test

import (
	"context"
	"os/exec"
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
