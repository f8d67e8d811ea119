package cgroup_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/cgroup"
)

// blockDevice is a block device of the host, which nothing in the test uses: a limit of a group without processes holds up
// nobody.
func blockDevice(t *testing.T) cgroup.IODevice {
	t.Helper()
	found, err := filepath.Glob("/sys/block/*/dev")
	if err != nil || len(found) == 0 {
		t.Skipf("needs a block device: %v", err)
	}
	// Loop devices first: there are such as nobody uses at all.
	slices.SortFunc(found, func(a, b string) int {
		return strings.Compare(strings.Replace(a, "/loop", "/ ", 1), strings.Replace(b, "/loop", "/ ", 1))
	})
	number, err := cgroup.ParseDevice(readFile(t, found[0]))
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// ioFile is a group's control file of the io controller; false if the kernel has none of that name.
func ioFile(t *testing.T, h *cgroup.Hierarchy, g *cgroup.Group, v1, v2 string) (string, bool) {
	t.Helper()
	path := filepath.Join("/sys/fs/cgroup/blkio", g.Path().String(), v1)
	if h.Layout == cgroup.V2 {
		path = filepath.Join("/sys/fs/cgroup", g.Path().String(), v2)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text)), true
}

func TestIOWeight(t *testing.T) {
	h := host(t)
	if !h.Has("io") {
		t.Skip("needs the io controller")
	}
	g := create(t, h, cgroup.Limits{IOWeight: new(uint64(cgroup.DefaultIOWeight))})
	err := g.SetLimits(cgroup.Limits{IOWeight: new(uint64(300))})
	bfq, hasBFQ := ioFile(t, h, g, "blkio.bfq.weight", "io.bfq.weight")
	other, hasOther := ioFile(t, h, g, "blkio.weight", "io.weight")
	if !hasBFQ && !hasOther {
		if told, ok := errors.AsType[*cgroup.LimitError](err); !ok || told.Limit != "io weight" || !errors.Is(err, cgroup.ErrNoKnob) {
			t.Errorf("a weight that the kernel does not know: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for file, there := range map[string]bool{bfq: hasBFQ, other: hasOther} {
		if there && strings.TrimPrefix(file, "default ") != "300" {
			t.Errorf("weight is %q, want 300", file)
		}
	}
	if err := g.SetLimits(cgroup.Limits{IOWeight: new(uint64(100000))}); err == nil || !strings.Contains(err.Error(), `"100000"`) {
		t.Errorf("a weight that cannot be: %v", err)
	}
}

// The limits of devices are those of the last list and no others.
func TestIODevices(t *testing.T) {
	h := host(t)
	if !h.Has("io") {
		t.Skip("needs the io controller")
	}
	device := blockDevice(t)
	g := create(t, h, cgroup.Limits{IODevices: []cgroup.IODevice{}})
	limits := func(v1, v2 string) string {
		text, there := ioFile(t, h, g, "blkio.throttle."+v1, "io.max")
		if !there {
			t.Skip("the kernel cannot throttle")
		}
		if h.Layout != cgroup.V2 {
			_, n, _ := strings.Cut(text, " ")
			return n
		}
		for word := range strings.FieldsSeq(text) {
			if n, ok := strings.CutPrefix(word, v2+"="); ok && n != "max" {
				return n
			}
		}
		return ""
	}
	check := func(when string, want ...string) {
		t.Helper()
		for i, file := range [][2]string{
			{"read_iops_device", "riops"}, {"write_iops_device", "wiops"}, {"read_bps_device", "rbps"}, {"write_bps_device", "wbps"},
		} {
			if got := limits(file[0], file[1]); got != want[i] {
				t.Errorf("%s %s is %q, want %q", when, file[0], got, want[i])
			}
		}
	}
	check("at first", "", "", "", "")
	set := func(list ...cgroup.IODevice) {
		t.Helper()
		if err := g.SetLimits(cgroup.Limits{IODevices: list}); err != nil {
			t.Fatal(err)
		}
	}
	device.ReadIOPS, device.WriteIOPS, device.ReadBytes, device.WriteBytes = 100, 200, 1<<20, 2<<20
	set(device)
	check("all", "100", "200", "1048576", "2097152")
	device.ReadIOPS, device.WriteBytes = 0, 0
	set(device)
	check("two", "", "200", "1048576", "")
	if err := g.SetLimits(cgroup.Limits{PidsMax: new(uint64(9))}); err != nil {
		t.Fatal(err)
	}
	check("not asked for", "", "200", "1048576", "")
	if err := g.SetLimits(cgroup.Limits{IODevices: []cgroup.IODevice{}}); err != nil {
		t.Fatal(err)
	}
	check("none", "", "", "", "")
	err := g.SetLimits(cgroup.Limits{IODevices: []cgroup.IODevice{{Major: 4000, Minor: 1, ReadBytes: 1}}})
	if told, ok := errors.AsType[*cgroup.LimitError](err); !ok || told.Limit != "io devices" || !strings.Contains(err.Error(), "4000:1") {
		t.Errorf("a device that is not there: %v", err)
	}
}

// A device takes a weight, or it is said that its scheduler knows none.
func TestIODeviceWeight(t *testing.T) {
	h := host(t)
	if !h.Has("io") {
		t.Skip("needs the io controller")
	}
	device := blockDevice(t)
	device.Weight = 300
	g := create(t, h, cgroup.Limits{})
	if err := g.SetLimits(cgroup.Limits{IODevices: []cgroup.IODevice{device}}); err != nil && !errors.Is(err, cgroup.ErrNoKnob) {
		t.Errorf("weight of a device: %v", err)
	}
	if err := g.SetLimits(cgroup.Limits{IODevices: []cgroup.IODevice{}}); err != nil {
		t.Error(err)
	}
}

func TestMems(t *testing.T) {
	h := host(t)
	if !h.Has("cpuset") {
		t.Skip("needs the cpuset controller")
	}
	g := create(t, h, cgroup.Limits{Mems: "0"})
	if got := control(t, h, g, "cpuset.mems", "cpuset.mems"); got != "0" {
		t.Errorf("nodes are %q, want 0", got)
	}
	if err := g.SetLimits(cgroup.Limits{Mems: cgroup.AllMems}); err != nil {
		t.Fatal(err)
	}
	want := ""
	if h.Layout != cgroup.V2 {
		want = readFile(t, "/sys/fs/cgroup/cpuset/cpuset.mems")
	}
	if got := control(t, h, g, "cpuset.mems", "cpuset.mems"); got != want {
		t.Errorf("nodes are %q, want %q", got, want)
	}
	err := g.SetLimits(cgroup.Limits{Mems: "1000"})
	if told, ok := errors.AsType[*cgroup.LimitError](err); !ok || told.Limit != "memory nodes" {
		t.Errorf("a node that cannot be: %v", err)
	}
}

func TestDeviceNumbers(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "default 100\n": nil, "8:0 300\n": {"8:0"},
		"default 100\n8:0 300\n254:16 5\n":            {"8:0", "254:16"},
		"8:0 rbps=1 wbps=max riops=max wiops=max\n\n": {"8:0"},
	} {
		if got := cgroup.DeviceNumbers(text); !slices.Equal(got, want) {
			t.Errorf("%q is about %q, want %q", text, got, want)
		}
	}
}
