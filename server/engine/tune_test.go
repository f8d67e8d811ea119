package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// tune updates fields of web's definition.
func (h *house) tune(affect davitv1.Affect, values *davitv1.Domain, paths ...string) error {
	h.t.Helper()
	_, err := h.UpdateDomain(h.t.Context(), &davitv1.UpdateDomainRequest{
		Domain: byName("web"), UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}, Definition: values, Affect: affect,
	})
	return err
}

// tunedFully is a value for each field that a running domain can be given.
func tunedFully() *davitv1.Domain {
	return &davitv1.Domain{
		CurrentMemoryKib: 32768, PidsLimit: 50,
		Memtune: &davitv1.MemoryTune{HardLimitKib: 40000, SoftLimitKib: 30000, SwapHardLimitKib: 70000},
		Cputune: &davitv1.CpuTune{Shares: 2048, Period: 50000, Quota: 25000},
		Blkiotune: &davitv1.BlkioTune{Weight: 300, Device: []*davitv1.BlkioDevice{
			{Path: "/dev/sda", Weight: 200}, {Path: "/dev/sdb", ReadBytesSec: 1 << 20, WriteIopsSec: 100},
		}},
		Numatune:   &davitv1.NumaTune{Nodeset: "0-1"},
		OnPoweroff: davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART,
		OnReboot:   davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY,
		OnCrash:    davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART,
		Restart:    &davitv1.Restart{DelayMs: new(uint32(20)), MaxDelayMs: new(uint32(90)), Limit: new(uint32(5)), IntervalS: new(uint32(60))},
	}
}

// livePaths are the fields that a running domain can be given.
func livePaths() []string {
	var paths []string
	for _, t := range domain.Tunables() {
		if t.Live() {
			paths = append(paths, string(t))
		}
	}
	return paths
}

// What a running domain is given reaches the driver, its live definition and the watchers, outlives the daemon, and is
// not for its next start.
func TestTuneLive(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.boot("web")
		stored := h.xml("web", true)
		if err := h.tune(davitv1.Affect_AFFECT_CURRENT, tunedFully(), livePaths()...); err != nil {
			t.Fatalf("update: %v", err)
		}
		for _, when := range []string{"now", "after a restart"} {
			r, err := h.GetDomain(h.t.Context(), &davitv1.GetDomainRequest{Domain: byName("web"), View: davitv1.DomainView_DOMAIN_VIEW_FULL})
			if err != nil {
				t.Fatal(err)
			}
			run, err := h.host.Definition(uuidWeb)
			if err != nil {
				t.Fatal(err)
			}
			for _, tunable := range domain.Tunables() {
				want := tunable.Text(tunedFully())
				if got := tunable.Text(r.GetDomain().GetDefinition()); tunable.Live() && got != want {
					t.Errorf("%s, %s is %q in the live definition, want %q", when, tunable, got, want)
				}
				if got := tunable.Text(run); tunable.Live() && got != want {
					t.Errorf("%s, %s of the run is %q, want %q", when, tunable, got, want)
				}
			}
			if diff := cmp.Diff(stored, h.xml("web", true)); diff != "" {
				t.Errorf("%s, the stored definition (-before +after):\n%s", when, diff)
			}
			h.kill()
			h.start()
		}
		// What is named and absent is lifted; what is not named stays.
		if err := h.tune(davitv1.Affect_AFFECT_LIVE, &davitv1.Domain{PidsLimit: 7}, "memtune.hard_limit_kib", "cputune.quota", "on_reboot"); err != nil {
			t.Errorf("lift: %v", err)
		}
		run, err := h.host.Definition(uuidWeb)
		if err != nil || run.GetMemtune().GetHardLimitKib() != 0 || run.GetCputune().GetQuota() != 0 || run.GetPidsLimit() != 50 ||
			run.GetOnReboot() != davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART {
			t.Errorf("lifted: %v, %v", run, err)
		}
		want := []string{
			"web: Defined Added", "web: Started Booted",
			"web: tunable numatune.mode=strict current_memory_kib=32768 memtune.hard_limit_kib=40000 memtune.soft_limit_kib=30000 " +
				"memtune.swap_hard_limit_kib=70000 cputune.shares=2048 cputune.period=50000 cputune.quota=25000 pids_limit=50 " +
				"blkiotune.weight=300 blkiotune.device=path=/dev/sda weight=200; path=/dev/sdb write_iops_sec=100 read_bytes_sec=1048576 " +
				"numatune.nodeset=0-1 on_poweroff=restart on_reboot=destroy on_crash=restart " +
				"restart.delay_ms=20 restart.max_delay_ms=90 restart.limit=5 restart.interval_s=60",
			"web: tunable memtune.hard_limit_kib= cputune.quota= on_reboot=restart",
		}
		if err := h.tune(davitv1.Affect_AFFECT_LIVE, &davitv1.Domain{PidsLimit: 50}, "pids_limit"); err != nil {
			t.Errorf("change nothing: %v", err)
		}
		if diff := cmp.Diff(want, h.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// The stored definition is changed beside the live one or without it; memory and processors only so.
func TestTuneStored(t *testing.T) {
	bubble(t, func(h *house) {
		before := h.define("web", uuidWeb)
		if err := h.tune(0, &davitv1.Domain{MemoryKib: 32768, Vcpu: &davitv1.Vcpu{Count: 3}}, "memory_kib", "vcpu.count"); err != nil {
			t.Fatalf("update: %v", err)
		}
		info := h.get("web")
		if info.GetMemoryKib() != 32768 || info.GetVcpus() != 3 || info.GetEtag() == before.GetEtag() {
			t.Errorf("updated: %v", info)
		}
		if text := h.xml("web", true); !strings.Contains(text, "<currentMemory unit='KiB'>32768<") {
			t.Errorf("current memory does not follow:\n%s", text)
		}
		h.boot("web")
		if err := h.tune(davitv1.Affect_AFFECT_CONFIG, &davitv1.Domain{MemoryKib: 99999}, "memory_kib"); err != nil {
			t.Errorf("update stored of active: %v", err)
		}
		if err := h.tune(davitv1.Affect_AFFECT_LIVE_AND_CONFIG, &davitv1.Domain{PidsLimit: 9}, "pids_limit"); err != nil {
			t.Errorf("update both: %v", err)
		}
		for _, inactive := range []bool{false, true} {
			if text := h.xml("web", inactive); !strings.Contains(text, "<davit:pids limit='9'/>") || strings.Contains(text, ">99999<") != inactive {
				t.Errorf("inactive %t:\n%s", inactive, text)
			}
		}
		want := []string{
			"web: Defined Added", "web: Defined Updated", "web: Started Booted", "web: Defined Updated", "web: Defined Updated",
			"web: tunable pids_limit=9",
		}
		if diff := cmp.Diff(want, h.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// What cannot be is refused, in libvirt's words where it has some, and nothing changes.
func TestTuneRefuses(t *testing.T) {
	const live, config, both = davitv1.Affect_AFFECT_LIVE, davitv1.Affect_AFFECT_CONFIG, davitv1.Affect_AFFECT_LIVE_AND_CONFIG
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		if err := h.tune(live, &davitv1.Domain{PidsLimit: 9}, "pids_limit"); err == nil || !strings.Contains(err.Error(), "domain is not running") {
			t.Errorf("live update of inactive: %v", err)
		}
		h.boot("web")
		before := h.xml("web", true) + h.xml("web", false)
		for _, test := range []struct {
			affect davitv1.Affect
			values *davitv1.Domain
			path   string
			class  error
			want   string
		}{
			{live, &davitv1.Domain{MemoryKib: 1 << 20}, "memory_kib", domain.ErrFailedPrecondition, "cannot resize the max memory on an active domain"},
			{0, &davitv1.Domain{MemoryKib: 1 << 20}, "memory_kib", domain.ErrFailedPrecondition, "cannot resize the max memory on an active domain"},
			{both, &davitv1.Domain{Vcpu: &davitv1.Vcpu{Count: 2}}, "vcpu.count", domain.ErrFailedPrecondition, "cannot change vcpu.count of an active domain"},
			{live, &davitv1.Domain{CurrentMemoryKib: 65537}, "current_memory_kib", domain.ErrInvalid, "cannot set memory higher than max memory"},
			{config, &davitv1.Domain{CurrentMemoryKib: 65537}, "current_memory_kib", domain.ErrInvalid, "65537 KiB, the limit is 65536 KiB"},
			{config, nil, "memory_kib", domain.ErrInvalid, "needs memory"},
			{live, &davitv1.Domain{Cputune: &davitv1.CpuTune{Shares: 1}}, "cputune.shares", domain.ErrInvalid, "2 to 262144"},
			{live, &davitv1.Domain{Cputune: &davitv1.CpuTune{Period: 999}}, "cputune.period", domain.ErrInvalid, "1000 to 1000000"},
			{live, &davitv1.Domain{Cputune: &davitv1.CpuTune{Quota: 999}}, "cputune.quota", domain.ErrInvalid, "1000 to 17592186044415"},
			{both, &davitv1.Domain{Memtune: &davitv1.MemoryTune{SwapHardLimitKib: 100}}, "memtune.swap_hard_limit_kib", domain.ErrInvalid, "below the memory"},
			{live, &davitv1.Domain{Numatune: &davitv1.NumaTune{Mode: 1, Nodeset: "0"}}, "numatune.mode", domain.ErrFailedPrecondition, "cannot change numatune.mode of an active domain"},
			{live, &davitv1.Domain{Numatune: &davitv1.NumaTune{Nodeset: "a"}}, "numatune.nodeset", domain.ErrInvalid, "is not a memory node"},
			{live, &davitv1.Domain{Blkiotune: &davitv1.BlkioTune{Weight: 5000}}, "blkiotune.weight", domain.ErrInvalid, "1000"},
			{live, &davitv1.Domain{OnCrash: 77}, "on_crash", domain.ErrInvalid, "77 is not one of"},
			{live, nil, "memtune", domain.ErrInvalid, `"memtune" cannot be changed`},
			{live, nil, "memtune.min_guarantee_kib", domain.ErrInvalid, "cannot be changed"},
			{live, nil, "devices", domain.ErrInvalid, "cannot be changed"},
		} {
			err := h.tune(test.affect, test.values, test.path)
			if !errors.Is(err, test.class) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("update %s, %v: %v, want %s", test.path, test.affect, err, test.want)
			}
		}
		if diff := cmp.Diff(before, h.xml("web", true)+h.xml("web", false)); diff != "" || len(h.told()) != 2 {
			t.Errorf("events %q, definitions (-before +after):\n%s", h.told(), diff)
		}
	})
}

// The nodes that a running domain's memory comes from are changed only where it is bound to them.
func TestTuneNodesOfRunning(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		interleave := &davitv1.Domain{Numatune: &davitv1.NumaTune{Mode: davitv1.NumaMode_NUMA_MODE_INTERLEAVE, Nodeset: "0"}}
		if err := h.tune(0, interleave, "numatune.mode", "numatune.nodeset"); err != nil {
			t.Fatal(err)
		}
		h.boot("web")
		const live = davitv1.Affect_AFFECT_LIVE
		for nodes, want := range map[string]string{"0": "", "1": "change of nodeset for running domain requires strict numa mode"} {
			err := h.tune(live, &davitv1.Domain{Numatune: &davitv1.NumaTune{Nodeset: nodes}}, "numatune.nodeset")
			if (want == "") != (err == nil) || err != nil && (!errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), want)) {
				t.Errorf("nodes %s: %v, want %q", nodes, err, want)
			}
		}
	})
}

// If the driver, the store or the journal fails, the run has the limits that it had.
func TestTuneIsUndone(t *testing.T) {
	for method, errs := range map[string][]error{
		"Update": {errors.New("it uses more")}, "PutStatus": {full}, "second PutStatus": {nil, full}, "third PutStatus": {nil, nil, full},
		"Put": {full}, "SetAutostart": {full}, "Append": {full},
	} {
		t.Run(strings.ReplaceAll(method, " ", "_"), func(t *testing.T) {
			bubble(t, func(h *house) {
				h.define("web", uuidWeb)
				h.boot("web")
				before := h.xml("web", true) + h.xml("web", false)
				h.faults.fail(method[strings.LastIndexByte(method, ' ')+1:], errs...)
				_, err := h.UpdateDomain(h.t.Context(), &davitv1.UpdateDomainRequest{
					Domain: byName("web"), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"pids_limit", "on_crash", "autostart"}},
					Definition: tunedFully(), Autostart: true, Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG,
				})
				if err == nil {
					t.Error("update: no error")
				}
				for _, when := range []string{"now", "after a restart"} {
					run, err := h.host.Definition(uuidWeb)
					if err != nil || run.GetPidsLimit() != 0 || run.GetOnCrash() == davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART {
						t.Errorf("%s, the run has %v, %v", when, run, err)
					}
					if diff := cmp.Diff(before, h.xml("web", true)+h.xml("web", false)); diff != "" || h.get("web").GetAutostart() {
						t.Errorf("%s, autostart is %t, definitions (-before +after):\n%s", when, h.get("web").GetAutostart(), diff)
					}
					h.kill()
					h.start()
				}
				if diff := cmp.Diff([]string{"web: Defined Added", "web: Started Booted"}, h.told()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if err := h.tune(0, tunedFully(), "pids_limit"); err != nil {
					t.Errorf("update again: %v", err)
				}
			})
		})
	}
}
