package cgroup_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/cgroup"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// control reads a group's control file, by its name in version 1 or 2, wherever the host has it.
func control(t *testing.T, h *cgroup.Hierarchy, g *cgroup.Group, v1, v2 string) string {
	t.Helper()
	if h.Layout == cgroup.V2 {
		return readFile(t, filepath.Join("/sys/fs/cgroup", g.Path().String(), v2))
	}
	found, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", g.Path().String(), v1))
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s in any tree: %v", v1, err)
	}
	return readFile(t, found[0])
}

func TestLimitsReadBack(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{
		MemoryMax: new(uint64(64 << 20)), MemoryHigh: new(uint64(48 << 20)), MemorySwapMax: new(uint64(80 << 20)),
		CPUShares: new(uint64(2048)), CPUPeriod: new(uint64(50000)), CPUQuota: new(int64(25000)),
		Cpuset: "0", PidsMax: new(uint64(100)),
	})
	for _, want := range []struct{ v1, v2, value1, value2 string }{
		{"memory.limit_in_bytes", "memory.max", "67108864", "67108864"},
		{"memory.soft_limit_in_bytes", "memory.high", "50331648", "50331648"},
		{"memory.memsw.limit_in_bytes", "memory.swap.max", "83886080", "16777216"},
		{"cpu.shares", "cpu.weight", "2048", "200"},
		{"cpu.cfs_quota_us", "cpu.max", "25000", "25000 50000"},
		{"cpu.cfs_period_us", "cpu.max", "50000", "25000 50000"},
		{"cpuset.cpus", "cpuset.cpus", "0", "0"},
		{"pids.max", "pids.max", "100", "100"},
	} {
		value := want.value1
		if h.Layout == cgroup.V2 {
			value = want.value2
		}
		if got := control(t, h, g, want.v1, want.v2); got != value {
			t.Errorf("%s (%s) is %q, want %q", want.v1, want.v2, got, value)
		}
	}
}

func TestLimitsChange(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{MemoryMax: new(uint64(64 << 20)), MemorySwapMax: new(uint64(64 << 20)), CPUQuota: new(int64(50000))})
	for _, size := range []uint64{256 << 20, 32 << 20, cgroup.Unlimited, 128 << 20} {
		if err := g.SetLimits(cgroup.Limits{MemoryMax: new(size), MemorySwapMax: new(size)}); err != nil {
			t.Fatalf("limit memory to %d: %v", size, err)
		}
		s, err := g.Stats()
		want := size
		if size == cgroup.Unlimited {
			want = 0
		}
		if err != nil || s.MemoryMax != want {
			t.Errorf("limit is %d, %v; want %d", s.MemoryMax, err, want)
		}
	}
	if err := g.SetLimits(cgroup.Limits{CPUPeriod: new(uint64(10000)), CPUQuota: new(int64(-1))}); err != nil {
		t.Fatal(err)
	}
	if err := g.SetLimits(cgroup.Limits{CPUQuota: new(int64(20000))}); err != nil {
		t.Fatal(err)
	}
	want := "20000"
	if h.Layout == cgroup.V2 {
		want = "20000 10000"
	}
	if got := control(t, h, g, "cpu.cfs_quota_us", "cpu.max"); got != want {
		t.Errorf("quota is %q, want %q", got, want)
	}
}

func TestLimitsRefused(t *testing.T) {
	h := host(t)
	p := cgroup.Path{Partition: partition(t), Name: cgroup.Name("test", uuid1)}
	for name, c := range map[string]struct {
		limits cgroup.Limits
		want   []string
	}{
		"cpuset":  {cgroup.Limits{Cpuset: "4000"}, []string{"cpuset.cpus", `"4000"`}},
		"period":  {cgroup.Limits{CPUPeriod: new(uint64(1)), CPUQuota: new(int64(1))}, []string{"cpu.", `1`}},
		"swap":    {cgroup.Limits{MemoryMax: new(uint64(64 << 20)), MemorySwapMax: new(uint64(32 << 20))}, []string{"mem", "33554432"}},
		"devices": {cgroup.Limits{Devices: []cgroup.DeviceRule{{Type: 'x', Major: 1, Minor: 3, Access: "rwm"}}}, []string{"x 1:3 rwm"}},
	} {
		_, err := h.Create(p, c.limits)
		if err == nil {
			t.Errorf("%s: created", name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not tell %q", name, err, w)
			}
		}
		if _, err := h.Open(p); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the group is left: %v", name, err)
		}
	}
}

func TestPidsLimit(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{PidsMax: new(uint64(10))})
	run(t, g, "for i in $(seq 50); do sleep 1000 & done 2>/dev/null; wait")
	eventually(t, func() string {
		if s, err := g.Stats(); err != nil || s.Pids != 10 || s.PidsMax != 10 {
			return "the limit of 10 is not reached"
		}
		return ""
	})
	time.Sleep(50 * time.Millisecond)
	if pids, err := g.Procs(); err != nil || len(pids) > 10 {
		t.Errorf("%d processes, %v", len(pids), err)
	}
}

func TestStats(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{MemoryMax: new(uint64(256 << 20))})
	run(t, g, "a=$(head -c 20000000 /dev/zero | tr '\\0' x); while :; do :; done")
	eventually(t, func() string {
		s, err := g.Stats()
		switch {
		case err != nil:
			return err.Error()
		case s.CPUTime < 50*time.Millisecond || s.UserTime == 0:
			return "no processor time is told"
		case s.Memory < 15<<20 || s.MemoryPeak < s.Memory || s.MemoryMax != 256<<20:
			return "memory is not told"
		case s.Pids == 0:
			return "no processes are told"
		}
		return ""
	})
}

func TestDevices(t *testing.T) {
	h := host(t)
	null := cgroup.DeviceRule{Type: cgroup.CharDevice, Major: 1, Minor: 3, Access: "rwm"}
	tests := []struct {
		name    string
		rules   []cgroup.DeviceRule
		allowed map[string]bool
	}{
		{"none", []cgroup.DeviceRule{}, map[string]bool{": </dev/null": false, ": </dev/zero": false}},
		{"null", []cgroup.DeviceRule{null}, map[string]bool{": </dev/null": true, ": >/dev/null": true, ": </dev/zero": false}},
		{
			"read only",
			[]cgroup.DeviceRule{{Type: 'c', Major: 1, Minor: 3, Access: "r"}, {Type: 'b', Major: 1, Minor: 5, Access: "rw"}},
			map[string]bool{": </dev/null": true, ": >/dev/null": false, ": </dev/zero": false},
		},
		{
			"any minor",
			[]cgroup.DeviceRule{{Type: 'c', Major: 1, Minor: cgroup.AnyNumber, Access: "rw"}},
			map[string]bool{": </dev/null": true, ": </dev/zero": true, "mknod $d/n c 1 3": false},
		},
		{
			"any node made",
			[]cgroup.DeviceRule{{Type: 'a', Major: cgroup.AnyNumber, Minor: cgroup.AnyNumber, Access: "m"}},
			map[string]bool{"mknod $d/m c 1 3": true, "mknod $d/b b 7 7": true, ": </dev/zero": false},
		},
	}
	for version := 1; version <= 2; version++ {
		only := cgroup.Only(h, version)
		if only == nil {
			continue
		}
		for _, c := range tests {
			t.Run(fmt.Sprintf("v%d %s", version, c.name), func(t *testing.T) {
				g := create(t, only, cgroup.Limits{Devices: c.rules})
				dir := t.TempDir()
				for command, want := range c.allowed {
					allowed := inGroup(t, g, "d="+dir+"; mount -t tmpfs none $d && "+command)
					if allowed != want {
						t.Errorf("%q: allowed is %v, want %v", command, allowed, want)
					}
				}
			})
		}
		t.Run(fmt.Sprintf("v%d change", version), func(t *testing.T) {
			g := create(t, only, cgroup.Limits{Devices: []cgroup.DeviceRule{null}})
			if err := g.SetLimits(cgroup.Limits{Devices: []cgroup.DeviceRule{{Type: 'c', Major: 1, Minor: 5, Access: "r"}}}); err != nil {
				t.Fatal(err)
			}
			if inGroup(t, g, ": </dev/null") || !inGroup(t, g, ": </dev/zero") {
				t.Error("the new policy is not the one in force")
			}
		})
	}
}
