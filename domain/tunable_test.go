package domain_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestTunableCopy: each tunable is set, changed and taken away by itself, and nothing else with it.
func TestTunableCopy(t *testing.T) {
	full := &davitv1.Domain{
		Name: "full", MemoryKib: 1, CurrentMemoryKib: 2, PidsLimit: 3, Vcpu: &davitv1.Vcpu{Count: 4},
		Memtune: &davitv1.MemoryTune{HardLimitKib: 5, SoftLimitKib: 6, SwapHardLimitKib: 7},
		Cputune: &davitv1.CpuTune{Shares: 8, Period: 9, Quota: -10}, OnPoweroff: 1, OnReboot: 2, OnCrash: 4,
		Blkiotune: &davitv1.BlkioTune{Weight: 11, Device: []*davitv1.BlkioDevice{{Path: "/dev/a", Weight: 12}, {Path: "/dev/b", ReadBytesSec: 13}}},
		Numatune:  &davitv1.NumaTune{Mode: davitv1.NumaMode_NUMA_MODE_INTERLEAVE, Nodeset: "0-1"},
		Restart:   &davitv1.Restart{DelayMs: new(uint32(14)), MaxDelayMs: new(uint32(15)), Limit: new(uint32(16)), IntervalS: new(uint32(17))},
	}
	want := map[domain.Tunable]string{
		"memory_kib": "1", "current_memory_kib": "2", "pids_limit": "3", "vcpu.count": "4", "memtune.hard_limit_kib": "5",
		"memtune.soft_limit_kib": "6", "memtune.swap_hard_limit_kib": "7", "cputune.shares": "8", "cputune.period": "9",
		"blkiotune.weight": "11", "blkiotune.device": "path=/dev/a weight=12; path=/dev/b read_bytes_sec=13",
		"numatune.mode": "interleave", "numatune.nodeset": "0-1", "cputune.quota": "-10", "on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "rename-restart",
		"restart.delay_ms": "14", "restart.max_delay_ms": "15", "restart.limit": "16", "restart.interval_s": "17",
	}
	if len(want) != len(domain.Tunables()) {
		t.Errorf("%d tunables, want %d", len(domain.Tunables()), len(want))
	}
	one := &davitv1.Domain{Name: "one"}
	for _, tunable := range domain.Tunables() {
		if got := tunable.Text(full); got != want[tunable] {
			t.Errorf("%s is %q, want %q", tunable, got, want[tunable])
		}
		tunable.Copy(one, full)
		for _, other := range domain.Tunables() {
			switch got := other.Text(one); {
			case other == tunable && got != want[tunable]:
				t.Errorf("%s was copied as %q, want %q", tunable, got, want[tunable])
			case other != tunable && got != "":
				t.Errorf("with %s came %s: %q", tunable, other, got)
			}
		}
		tunable.Copy(one, &davitv1.Domain{})
		if got := tunable.Text(one); got != "" {
			t.Errorf("%s was taken away and is %q", tunable, got)
		}
	}
	domain.Tunable("blkiotune.device").Copy(one, full)
	one.Blkiotune.Device[0].Weight, one.Blkiotune.Device = 99, nil
	if got := full.GetBlkiotune().GetDevice()[0].GetWeight(); got != 12 {
		t.Errorf("a copy is the same thing: it was changed, and the weight of the other is %d", got)
	}
	domain.Normalize(one)
	bare := &davitv1.Domain{Name: "one"}
	domain.Normalize(bare)
	if diff := cmp.Diff(bare, one, protocmp.Transform()); diff != "" {
		t.Errorf("something was left (-want +got):\n%s", diff)
	}
}

// TestParseTunable: only these are tunables, and what a running domain was started with is none of its.
func TestParseTunable(t *testing.T) {
	for path, want := range map[string]struct{ known, live bool }{
		"memory_kib": {true, false}, "vcpu.count": {true, false}, "cputune.shares": {true, true}, "on_crash": {true, true},
		"current_memory_kib": {true, true}, "name": {}, "cputune": {}, "cputune.": {}, "": {}, "memtune.min_guarantee_kib": {},
		"numatune.mode": {true, false}, "numatune.nodeset": {true, true}, "blkiotune.device": {true, true}, "blkiotune": {},
	} {
		got, known := domain.ParseTunable(path)
		if known != want.known || known && got.Live() != want.live {
			t.Errorf("%q is known %t, live %t", path, known, got.Live())
		}
	}
}
