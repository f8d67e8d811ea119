package cgroup_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/davitd/davit/cgroup"
)

// The guest's root owns the leaf and can make cgroups in it, and cannot touch the domain's own folder, where the limits are.
func TestDelegate(t *testing.T) {
	h := host(t)
	if cgroup.Only(h, 2) == nil {
		t.Skip("needs a cgroup2 tree")
	}
	const user = 123456
	g := create(t, h, cgroup.Limits{})
	if err := g.Delegate(user, user); err != nil {
		t.Fatal(err)
	}
	leaf, err := g.Cgroup2Dir()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = leaf.Close() }()
	dir := leaf.Name()
	for name, want := range map[string]uint32{
		dir: user, dir + "/cgroup.procs": user, dir + "/cgroup.subtree_control": user, dir + "/cgroup.threads": user,
		dir + "/cgroup.freeze": 0, dir + "/cgroup.kill": 0, dir + "/cgroup.max.descendants": 0,
		dir + "/..": 0, dir + "/../cgroup.procs": 0, dir + "/../cgroup.subtree_control": 0,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != want {
			t.Errorf("%s belongs to %+v, want %d", name, info.Sys(), want)
		}
	}

	// As the guest's root: its own groups, but nothing above.
	allowed := asUser(t, g, user, "mkdir "+dir+"/mine && echo 0 >"+dir+"/mine/cgroup.procs")
	if !allowed {
		t.Error("the guest cannot manage its own cgroups")
	}
	for _, escape := range []string{
		"echo 0 >" + filepath.Dir(dir) + "/cgroup.procs", "mkdir " + filepath.Dir(dir) + "/evil", "echo 1 >" + filepath.Dir(dir) + "/cgroup.freeze",
		"echo max >" + filepath.Dir(dir) + "/cgroup.max.descendants", "echo max >" + dir + "/cgroup.max.descendants", "rmdir " + dir + "/mine; rmdir " + dir,
	} {
		if asUser(t, g, user, escape) {
			t.Errorf("the guest may: %s", escape)
		}
	}
	// What it made is removed with the group, at the end of the test.
}
