package launch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
)

// cgroup2Root is where the host has its cgroup2 tree.
func cgroup2Root(tb testing.TB) string {
	tb.Helper()
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var stat unix.Statfs_t
		if unix.Statfs(dir, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	tb.Skip("no cgroup2 tree is mounted")
	return ""
}

// newCgroup makes a cgroup below a folder, for the time of a test.
func newCgroup(tb testing.TB, parent string) string {
	tb.Helper()
	dir := filepath.Join(parent, fmt.Sprintf("test-davit-launch-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			_ = os.Remove(filepath.Join(dir, "inner"))
			if err := os.Remove(dir); err == nil {
				return
			} else if time.Now().After(end) {
				tb.Error(err)
				return
			}
		}
	})
	return dir
}

func openDir(tb testing.TB, dir string) *os.File {
	tb.Helper()
	f, err := os.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

func TestInitAndCommandsAreInTheirCgroups(t *testing.T) {
	testenv.Require(t, testenv.Root)
	for _, userns := range []bool{false, true} {
		t.Run(map[bool]string{false: "host ids", true: "user namespace"}[userns], func(t *testing.T) {
			testenv.Residue(t)
			dir := newCgroup(t, cgroup2Root(t))
			d := launch.Descriptors{Cgroup2: openDir(t, dir)}
			if v1 := "/sys/fs/cgroup/pids"; isV1(v1) {
				tasks, err := os.OpenFile(filepath.Join(newCgroup(t, v1), "tasks"), os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = tasks.Close() })
				d.Tasks = append(d.Tasks, tasks)
			}
			root := newRoot(t)
			chownTree(t, root)
			plan := newPlan(root, "cat", "/proc/self/cgroup", "--", "pause")
			if userns {
				withUserNamespace(plan)
			}
			guest, err := launch.Launch(plan, d)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { end(guest) })
			inCgroup(t, guest.PID, dir, d)
			text := make([]byte, 4096)
			n, err := guest.Consoles[0].Read(text)
			if err != nil || !strings.Contains(string(text[:n]), `0::/\n`) {
				t.Errorf("init sees %q, %v", text[:n], err)
			}
			process, err := launch.Join(guest.Target(d), command("pause"), nullFiles(t))
			if err != nil {
				t.Fatal(err)
			}
			inCgroup(t, process.PID, dir, d)
			if err := process.Signal(unix.SIGKILL); err != nil {
				t.Error(err)
			}
			if _, err := process.Wait(); err != nil {
				t.Error(err)
			}
			_ = process.Close()
		})
	}
}

func isV1(dir string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(dir, &stat) == nil && stat.Type == unix.CGROUP_SUPER_MAGIC
}

// inCgroup fails unless a process is in the cgroup of a test, in each hierarchy that it has one in.
func inCgroup(t *testing.T, pid int, dir string, d launch.Descriptors) {
	t.Helper()
	table, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(table), "/"+filepath.Base(dir)+"\n"); n != 1+len(d.Tasks) {
		t.Errorf("process %d is in\n%swant %d of %s", pid, table, 1+len(d.Tasks), filepath.Base(dir))
	}
}

// A guest that manages its own cgroup2 tree leaves no room for a command above it; the command goes where init is.
func TestCommandBesideAnInitThatManagesCgroups(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	top := cgroup2Root(t)
	controllers, err := os.ReadFile(filepath.Join(top, "cgroup.subtree_control"))
	if err != nil || !strings.Contains(string(controllers), "pids") {
		t.Skip("no pids controller in the cgroup2 tree")
	}
	dir := newCgroup(t, top)
	guest, err := launch.Launch(newPlan(newRoot(t), "pause"), launch.Descriptors{Cgroup2: openDir(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(guest) })
	inner := filepath.Join(dir, "inner")
	if err = os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"inner/cgroup.procs": strconv.Itoa(guest.PID)} {
		if err = os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+pids"), 0o600); err != nil {
		t.Fatal(err)
	}
	process, err := launch.Join(guest.Target(launch.Descriptors{Cgroup2: openDir(t, dir)}), command("pause"), nullFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	inCgroup(t, process.PID, inner, launch.Descriptors{})
	if err := process.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if _, err := process.Wait(); err != nil {
		t.Error(err)
	}
	_ = process.Close()
}

// The same without a cgroup of its own left: the controllers alone would be in the way of the next init.
func TestInitFollowsOneThatHandedControllersDown(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	dir := newCgroup(t, cgroup2Root(t))
	control := filepath.Join(dir, "cgroup.subtree_control")
	for _, name := range []string{"memory", "io", "hugetlb"} {
		_ = os.WriteFile(control, []byte("+"+name), 0o600)
	}
	if handed, err := os.ReadFile(control); err != nil || strings.TrimSpace(string(handed)) == "" {
		t.Skipf("the cgroup2 tree has none of these controllers: %v", err)
	}
	guest, err := launch.Launch(newPlan(newRoot(t), "pause"), launch.Descriptors{Cgroup2: openDir(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(guest) })
	inCgroup(t, guest.PID, dir, launch.Descriptors{})
}

// An init that managed cgroups leaves them behind, with controllers handed down, when it reboots; the next one finds none.
func TestInitFollowsOneThatManagedCgroups(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	top := cgroup2Root(t)
	dir := newCgroup(t, top)
	deep := filepath.Join(dir, "inner", "system.slice", "a.service")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	// The controllers that this host has to hand down, of which memory and hugetlb leave no room for a process above.
	for _, name := range []string{"memory", "pids", "hugetlb"} {
		for _, at := range []string{dir, filepath.Join(dir, "inner")} {
			_ = os.WriteFile(filepath.Join(at, "cgroup.subtree_control"), []byte("+"+name), 0o600)
		}
	}
	guest, err := launch.Launch(newPlan(newRoot(t), "pause"), launch.Descriptors{Cgroup2: openDir(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(guest) })
	inCgroup(t, guest.PID, dir, launch.Descriptors{})
	if _, err := os.Stat(filepath.Join(dir, "inner")); !os.IsNotExist(err) {
		t.Errorf("the old init's cgroup: %v", err)
	}
	if left, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); err != nil || strings.TrimSpace(string(left)) != "" {
		t.Errorf("controllers handed down: %q, %v", left, err)
	}
}

// A container whose memory is less than its start takes ends alone: the kernel's OOM killer, which ends all that share the
// memory of what it chose, does not end this process.
func TestSmallMemory(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	for _, limit := range []uint64{4 << 10, 64 << 10, 256 << 10, 1 << 20, 12 << 20} {
		t.Run(strconv.FormatUint(limit>>10, 10)+" KiB", func(t *testing.T) {
			d := smallCgroup(t, limit)
			plan := newPlan(root, "exit", "0")
			plan.MemoryLimitBytes = limit
			guest, err := launch.Launch(plan, d)
			if err != nil {
				if limit > 8<<20 {
					t.Errorf("a small system does not fit: %v", err)
				}
				return // the error is as the kernel was; that we are here is what counts
			}
			t.Cleanup(func() { end(guest) })
		})
	}
}

// smallCgroup makes a cgroup with little memory, in whatever hierarchy has the controller.
func smallCgroup(t *testing.T, limit uint64) launch.Descriptors {
	t.Helper()
	const v1 = "/sys/fs/cgroup/memory"
	top, file := cgroup2Root(t), "memory.max"
	if isV1(v1) {
		top, file = v1, "memory.limit_in_bytes"
	}
	dir := newCgroup(t, top)
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatUint(limit, 10)), 0o600); err != nil {
		t.Skipf("no memory controller: %v", err)
	}
	if top != v1 {
		return launch.Descriptors{Cgroup2: openDir(t, dir)}
	}
	tasks, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tasks.Close() })
	return launch.Descriptors{Tasks: []*os.File{tasks}}
}
