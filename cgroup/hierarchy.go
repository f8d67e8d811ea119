package cgroup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoController tells that the host has no controller for what was asked.
var ErrNoController = errors.New("the host has no such cgroup controller")

// Layout is how a host mounts its cgroups.
type Layout int

// The layouts.
const (
	// V1 has version 1 hierarchies only.
	V1 Layout = iota + 1
	// Hybrid has version 1 hierarchies and, beside them, a cgroup2 tree with the controllers that they leave over.
	Hybrid
	// V2 has one cgroup2 tree.
	V2
)

// String is "v1", "hybrid" or "v2".
func (l Layout) String() string {
	switch l {
	case V1:
		return "v1"
	case Hybrid:
		return "hybrid"
	case V2:
		return "v2"
	default:
		return fmt.Sprintf("Layout(%d)", int(l))
	}
}

// Hierarchy is the host's cgroups below one folder. Its methods may be called from any goroutine.
type Hierarchy struct {
	// Layout of the host.
	Layout Layout
	// Trees that are of use, the cgroup2 tree last.
	Trees []*Tree
	// root is the folder that was given.
	root string
	// noKillFile has tests go without cgroup.kill.
	noKillFile bool
	// hurryAtOnce has tests hurry each group that is killed.
	hurryAtOnce bool
}

// Tree is one mounted hierarchy.
type Tree struct {
	// Version is 1 or 2.
	Version int
	// Controllers that it has: "cpu", "cpuacct" and, for a named hierarchy, "name=systemd".
	Controllers []string
	// root is where domains' partitions begin.
	root *folder
}

// Has tells whether the tree has a controller.
func (t *Tree) Has(controller string) bool { return slices.Contains(t.Controllers, controller) }

// Detect looks at the cgroups below root: the folder of version 1 mounts, or any folder of a cgroup2 tree, such as
// one that was delegated.
func Detect(root string) (*Hierarchy, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("detect cgroups: %w", err)
	}
	defer func() { _ = f.Close() }()
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, fmt.Errorf("detect cgroups in %q: %w", root, cause(err))
	}
	return detect(real, f, false)
}

// detect is Detect with given mounts. A fixture is an ordinary folder that stands for a cgroup file system.
func detect(root string, mountinfo io.Reader, fixture bool) (*Hierarchy, error) {
	mounts, err := parseMountinfo(mountinfo)
	if err != nil {
		return nil, fmt.Errorf("detect cgroups in %q: %w", root, err)
	}
	h := &Hierarchy{root: root}
	found := below(mounts, root)
	if m := holding(mounts, root); m.kind == "cgroup2" {
		m.point = root
		found = []mount{m}
	}
	for _, m := range found {
		if err := h.add(m, fixture); err != nil {
			_ = h.Close()
			return nil, fmt.Errorf("detect cgroups in %q: %w", root, err)
		}
	}
	slices.SortStableFunc(h.Trees, func(a, b *Tree) int { return a.Version - b.Version })
	v2 := h.unified() != nil
	switch {
	case len(h.Trees) == 0:
		return nil, fmt.Errorf("detect cgroups in %q: no cgroup file system is mounted there", root)
	case !v2:
		h.Layout = V1
	case len(h.Trees) > 1:
		h.Layout = Hybrid
	default:
		h.Layout = V2
	}
	return h, nil
}

// add takes in a mount, if it is one of cgroups and of use.
func (h *Hierarchy) add(m mount, fixture bool) error {
	t := &Tree{}
	var magic int64
	switch m.kind {
	case "cgroup":
		t.Version, magic = 1, unix.CGROUP_SUPER_MAGIC
		t.Controllers = controllers(m.options)
		if slices.Equal(t.Controllers, []string{"perf_event"}) {
			return nil
		}
	case "cgroup2":
		t.Version, magic = 2, unix.CGROUP2_SUPER_MAGIC
	default:
		return nil
	}
	if fixture {
		magic = 0
	}
	root, err := openRoot(m.point, magic)
	if err != nil {
		return err
	}
	t.root = root
	h.Trees = append(h.Trees, t)
	if t.Version == 2 {
		text, err := root.read("cgroup.controllers")
		if err != nil {
			return err
		}
		t.Controllers = fields(text)
	}
	return nil
}

// notControllers are the options of a version 1 mount that name no controller.
var notControllers = []string{"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "nofavordynmods"}

// controllers takes the controllers out of a version 1 mount's options.
func controllers(options []string) []string {
	var names []string
	for _, o := range options {
		named := strings.HasPrefix(o, "name=")
		if o == "" || slices.Contains(notControllers, o) || strings.Contains(o, "=") && !named {
			continue
		}
		names = append(names, o)
	}
	return names
}

// Close lets go of the trees.
func (h *Hierarchy) Close() error {
	var errs []error
	for _, t := range h.Trees {
		errs = append(errs, t.root.Close())
	}
	return errors.Join(errs...)
}

// Controllers are what limits can use, by their version 2 names and sorted: "cpu", "cpuset", "devices", "freezer", "io",
// "memory", "pids".
func (h *Hierarchy) Controllers() []string {
	names := []string{}
	for _, c := range []string{"cpu", "cpuset", "devices", "freezer", "io", "memory", "pids"} {
		if h.Has(c) {
			names = append(names, c)
		}
	}
	return names
}

// Has tells whether the host has a controller, by its version 2 name. A cgroup2 tree always has "freezer" and "devices",
// which are no controllers there but parts of its core and of eBPF.
func (h *Hierarchy) Has(controller string) bool { return h.tree(controller) != nil }

// tree is where a controller lives, or nil.
func (h *Hierarchy) tree(controller string) *Tree {
	v2 := h.unified()
	if controller == "freezer" && v2 != nil {
		return v2
	}
	for _, t := range h.Trees {
		if t.Has(controller) || t.Version == 1 && controller == "io" && t.Has("blkio") {
			return t
		}
	}
	if controller == "devices" {
		return v2
	}
	return nil
}

// unified is the cgroup2 tree, or nil.
func (h *Hierarchy) unified() *Tree {
	if n := len(h.Trees); n > 0 && h.Trees[n-1].Version == 2 {
		return h.Trees[n-1]
	}
	return nil
}

// core is the tree in which processes are listed: cgroup2, else the freezer's, else any.
func (h *Hierarchy) core() *Tree {
	if t := h.tree("freezer"); t != nil {
		return t
	}
	return h.Trees[0]
}
