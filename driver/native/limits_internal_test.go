package native

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/cgroup"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func TestLimits(t *testing.T) {
	all := func(string) bool { return true }
	none := func(string) bool { return false }
	for name, test := range map[string]struct {
		def  *davitv1.Domain
		has  func(string) bool
		want cgroup.Limits
	}{
		"memory alone": {
			&davitv1.Domain{MemoryKib: 1024}, all,
			cgroup.Limits{MemoryMax: new(uint64(1 << 20)), PidsMax: new(uint64(512))},
		},
		"a system has more processes": {
			&davitv1.Domain{MemoryKib: 1, Os: &davitv1.Os{Init: "/lib/systemd/systemd"}}, all,
			cgroup.Limits{MemoryMax: new(uint64(1024)), PidsMax: new(uint64(4096))},
		},
		"a default that the host cannot limit is left out": {
			&davitv1.Domain{MemoryKib: 1}, none,
			cgroup.Limits{MemoryMax: new(uint64(1024))},
		},
		"all that there is": {
			&davitv1.Domain{
				MemoryKib: 1024, PidsLimit: 7,
				Memtune: &davitv1.MemoryTune{HardLimitKib: 2048, SoftLimitKib: 512, SwapHardLimitKib: 4096},
				Cputune: &davitv1.CpuTune{Shares: 2048, Period: 100000, Quota: -1},
				Vcpu:    &davitv1.Vcpu{Cpuset: "0-1"}, Blkiotune: &davitv1.BlkioTune{Weight: 5},
				Numatune: &davitv1.NumaTune{Mode: davitv1.NumaMode_NUMA_MODE_RESTRICTIVE, Nodeset: "1"},
			}, none,
			cgroup.Limits{
				Mems: "1", IOWeight: new(uint64(5)),
				MemoryMax: new(uint64(2 << 20)), MemoryHigh: new(uint64(512 << 10)), MemorySwapMax: new(uint64(4 << 20)),
				CPUShares: new(uint64(2048)), CPUPeriod: new(uint64(100000)), CPUQuota: new(int64(-1)),
				Cpuset: "0-1", PidsMax: new(uint64(7)),
			},
		},
		"memory that comes from nodes first is not bound to them": {
			&davitv1.Domain{MemoryKib: 1, Numatune: &davitv1.NumaTune{Mode: davitv1.NumaMode_NUMA_MODE_PREFERRED, Nodeset: "1"}}, none,
			cgroup.Limits{MemoryMax: new(uint64(1024))},
		},
		"less now than there may be": {
			&davitv1.Domain{MemoryKib: 2048, CurrentMemoryKib: 1024}, none,
			cgroup.Limits{MemoryMax: new(uint64(1 << 20))},
		},
		"what is above all is unlimited": {
			&davitv1.Domain{MemoryKib: 1 << 62, PidsLimit: 7}, all,
			cgroup.Limits{MemoryMax: new(uint64(cgroup.Unlimited)), PidsMax: new(uint64(7))},
		},
	} {
		got := limits(test.def, Facts{}, test.has)
		got.Devices = nil
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

// An update says of each limit that the host can set what it is, and nothing of those that it cannot.
func TestWholeLimits(t *testing.T) {
	all := func(string) bool { return true }
	none := func(string) bool { return false }
	unlimited := uint64(cgroup.Unlimited)
	for name, test := range map[string]struct {
		def  *davitv1.Domain
		has  func(string) bool
		want cgroup.Limits
	}{
		"memory alone": {
			&davitv1.Domain{MemoryKib: 1024, Vcpu: &davitv1.Vcpu{Cpuset: "0"}}, all,
			cgroup.Limits{
				MemoryMax: new(uint64(1 << 20)), MemoryHigh: &unlimited, MemorySwapMax: &unlimited, CPUShares: new(uint64(1024)),
				CPUPeriod: new(uint64(100000)), CPUQuota: new(int64(-1)), PidsMax: new(uint64(512)),
				Mems: cgroup.AllMems, IOWeight: new(uint64(100)), IODevices: []cgroup.IODevice{},
			},
		},
		"what the host has not is not lifted": {
			&davitv1.Domain{MemoryKib: 1024, PidsLimit: 7}, none,
			cgroup.Limits{MemoryMax: new(uint64(1 << 20)), PidsMax: new(uint64(7))},
		},
		"what is given stays": {
			&davitv1.Domain{
				MemoryKib: 1024, PidsLimit: 7, Memtune: &davitv1.MemoryTune{SoftLimitKib: 512, SwapHardLimitKib: 4096},
				Cputune:   &davitv1.CpuTune{Shares: 2, Period: 1000, Quota: 5000},
				Blkiotune: &davitv1.BlkioTune{Weight: 300},
				Numatune:  &davitv1.NumaTune{Mode: davitv1.NumaMode_NUMA_MODE_STRICT, Nodeset: "0-1"},
			}, all,
			cgroup.Limits{
				MemoryMax: new(uint64(1 << 20)), MemoryHigh: new(uint64(512 << 10)), MemorySwapMax: new(uint64(4 << 20)),
				CPUShares: new(uint64(2)), CPUPeriod: new(uint64(1000)), CPUQuota: new(int64(5000)), PidsMax: new(uint64(7)),
				Mems: "0-1", IOWeight: new(uint64(300)), IODevices: []cgroup.IODevice{},
			},
		},
	} {
		if diff := cmp.Diff(test.want, whole(limits(test.def, Facts{}, test.has), test.has)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestDevicePolicy(t *testing.T) {
	rules := func(def *davitv1.Domain, facts Facts) (out []string) {
		for _, r := range devicePolicy(def, facts) {
			out = append(out, r.String())
		}
		return out
	}
	words := func(def *davitv1.Domain) []string { return rules(def, Facts{}) }
	base := []string{
		"c 1:3 rw", "c 1:5 rw", "c 1:7 rw", "c 1:8 rw", "c 1:9 rw", "c 5:0 rw", "c 5:1 rw", "c 5:2 rw", "c 136:* rw",
	}
	if diff := cmp.Diff(base, words(&davitv1.Domain{})); diff != "" {
		t.Error(diff)
	}
	clock := &davitv1.Domain{Clock: &davitv1.Clock{Timer: []*davitv1.Timer{{Name: davitv1.TimerName_TIMER_NAME_RTC}}}}
	host := facts
	host.Sources = map[string]Source{
		"disk sda": {Block: true, Major: 7, Minor: 3, Access: "r"}, "filesystem /": {Block: true, Major: 7, Minor: 4},
		"hostdev tun": {Major: 10, Minor: 200, Access: "rw"}, "hostdev x": {Missing: "gone", Access: "rw"},
	}
	if diff := cmp.Diff(append(slices.Clone(base), "b 7:3 r", "c 10:200 rw"), rules(&davitv1.Domain{}, host)); diff != "" {
		t.Error(diff)
	}
	host.Sources = nil
	got := devicePolicy(clock, host)
	if last := got[len(got)-1].String(); last != "c 252:0 r" {
		t.Errorf("the clock is allowed by %q", last)
	}
	makes := &davitv1.Domain{Features: &davitv1.Features{Capabilities: &davitv1.Capabilities{Mknod: new(true)}}}
	if diff := cmp.Diff(append(base, "c *:* m", "b *:* m"), words(makes)); diff != "" {
		t.Error(diff)
	}
}
