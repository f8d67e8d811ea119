package cgroup_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/davitd/davit/cgroup"
)

// fixture unpacks a host from testdata and detects it.
func fixture(t *testing.T, name string) *cgroup.Hierarchy {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	var mountinfo string
	for _, f := range archive.Files {
		if f.Name == "mountinfo" {
			mountinfo = strings.ReplaceAll(string(f.Data), "ROOT", root)
			continue
		}
		path := filepath.Join(root, f.Name)
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err = os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, err := cgroup.DetectFixture(root, strings.NewReader(mountinfo))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// one is the group that every fixture has.
var one = cgroup.Path{Partition: "/machine", Name: "davit-fixture-one"}

func TestDetect(t *testing.T) {
	for _, want := range []struct {
		fixture     string
		layout      string
		trees       [][]string
		controllers []string
	}{
		{
			"v1", "v1",
			[][]string{{"name=systemd"}, {"cpu", "cpuacct"}, {"memory"}, {"pids"}, {"freezer"}, {"blkio"}},
			[]string{"cpu", "freezer", "io", "memory", "pids"},
		},
		{
			"hybrid", "hybrid",
			[][]string{{"cpu"}, {"memory"}, {"name=systemd"}, {"devices"}, {"hugetlb"}},
			[]string{"cpu", "devices", "freezer", "memory"},
		},
		{
			"v2", "v2",
			[][]string{{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"}},
			[]string{"cpu", "cpuset", "devices", "freezer", "io", "memory", "pids"},
		},
	} {
		h := fixture(t, want.fixture)
		if h.Layout.String() != want.layout {
			t.Errorf("%s: layout is %s", want.fixture, h.Layout)
		}
		var trees [][]string
		for _, tree := range h.Trees {
			trees = append(trees, tree.Controllers)
		}
		if diff := cmp.Diff(want.trees, trees); diff != "" {
			t.Errorf("%s: trees (-want +got):\n%s", want.fixture, diff)
		}
		if diff := cmp.Diff(want.controllers, h.Controllers()); diff != "" {
			t.Errorf("%s: controllers (-want +got):\n%s", want.fixture, diff)
		}
	}
}

func TestDetectFolderOfCgroup2(t *testing.T) {
	root := t.TempDir()
	service := filepath.Join(root, "system.slice/davitd.service")
	if err := os.MkdirAll(service, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(service, "cgroup.controllers"), []byte("memory pids\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mounts := "1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / " + root + " rw - cgroup2 none rw\n"
	h, err := cgroup.DetectFixture(service, strings.NewReader(mounts))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	if h.Layout != cgroup.V2 || !h.Has("memory") || h.Has("cpu") {
		t.Errorf("layout %s, controllers %q", h.Layout, h.Controllers())
	}
}

func TestDetectFails(t *testing.T) {
	for mounts, want := range map[string]string{
		"1 0 0:1 / / rw - ext4 x rw\n": "no cgroup file system is mounted there",
		"1 0 0:1 / /\n":                "is too short",
		"":                             "no cgroup file system is mounted there",
		"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / /nowhere/memory rw - cgroup x rw,memory\n": "open cgroup root /nowhere/memory",
	} {
		_, err := cgroup.DetectFixture("/nowhere", strings.NewReader(mounts))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", mounts, err, want)
		}
	}
	// An ordinary folder in the place of a cgroup file system is not written to.
	if _, err := cgroup.Detect(t.TempDir()); err == nil {
		t.Error("an ordinary folder was taken")
	}
}

func TestFixtureStats(t *testing.T) {
	for name, want := range map[string]cgroup.Stats{
		"v1": {
			CPUTime: 1234567890, UserTime: time.Second, SystemTime: 230 * time.Millisecond,
			Memory: 100 << 20, MemoryPeak: 200 << 20, Swap: 4096, OOMKills: 3, Pids: 7,
		},
		"hybrid": {CPUTime: 5 * time.Second, UserTime: 3 * time.Second, SystemTime: 2 * time.Second, Memory: 4096, MemoryPeak: 8192, MemoryMax: 1 << 20},
		"v2": {
			CPUTime: 1500 * time.Millisecond, UserTime: time.Second, SystemTime: 500 * time.Millisecond,
			Memory: 100 << 20, Swap: 4096, OOMKills: 2, Pids: 3, PidsMax: 512,
		},
	} {
		g, err := fixture(t, name).Open(one)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFixtureProcsAndFrozen(t *testing.T) {
	for name, want := range map[string]struct {
		procs  []int
		frozen bool
	}{"v1": {[]int{10, 11, 12}, true}, "hybrid": {[]int{40, 41}, true}, "v2": {[]int{5, 7}, false}} {
		g, err := fixture(t, name).Open(one)
		if err != nil {
			t.Fatal(err)
		}
		procs, err := g.Procs()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.procs, procs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if frozen, err := g.Frozen(); frozen != want.frozen || err != nil {
			t.Errorf("%s: frozen is %v, %v", name, frozen, err)
		}
	}
}

func TestFixtureFind(t *testing.T) {
	found, err := fixture(t, "hybrid").Find("davit-fixture-")
	if err != nil {
		t.Fatal(err)
	}
	want := []cgroup.Path{one, {Partition: "/machine/deeper", Name: "davit-fixture-two"}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFixtureErrors(t *testing.T) {
	h := fixture(t, "hybrid")
	if _, err := h.Open(cgroup.Path{Partition: "/machine", Name: "davit-fixture-none"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what is not there: %v", err)
	}
	g, err := h.Open(one)
	if err != nil {
		t.Fatal(err)
	}
	// pids is in no tree, cpu is in one that lacks the group, memory.memsw is a file that the kernel does not have.
	if err = g.SetLimits(cgroup.Limits{PidsMax: new(uint64(1))}); !errors.Is(err, cgroup.ErrNoController) || !strings.Contains(err.Error(), "pids") {
		t.Errorf("limit without a controller: %v", err)
	}
	if err = g.SetLimits(cgroup.Limits{CPUShares: new(uint64(1024))}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "cpu/machine/davit-fixture-one") {
		t.Errorf("limit in a tree without the group: %v", err)
	}
	err = g.SetLimits(cgroup.Limits{MemorySwapMax: new(uint64(4096))})
	if err == nil || !strings.Contains(err.Error(), `write "4096" to `) || !strings.Contains(err.Error(), "memory.memsw.limit_in_bytes") {
		t.Errorf("the error does not tell file and value: %v", err)
	}
}

// Links and other mounts are not followed out of a tree, whatever stands there.
func TestLinksAreRefused(t *testing.T) {
	root := t.TempDir()
	tree, outside := filepath.Join(root, "memory"), filepath.Join(root, "outside")
	group := filepath.Join(tree, "machine", "davit-fixture-one")
	for _, dir := range []string{group, outside} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(outside, "memory.limit_in_bytes")
	if err := os.WriteFile(secret, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(group, "memory.limit_in_bytes")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(tree, "machine", "davit-fixture-two")); err != nil {
		t.Fatal(err)
	}
	h, err := cgroup.DetectFixture(root, strings.NewReader("1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / "+tree+" rw - cgroup x rw,memory\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	g, err := h.Open(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetLimits(cgroup.Limits{MemoryMax: new(uint64(1))}); err == nil {
		t.Error("a limit was written through a link")
	}
	if _, err := h.Open(cgroup.Path{Partition: "/machine", Name: "davit-fixture-two"}); err == nil {
		t.Error("a link was opened as a group")
	}
	if got := readFile(t, secret); got != "untouched" {
		t.Errorf("the file outside now reads %q", got)
	}
}
