package cgroup_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/cgroup"
)

// Two daemons that use one partition make and remove it under each other's feet.
func TestPartitionRace(t *testing.T) {
	h := host(t)
	var wait sync.WaitGroup
	for n := range 4 {
		wait.Go(func() {
			p := cgroup.Path{Partition: partition(t) + "/a/b", Name: cgroup.Name(fmt.Sprintf("race%d", n), uuid1)}
			for range 25 {
				g, err := h.Create(p, cgroup.Limits{})
				if err != nil {
					t.Errorf("create: %v", err)
					return
				}
				if err := g.SetLimits(cgroup.Limits{PidsMax: new(uint64(5))}); err != nil {
					t.Errorf("limit: %v", err)
				}
				if err := g.Remove(bounded(t)); err != nil {
					t.Errorf("remove: %v", err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// A daemon that was killed when it had made a partition and no group leaves folders that are told from others' and swept;
// those of others, empty too, stay.
func TestSweepOfEmptyPartitions(t *testing.T) {
	h := host(t)
	top := fmt.Sprintf("/davit.empty-%d", os.Getpid())
	var ours, others []string
	for _, dir := range roots(t, h) {
		ours = append(ours, filepath.Join(dir, top))
		others = append(others, filepath.Join(dir, top+"-of-others"))
	}
	if err := h.Partition(top + "/a/b"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range ours {
		t.Cleanup(func() { _ = os.Remove(dir) })
		if _, err := os.Stat(filepath.Join(dir, "a/b")); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range others {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
	}
	if err := h.Sweep(bounded(t), cgroup.InstancePrefix("nobody"), nil); err != nil {
		t.Fatal(err)
	}
	for _, dir := range ours {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a partition of ours was left: %s, %v", dir, err)
		}
	}
	for _, dir := range others {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("a partition of others was removed: %v", err)
		}
	}
}

// roots are the folders of the host's trees.
func roots(t *testing.T, h *cgroup.Hierarchy) []string {
	t.Helper()
	if h.Layout == cgroup.V2 {
		return []string{"/sys/fs/cgroup"}
	}
	found, err := filepath.Glob("/sys/fs/cgroup/*/tasks")
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

func TestForeignPartitionStays(t *testing.T) {
	h := host(t)
	top := fmt.Sprintf("davit.foreign-%d", os.Getpid())
	var made []string
	for _, dir := range roots(t, h) {
		made = append(made, filepath.Join(dir, top))
	}
	for _, dir := range made {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
	}
	g, err := h.Create(cgroup.Path{Partition: "/" + top + "/ours", Name: cgroup.Name("test", uuid1)}, cgroup.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(bounded(t)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range made {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("a partition of others was removed: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "ours")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a partition of ours was left: %v", err)
		}
	}
}

func TestFindAndSweep(t *testing.T) {
	h := host(t)
	mine := []cgroup.Path{
		{Partition: partition(t), Name: cgroup.Name("sweep", uuid1)},
		{Partition: partition(t) + "/deeper", Name: cgroup.Name("sweep", uuid2)},
		{Partition: "/", Name: cgroup.Name("sweep", "at-the-root")},
	}
	for _, p := range mine {
		g, err := h.Create(p, cgroup.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		cmd := start(t, g, "exec sleep 1000", nil)
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	other := create(t, h, cgroup.Limits{})

	found, err := h.Find(cgroup.InstancePrefix("sweep"))
	if err != nil {
		t.Fatal(err)
	}
	byText := cmp.Transformer("set", func(paths []cgroup.Path) map[string]bool {
		set := map[string]bool{}
		for _, p := range paths {
			set[p.String()] = true
		}
		return set
	})
	if diff := cmp.Diff(mine, found, byText); diff != "" || len(found) != len(mine) {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	listed, err := h.List(mine[0].Partition, cgroup.InstancePrefix("sweep"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mine[:1], listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}

	keep := func(p cgroup.Path) bool { return p == mine[1] }
	if err = h.Sweep(bounded(t), cgroup.InstancePrefix("sweep"), keep); err != nil {
		t.Fatal(err)
	}
	if found, err = h.Find("davit-"); err != nil {
		t.Fatal(err)
	}
	found = slices.DeleteFunc(found, func(p cgroup.Path) bool { // domains of other daemons of this host
		return p.Name != mine[1].Name && p.Name != other.Path().Name && !strings.HasPrefix(p.Name, cgroup.InstancePrefix("sweep"))
	})
	if diff := cmp.Diff([]cgroup.Path{mine[1], other.Path()}, found, byText); diff != "" {
		t.Errorf("after the sweep (-want +got):\n%s", diff)
	}
	if err := h.Sweep(bounded(t), cgroup.InstancePrefix("sweep"), nil); err != nil {
		t.Fatal(err)
	}
}

// A start that was killed leaves folders in some trees only; they are found and swept too.
func TestSweepOfHalfAGroup(t *testing.T) {
	h := host(t)
	p := cgroup.Path{Partition: partition(t), Name: cgroup.Name("half", uuid1)}
	for version := 1; version <= 2; version++ {
		if only := cgroup.Only(h, version); only != nil {
			if _, err := only.Create(p, cgroup.Limits{}); err != nil {
				t.Fatal(err)
			}
			if err := h.Sweep(bounded(t), cgroup.InstancePrefix("half"), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found, err := h.Find(cgroup.InstancePrefix("half")); err != nil || len(found) != 0 {
		t.Errorf("left are %v, %v", found, err)
	}
}

func TestParsePartition(t *testing.T) {
	for partition, want := range map[string][]string{
		"/": nil, "/machine": {"machine"}, "/a/b-c/d_e.slice": {"a", "b-c", "d_e.slice"}, "/user@1000.service": {"user@1000.service"},
	} {
		got, err := cgroup.ParsePartition(partition)
		if err != nil {
			t.Errorf("%q: %v", partition, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", partition, diff)
		}
	}
	for _, partition := range []string{
		"", "machine", "/machine/", "//", "/..", "/a/../b", "/.", "/.hidden", "/-x", "/a b", "/a\n", "/a\x00", "/é", "/tasks", "/cgroup.procs",
		"/memory.max", "/a/cpu.shares", "/davit-x", "/1/2/3/4/5/6/7/8/9", "/" + strings.Repeat("x", 129),
	} {
		if got, err := cgroup.ParsePartition(partition); err == nil {
			t.Errorf("%q gives %q, want an error", partition, got)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", partition)) {
			t.Errorf("%q: the error does not name it: %v", partition, err)
		}
	}
}

func TestNamesAreNotPaths(t *testing.T) {
	h := fixture(t, "hybrid")
	for _, name := range []string{"", "davit-", "davit-x", "davit-x-../y", "davit-x-a/b", "x", "davit-X-" + uuid1, "davit-x-" + uuid1 + "\n"} {
		if _, err := h.Open(cgroup.Path{Partition: "/", Name: name}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := h.Create(cgroup.Path{Partition: "/", Name: name}, cgroup.Limits{}); err == nil {
			t.Errorf("%q was created", name)
		}
	}
	for _, wrong := range []string{"", "other-"} {
		if _, err := h.Find(wrong); err == nil {
			t.Errorf("find takes the prefix %q", wrong)
		}
	}
}
