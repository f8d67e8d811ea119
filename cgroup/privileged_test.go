package cgroup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/internal/testenv"
)

const (
	uuid1 = "0e1a6f5e-3a4b-4c53-9a55-0c2d3b6c1f01"
	uuid2 = "0e1a6f5e-3a4b-4c53-9a55-0c2d3b6c1f02"
)

// host detects the host's cgroups, or skips.
func host(t *testing.T) *cgroup.Hierarchy {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.Cgroup)
	testenv.Residue(t)
	h, err := cgroup.Detect("/sys/fs/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// partition is one that no other test uses.
func partition(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("/davit.test-%d/%s", os.Getpid(), strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")))
}

// create makes a group that is removed at the end of the test.
func create(t *testing.T, h *cgroup.Hierarchy, l cgroup.Limits) *cgroup.Group {
	t.Helper()
	g, err := h.Create(cgroup.Path{Partition: partition(t), Name: cgroup.Name("test", uuid1)}, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Kill(bounded(t)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("kill at the end: %v", err)
		}
		if err := g.Remove(bounded(t)); err != nil {
			t.Errorf("remove at the end: %v", err)
		}
	})
	return g
}

// bounded is a context for one operation, also in a cleanup.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(2*time.Minute))
	t.Cleanup(cancel)
	return ctx
}

// run starts a shell in the group that is killed and reaped at the end of the test.
func run(t *testing.T, g *cgroup.Group, script string) *exec.Cmd {
	t.Helper()
	cmd := start(t, g, script, nil)
	t.Cleanup(func() {
		_ = g.Kill(bounded(t))
		_ = cmd.Wait()
	})
	return cmd
}

// start starts a shell in the group as the launcher would: by clone into the cgroup2 folder and, for version 1, by a
// process that writes itself to the tasks files before it goes on. It has mounts of its own. (bash: dash has no
// descriptors above 9.)
func start(t *testing.T, g *cgroup.Group, script string, stdin *os.File) *exec.Cmd {
	t.Helper()
	tasks, err := g.Tasks()
	if err != nil {
		t.Fatal(err)
	}
	var join, shut string
	for i := range tasks {
		join += fmt.Sprintf("echo 0 >&%d; ", i+3)
		shut += fmt.Sprintf("exec %d>&-; ", i+3)
	}
	cmd := exec.Command("/bin/bash", "-c", join+shut+script)
	cmd.ExtraFiles = tasks
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	dir, err := g.Cgroup2Dir()
	if err != nil {
		t.Fatal(err)
	}
	if dir != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
		defer func() { _ = dir.Close() }()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range tasks {
		_ = f.Close()
	}
	eventually(t, func() string {
		if in, err := g.Contains(cmd.Process.Pid); err == nil && !in {
			return "process does not come into the group in every tree"
		}
		return ""
	})
	return cmd
}

// eventually polls until ok says nothing is missing.
func eventually(t *testing.T, ok func() string) {
	t.Helper()
	deadline := time.Now().Add(testenv.Scale(time.Minute))
	for {
		missing := ok()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(missing)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestCreateAndRemove(t *testing.T) {
	h := host(t)
	g := create(t, h, cgroup.Limits{})
	cmd := run(t, g, "exec sleep 1000")
	pids, err := g.Procs()
	if err != nil || len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("procs are %v, %v; want %d", pids, err, cmd.Process.Pid)
	}
	if in, err := g.Contains(os.Getpid()); in || err != nil {
		t.Errorf("the test itself is in the group: %v, %v", in, err)
	}
	if _, err := h.Create(g.Path(), cgroup.Limits{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second group of that path: %v", err)
	}
	if _, err := h.Open(g.Path()); err != nil {
		t.Errorf("open after the failed creation: %v", err)
	}
	if err := g.Kill(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Open(g.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open after removal: %v", err)
	}
	if err := g.Remove(bounded(t)); err != nil {
		t.Errorf("remove again: %v", err)
	}
}

// inGroup runs a command in the group and tells whether it succeeded.
func inGroup(t *testing.T, g *cgroup.Group, command string) bool {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	// It waits for a word, so that it is still there when start looks whether it is in the group.
	cmd := start(t, g, "read go; "+command, read)
	_, err = write.WriteString("go\n")
	_ = write.Close()
	if err != nil {
		t.Fatal(err)
	}
	return cmd.Wait() == nil
}

// asUser is inGroup as an ordinary user.
func asUser(t *testing.T, g *cgroup.Group, user int, command string) bool {
	t.Helper()
	return inGroup(t, g, fmt.Sprintf("exec setpriv --reuid %d --regid %d --clear-groups /bin/sh -c '%s'", user, user, command))
}

// A daemon's umask does not keep a guest's root from its own cgroup, whose path leads through all the folders above.
func TestUmaskIsNotInTheWay(t *testing.T) {
	h := host(t)
	old := syscall.Umask(0o077)
	g := create(t, h, cgroup.Limits{})
	syscall.Umask(old)
	dir, err := g.Cgroup2Dir()
	if err != nil {
		t.Fatal(err)
	}
	if dir == nil {
		t.Skip("needs a cgroup2 tree")
	}
	defer func() { _ = dir.Close() }()
	for path, depth := dir.Name(), 0; depth < 4; path, depth = filepath.Dir(path), depth+1 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o755 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}
