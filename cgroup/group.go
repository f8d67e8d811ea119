package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"
)

// Group is the cgroup of one domain, in all trees. It holds no descriptors and needs no Close; its methods may be called
// from any goroutine, and fail with fs.ErrNotExist once it is removed.
type Group struct {
	h    *Hierarchy
	path Path
}

// Path tells where it is.
func (g *Group) Path() Path { return g.path }

// Open finds a group that was created earlier, in whatever tree; fs.ErrNotExist if it is in none.
func (h *Hierarchy) Open(p Path) (*Group, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	for _, t := range h.Trees {
		f, err := t.root.sub(p.String())
		if err == nil {
			_ = f.Close()
			return &Group{h: h, path: p}, nil
		}
		if !gone(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("open cgroup %s: %w", p, os.ErrNotExist)
}

// folder opens the group's folder in a tree.
func (g *Group) folder(t *Tree) (*folder, error) { return t.root.sub(g.path.String()) }

// core opens the group's folder in the tree in which processes are listed.
func (g *Group) core() (*folder, *Tree, error) {
	t := g.h.core()
	f, err := g.folder(t)
	return f, t, err
}

// Cgroup2Dir opens the folder in the cgroup2 tree that the domain's processes are to be made in (CLONE_INTO_CGROUP); nil
// where the host has no such tree. The caller closes it.
func (g *Group) Cgroup2Dir() (*os.File, error) {
	t := g.h.unified()
	if t == nil {
		return nil, nil
	}
	return t.root.openFile(path.Join(g.path.String(), Leaf), unix.O_RDONLY|unix.O_DIRECTORY)
}

// Tasks opens the tasks file of each version 1 tree for writing; a single thread that writes "0" to each is in the group.
// The caller closes them.
func (g *Group) Tasks() ([]*os.File, error) {
	var files []*os.File
	for _, t := range g.h.Trees {
		if t.Version != 1 {
			continue
		}
		file, err := t.root.openFile(path.Join(g.path.String(), "tasks"), unix.O_WRONLY)
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// Procs lists the processes of the group and of what the guest made below it, sorted.
func (g *Group) Procs() ([]int, error) {
	f, _, err := g.core()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	pids, err := f.procs()
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// procs lists the processes of a folder and of all below it.
func (f *folder) procs() ([]int, error) {
	text, err := f.read("cgroup.procs")
	// In a threaded cgroup the file cannot be read; its processes are listed by the ancestor that is not.
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !gone(err) {
		return nil, err
	}
	pids, err := parsePids(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.join("cgroup.procs"), err)
	}
	names, err := f.folders()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		sub, err := f.sub(name)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		more, err := sub.procs()
		_ = sub.Close()
		if err != nil {
			return nil, err
		}
		pids = append(pids, more...)
	}
	return pids, nil
}

// Contains tells whether a process is in the group in every tree, or below it: what a process id that was read from a
// file, or from a peer, is checked with before it is believed.
func (g *Group) Contains(pid int) (bool, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return false, fmt.Errorf("read cgroups of process %d: %w", pid, cause(err))
	}
	v1, v2, err := cgroups.ParseCgroupFromReaderUnified(bytes.NewReader(text))
	if err != nil {
		return false, fmt.Errorf("read cgroups of process %d: %w", pid, err)
	}
	for _, t := range g.h.Trees {
		at := v2
		if t.Version == 1 {
			at = v1[t.Controllers[0]]
		}
		// The hierarchy may begin above our root, so the group's path is somewhere in it.
		if !strings.Contains(at+"/", "/"+g.path.String()+"/") {
			return false, nil
		}
	}
	return true, nil
}
