package native_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/native"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// needController skips a test where the host has none.
func needController(t *testing.T, d *native.Driver, controller string) {
	t.Helper()
	c, err := d.Capabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(c.Controllers, controller) {
		t.Skipf("needs the %s controller", controller)
	}
}

// blockDevice is the node and the number of a block device of the host. Its limits in the cgroup of a domain that does not use
// it hold up nobody, so none has to be made; loop devices come first, of which there are such as nobody uses at all.
func blockDevice(t *testing.T) (path, number string) {
	t.Helper()
	for _, pattern := range []string{"/sys/block/loop*/dev", "/sys/block/*/dev"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			path = "/dev/" + filepath.Base(filepath.Dir(file))
			text, err := os.ReadFile(file)
			if _, missing := os.Stat(path); err == nil && missing == nil {
				return path, strings.TrimSpace(string(text))
			}
		}
	}
	t.Skip("needs a block device with a node")
	return "", ""
}

// Limits of block devices are in the kernel from the start on, change while the domain runs, and go.
func TestBlockDevices(t *testing.T) {
	const id = "11fe0030"
	h := newHost(t, id)
	d := closing(t, h.open(t))
	needController(t, d, "io")
	path, number := blockDevice(t)
	spec := h.spec(idle, func(def *davitv1.Domain) {
		def.Blkiotune = &davitv1.BlkioTune{Device: []*davitv1.BlkioDevice{{Path: path, ReadBytesSec: 1 << 20, WriteIopsSec: 100}}}
	})
	if warnings, err := d.Check(t.Context(), spec.Definition); err != nil || len(warnings) > 0 {
		t.Errorf("check: %v, %v", warnings, err)
	}
	i := start(t, d, spec)
	defer kill(t, i)
	reads := func() string {
		return control(t, id, spec.UUID, "blkio.throttle.read_bps_device", "io.max")
	}
	for got, want := range map[string][]string{
		reads(): {number, "1048576"},
		control(t, id, spec.UUID, "blkio.throttle.write_iops_device", "io.max"): {number, "100"},
	} {
		for _, word := range want {
			if !strings.Contains(got, word) {
				t.Errorf("the limit is %q, want %q in it", got, word)
			}
		}
	}
	def := proto.CloneOf(spec.Definition)
	def.Blkiotune.Device[0].ReadBytesSec = 2 << 20
	if err := i.Update(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	if got := reads(); !strings.Contains(got, "2097152") {
		t.Errorf("after an update the limit is %q", got)
	}
	for want, bad := range map[string]string{
		"does not exist": "/dev/nothing-of-that-name", "is no block device": "/dev/null",
	} {
		refused := proto.CloneOf(def)
		refused.Blkiotune.Device[0].Path = bad
		err := i.Update(t.Context(), refused)
		if e, ok := errors.AsType[*domain.Error](err); !ok || !strings.Contains(err.Error(), want) || len(e.Violations) != 1 ||
			e.Violations[0].XMLPath != "/domain/blkiotune/device[1]/path" {
			t.Errorf("update to %s: %v", bad, err)
		}
		if got := reads(); !strings.Contains(got, "2097152") {
			t.Errorf("after a refusal the limit is %q", got)
		}
		other := h.spec(idle)
		other.Definition.Blkiotune = refused.GetBlkiotune()
		if _, err = d.Start(t.Context(), other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start with %s: %v", bad, err)
		}
		warnings, err := d.Check(t.Context(), other.Definition)
		if err != nil || len(warnings) != 1 || warnings[0].GetField() != "blkiotune.device[0].path" {
			t.Errorf("check of %s: %v, %v", bad, warnings, err)
		}
	}
	def.Blkiotune = nil
	if err := i.Update(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	if got := reads(); got != "" {
		t.Errorf("lifted, the limit is %q", got)
	}
}

// A weight is what the kernel is told, or the start says which element it is that the kernel knows nothing of.
func TestBlockWeight(t *testing.T) {
	const id = "11fe0031"
	h := newHost(t, id)
	d := closing(t, h.open(t))
	needController(t, d, "io")
	spec := h.spec(idle, func(def *davitv1.Domain) { def.Blkiotune = &davitv1.BlkioTune{Weight: 321} })
	i, err := d.Start(t.Context(), spec)
	if e, ok := errors.AsType[*domain.Error](err); ok {
		if e.Detail["element"] != "/domain/blkiotune/weight" || e.Reason != davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED ||
			!strings.Contains(err.Error(), "weight") {
			t.Errorf("start: %v, %v", err, e.Detail)
		}
		t.Skipf("the kernel has no weights: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer kill(t, i)
	file := "io.bfq.weight"
	if found, _ := filepath.Glob("/sys/fs/cgroup/test-davit/*/io.bfq.weight"); len(found) == 0 {
		file = "io.weight"
	}
	if got := control(t, id, spec.UUID, "blkio.bfq.weight", file); strings.TrimPrefix(got, "default ") != "321" {
		t.Errorf("weight is %q", got)
	}
}

// Strict memory nodes are those of the cgroup, interleaved ones a policy of init and of commands.
func TestMemoryNodes(t *testing.T) {
	const id = "11fe0032"
	h := newHost(t, id)
	d := closing(t, h.open(t))
	node := func(mode davitv1.NumaMode) func(*davitv1.Domain) {
		return func(def *davitv1.Domain) { def.Numatune = &davitv1.NumaTune{Mode: mode, Nodeset: "0"} }
	}
	t.Run("strict", func(t *testing.T) {
		needController(t, d, "cpuset")
		spec := h.spec(idle, node(davitv1.NumaMode_NUMA_MODE_STRICT))
		i := start(t, d, spec)
		defer kill(t, i)
		if got := control(t, id, spec.UUID, "cpuset.mems", "cpuset.mems"); got != "0" {
			t.Errorf("memory nodes are %q", got)
		}
		def := proto.CloneOf(spec.Definition)
		def.Numatune = nil
		if err := i.Update(t.Context(), def); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("interleave", func(t *testing.T) {
		if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
			t.Skip("needs a kernel with memory nodes")
		}
		i := start(t, d, h.spec(idle, node(davitv1.NumaMode_NUMA_MODE_INTERLEAVE)))
		defer kill(t, i)
		for _, file := range []string{"/proc/1/numa_maps", "/proc/self/numa_maps"} {
			if got := output(t, i, "cat", file); !strings.Contains(got, "interleave:0") {
				t.Errorf("%s is %q", file, got)
			}
		}
	})
	absent := h.spec(idle, func(def *davitv1.Domain) {
		def.Numatune, def.Vcpu = &davitv1.NumaTune{Nodeset: "1000"}, &davitv1.Vcpu{Cpuset: "8000"}
	})
	for what, err := range map[string]error{
		"check": func() error { _, err := d.Check(t.Context(), absent.Definition); return err }(),
		"start": func() error { _, err := d.Start(t.Context(), absent); return err }(),
	} {
		e, ok := errors.AsType[*domain.Error](err)
		if !ok || !errors.Is(err, domain.ErrFailedPrecondition) || len(e.Violations) != 2 ||
			e.Violations[0].Field != "vcpu.cpuset" || e.Violations[1].Field != "numatune.nodeset" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A domain has the clocks that the host has, and may read them; a clock that the host has not is refused.
func TestClocks(t *testing.T) {
	h := newHost(t, "11fe0033")
	d := closing(t, h.open(t))
	timer := h.spec(idle, func(def *davitv1.Domain) {
		def.Clock = &davitv1.Clock{Timer: []*davitv1.Timer{{Name: davitv1.TimerName_TIMER_NAME_RTC, Present: new(true)}}}
	})
	dev := t.TempDir()
	d.DevHook(dev)
	if _, err := d.Start(t.Context(), timer); err == nil || !strings.Contains(err.Error(), "/domain/clock/timer[1]/@name: the host has no /dev/rtc0") {
		t.Errorf("start without a clock: %v", err)
	}
	// Another device stands for the clock where the host has none: its driver is not asked for the time.
	clock := "/dev/rtc0"
	if _, err := os.Stat(clock); err != nil {
		clock = "/dev/fuse"
	}
	if _, err := os.Stat(clock); err != nil {
		t.Skip("needs a clock, or a device to stand for one")
	}
	if err := os.Symlink(clock, filepath.Join(dev, "rtc0")); err != nil {
		t.Fatal(err)
	}
	i := start(t, d, timer)
	defer kill(t, i)
	if got := output(t, i, "sh", "-c", "stat -c '%F %a %u' /dev/rtc0; exec 2>&1; : </dev/rtc0 && echo read; : >/dev/rtc0"); !strings.HasPrefix(got, "character special file 600 0\nread\n") || !strings.Contains(got, "not permitted") {
		t.Errorf("the clock is %q", got)
	}
}
