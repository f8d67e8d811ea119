package cgroup_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/internal/testenv"
)

// A service that systemd delegated a cgroup to stands in it, where no controller can be handed down; Prepare makes room.
func TestPrepareDelegatedRoot(t *testing.T) {
	testenv.Require(t, testenv.CgroupV2)
	top := host(t)
	service := filepath.Join("/sys/fs/cgroup", "davit.service-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(service, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Remove(service + "/supervisor")
		_ = os.Remove(service)
	})
	// The group and its leaf are of use only to start a process, which then plays the service.
	group := create(t, top, cgroup.Limits{})
	daemon := run(t, group, "echo $$ >"+service+"/cgroup.procs; exec sleep 1000")
	t.Cleanup(func() { _ = daemon.Process.Kill() })
	pid := strconv.Itoa(daemon.Process.Pid)
	eventually(t, func() string {
		if !slices.Contains(strings.Fields(readFile(t, service+"/cgroup.procs")), pid) {
			return "the service is not in its cgroup"
		}
		return ""
	})

	h, err := cgroup.Detect(service)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	for range 2 {
		if err = h.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	if got := readFile(t, service+"/supervisor/cgroup.procs"); got != pid {
		t.Errorf("in the supervisor's cgroup is %q, want %s", got, pid)
	}
	g, err := h.Create(cgroup.Path{Partition: "/machine", Name: cgroup.Name("prepare", uuid1)}, cgroup.Limits{MemoryMax: new(uint64(1 << 26))})
	if err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, filepath.Join(service, g.Path().String(), "memory.max")); got != "67108864" {
		t.Errorf("limit is %s", got)
	}
	if err := g.Remove(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(service + "/machine"); found != nil {
		t.Errorf("the partition is left: %q", found)
	}
}
