package native_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// control reads a control file of a domain's cgroup, by its name in version 1 or 2, wherever the host has it.
func control(tb testing.TB, instance, uuid, v1, v2 string) string {
	tb.Helper()
	for _, pattern := range []string{
		filepath.Join("/sys/fs/cgroup/*/test-davit/davit-"+instance+"-"+uuid, v1),
		filepath.Join("/sys/fs/cgroup/test-davit/davit-"+instance+"-"+uuid, v2),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			tb.Fatal(err)
		}
		if len(found) == 0 {
			continue
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			tb.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	tb.Fatalf("no %s and no %s", v1, v2)
	return ""
}

// Limits of a running domain are changed in the kernel, up and down, and lifted; those of an update that the kernel refuses are
// as they were.
func TestUpdateInKernel(t *testing.T) {
	const id = "11fe0020"
	h := newHost(t, id)
	d := closing(t, h.open(t))
	spec := h.spec("trap 'exit 0' TERM; sleep infinity & wait", func(def *davitv1.Domain) {
		def.MemoryKib = 256 << 10
		def.Profile = nil // the limit of processes that returns is an application's
	})
	i := start(t, d, spec)
	defer kill(t, i)
	c, err := d.Capabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	onV2 := c.Cgroup == "v2"
	want := func(when, controller, v1, v2, value1, value2 string) {
		t.Helper()
		if !slices.Contains(c.Controllers, controller) {
			return
		}
		value := value1
		if onV2 {
			value = value2
		}
		if got := control(t, id, spec.UUID, v1, v2); got != value {
			t.Errorf("%s, %s (%s) is %q, want %q", when, v1, v2, got, value)
		}
	}
	update := func(change func(*davitv1.Domain)) error {
		def := proto.CloneOf(spec.Definition)
		change(def)
		return i.Update(t.Context(), def)
	}
	for _, step := range []struct {
		memory, swap string // in bytes
		swap2        string
		kib          uint64
	}{
		{"134217728", "201326592", "67108864", 128 << 10},
		{"536870912", "805306368", "268435456", 512 << 10},
		{"67108864", "100663296", "33554432", 64 << 10},
	} {
		if err = update(func(def *davitv1.Domain) {
			def.Memtune = &davitv1.MemoryTune{HardLimitKib: step.kib, SwapHardLimitKib: step.kib * 3 / 2, SoftLimitKib: 32 << 10}
			def.Cputune = &davitv1.CpuTune{Shares: 2048, Period: 50000, Quota: 25000}
			def.PidsLimit = 33
		}); err != nil {
			t.Fatalf("update: %v", err)
		}
		when := "with " + step.memory
		want(when, "memory", "memory.limit_in_bytes", "memory.max", step.memory, step.memory)
		want(when, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max", step.swap, step.swap2)
		want(when, "memory", "memory.soft_limit_in_bytes", "memory.high", "33554432", "33554432")
		want(when, "cpu", "cpu.shares", "cpu.weight", "2048", "200")
		want(when, "cpu", "cpu.cfs_quota_us", "cpu.max", "25000", "25000 50000")
		want(when, "cpu", "cpu.cfs_period_us", "cpu.max", "50000", "25000 50000")
		want(when, "pids", "pids.max", "pids.max", "33", "33")
	}
	// More processes than the kernel can count: refused, and all else is as it was.
	err = update(func(def *davitv1.Domain) { def.PidsLimit, def.Cputune = 1<<40, &davitv1.CpuTune{Shares: 4096} })
	if slices.Contains(c.Controllers, "pids") && !errors.Is(err, domain.ErrFailedPrecondition) {
		t.Errorf("update that cannot be: %v", err)
	}
	want("after a refusal", "cpu", "cpu.shares", "cpu.weight", "2048", "200")
	want("after a refusal", "memory", "memory.limit_in_bytes", "memory.max", "67108864", "67108864")
	want("after a refusal", "pids", "pids.max", "pids.max", "33", "33")
	if err := update(func(def *davitv1.Domain) { def.CurrentMemoryKib = 100 << 10 }); err != nil {
		t.Fatalf("update: %v", err)
	}
	want("lifted", "memory", "memory.limit_in_bytes", "memory.max", "104857600", "104857600")
	want("lifted", "memory", "memory.memsw.limit_in_bytes", "memory.swap.max", "9223372036854771712", "max")
	want("lifted", "cpu", "cpu.shares", "cpu.weight", "1024", "100")
	want("lifted", "cpu", "cpu.cfs_quota_us", "cpu.max", "-1", "max 100000")
	want("lifted", "pids", "pids.max", "pids.max", "512", "512")
}

// What follows the end of init is changed while it runs, and a later davitd finds it changed.
func TestUpdatePolicyOfRunning(t *testing.T) {
	h := newHost(t, "11fe0022")
	d := h.open(t)
	spec := h.spec("trap 'exit 0' TERM; echo up; sleep infinity & wait")
	i := start(t, d, spec)
	booted(t, i, 0, "up")
	restarts := proto.CloneOf(spec.Definition)
	restarts.OnPoweroff = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	if err := i.Update(t.Context(), restarts); err != nil {
		t.Fatalf("update: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = closing(t, h.open(t))
	spec.Definition = restarts
	i, err := d.Recover(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	from, err := i.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	next := func() driver.EventKind {
		t.Helper()
		select {
		case ev := <-from:
			return ev.Kind
		case <-time.After(h.Patience()):
			t.Fatal("no event")
			return nil
		}
	}
	if k, ok := next().(driver.Started); !ok {
		t.Fatalf("%T, want the start", k)
	}
	if err := i.Signal(t.Context(), 1, int(syscall.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	if k, ok := next().(driver.Exited); !ok || !k.Restart || k.Cause != driver.CausePoweroff {
		t.Errorf("%T %+v, want a power-off and a restart", k, k)
	}
	if k, ok := next().(driver.Restarted); !ok || k.Count != 1 {
		t.Errorf("%T %+v, want a restart", k, k)
	}
	kill(t, i)
}

// The mounts of a domain are told as its init sees them, with the names of its filesystems.
func TestFilesystemsOfInit(t *testing.T) {
	h := newHost(t, "11fe0021")
	d := closing(t, h.open(t))
	i := start(t, d, h.spec("trap 'exit 0' TERM; sleep infinity & wait", func(def *davitv1.Domain) {
		def.Devices.Filesystem = append(def.Devices.Filesystem, &davitv1.Filesystem{
			Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, SourceUsageKib: 1024, TargetDir: "/srv", Alias: "fs9",
		})
	}))
	defer kill(t, i)
	lister, ok := i.(driver.FilesystemLister)
	if !ok {
		t.Fatal("it lists no filesystems")
	}
	list, err := lister.Filesystems(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, m := range list {
		types[m.GetMountpoint()+" "+m.GetAlias()] = m.GetType()
	}
	for at, want := range map[string]string{"/ ": "overlay", "/proc ": "proc", "/srv fs9": "tmpfs"} {
		if types[at] != want {
			t.Errorf("%q is %q, want %q; all are %v", at, types[at], want, types)
		}
	}
}
