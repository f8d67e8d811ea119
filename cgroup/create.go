package cgroup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// folderMode is that of every folder. All may walk through it whatever our umask is: before kernel 6.16 a guest's root,
	// who is no user of the host's, can mount cgroup2 only if he may reach his own folder from above.
	folderMode = 0o755
	// mark is the bit in the mode of the partition folders that davit made. It means nothing to the kernel where only root
	// writes, and it is there from the folder's first moment: whoever is killed while he makes one leaves none without it.
	mark = unix.S_ISVTX
	// supervisor is where processes that stand in the root of a delegated cgroup2 tree are moved to: davitd itself. A unit
	// with DelegateSubgroup=supervisor is there from the beginning.
	supervisor = "supervisor"
	// attempts bounds how often a creation is tried again when others remove its folders.
	attempts = 50
	// guestGroups and guestDepth bound the cgroups that a guest makes, which cost the kernel memory.
	guestGroups, guestDepth = "2048", "16"
)

// distributed are the controllers that are handed down a cgroup2 tree, if it has them.
var distributed = []string{"cpu", "cpuset", "io", "memory", "pids"}

// Prepare makes the root of a cgroup2 tree fit to hand its controllers down. Where it was delegated to a daemon that still
// stands in it, all its processes are moved to a child, "supervisor". That waits for the kernel, so it is
// done once, before the first [Hierarchy.Create].
func (h *Hierarchy) Prepare() error {
	t := h.unified()
	if t == nil {
		return nil
	}
	for range attempts {
		err := t.root.distribute()
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		if err := t.root.evacuate(); err != nil {
			return err
		}
	}
	return fmt.Errorf("prepare cgroup %s: processes are made in it again and again", t.root.path)
}

// evacuate moves the processes of a folder to its child.
func (f *folder) evacuate() error {
	if _, err := f.mkdir(supervisor, folderMode); err != nil {
		return err
	}
	text, err := f.read("cgroup.procs")
	if err != nil {
		return err
	}
	for _, pid := range fields(text) {
		if err := f.write(path.Join(supervisor, "cgroup.procs"), pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// Create makes a group with limits, and what is missing of its partition. A group of that path is an error
// (fs.ErrExist). If it fails, nothing is left.
func (h *Hierarchy) Create(p Path, l Limits) (*Group, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	g := &Group{h: h, path: p}
	for i, t := range h.Trees {
		if err := t.create(p); err != nil {
			for _, made := range h.Trees[:i] {
				_ = made.remove(p)
			}
			return nil, err
		}
	}
	if err := g.SetLimits(l); err != nil {
		for _, t := range h.Trees {
			_ = t.remove(p)
		}
		return nil, err
	}
	return g, nil
}

// create makes the group's folder in one tree, again while others remove its partition meanwhile.
func (t *Tree) create(p Path) error {
	parts, err := ParsePartition(p.Partition)
	if err != nil {
		return err
	}
	for range attempts {
		if err = t.createOnce(parts, p.Name); !gone(err) {
			break
		}
	}
	if err != nil {
		t.prune(parts)
	}
	return err
}

// createOnce makes what is missing of a partition, and the group in it.
func (t *Tree) createOnce(parts []string, name string) error {
	if t.inherits() {
		return t.createHeir(parts, name)
	}
	at := path.Join(path.Join(parts...), name)
	made, err := t.root.mkdir(at, folderMode)
	if gone(err) {
		if err = t.makePartition(parts); err == nil {
			made, err = t.root.mkdir(at, folderMode)
		}
	}
	if err == nil && !made {
		err = fmt.Errorf("make cgroup %s: %w", t.root.join(at), unix.EEXIST)
	}
	if err != nil || t.Version == 1 {
		return err
	}
	if err = t.root.addLeaf(at, false); err != nil {
		_ = t.root.rmdir(at)
	}
	return err
}

// makePartition makes what is missing of a partition whose folders are given nothing.
func (t *Tree) makePartition(parts []string) error {
	for n := range parts {
		if _, err := t.root.mkdir(path.Join(parts[:n+1]...), folderMode|mark); err != nil {
			return err
		}
	}
	return nil
}

// createHeir is createOnce where each folder is given something of its parent's. It walks down by descriptors.
func (t *Tree) createHeir(parts []string, name string) error {
	at, err := t.partition(parts)
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	group, made, err := t.child(at, name, false)
	if err != nil {
		return err
	}
	defer func() { _ = group.Close() }()
	if !made {
		return fmt.Errorf("make cgroup %s: %w", group.path, unix.EEXIST)
	}
	if t.Version == 2 {
		err = group.addLeaf("", true)
	}
	if err != nil {
		_ = at.rmdir(name)
	}
	return err
}

// inherits tells whether a folder of the tree must be given something of its parent's to be of use.
func (t *Tree) inherits() bool {
	if t.Version == 1 {
		return t.Has("cpuset")
	}
	return slices.ContainsFunc(t.Controllers, func(c string) bool { return slices.Contains(distributed, c) })
}

// partition makes what is missing of a partition and opens it. It walks down by descriptors, so that all folders are of one
// line whatever happens to the names.
func (t *Tree) partition(parts []string) (*folder, error) {
	at, err := t.root.sub("")
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		next, _, err := t.child(at, part, true)
		_ = at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// child makes and opens a folder, and hands it the parent's controllers.
func (t *Tree) child(parent *folder, name string, partition bool) (*folder, bool, error) {
	if t.Version == 2 && t.inherits() {
		if err := parent.distribute(); err != nil {
			return nil, false, err
		}
	}
	mode := uint32(folderMode)
	if partition {
		mode |= mark
	}
	made, err := parent.mkdir(name, mode)
	if err != nil {
		return nil, false, err
	}
	f, err := parent.sub(name)
	if err != nil {
		if made {
			_ = parent.rmdir(name)
		}
		return nil, made, err
	}
	if t.Version == 1 && t.Has("cpuset") {
		if err := copyCpuset(parent, f, made); err != nil {
			_ = f.Close()
			if made {
				_ = parent.rmdir(name)
			}
			return nil, made, err
		}
	}
	return f, made, nil
}

// addLeaf makes the child of a folder beneath f, or of f, that holds the processes of a domain; inherits tells that it needs the
// controllers, which only f itself can give.
func (f *folder) addLeaf(group string, inherits bool) error {
	if err := f.write(path.Join(group, "cgroup.max.descendants"), guestGroups); err != nil {
		return err
	}
	if err := f.write(path.Join(group, "cgroup.max.depth"), guestDepth); err != nil {
		return err
	}
	if inherits {
		if err := f.distribute(); err != nil {
			return err
		}
	}
	_, err := f.mkdir(path.Join(group, Leaf), folderMode)
	return err
}

// distribute hands the controllers that a folder has down to its children. One that the kernel refuses now, such as cpu
// while realtime threads run, is left out: a limit that needs it will fail and say so.
func (f *folder) distribute() error {
	have, err := f.read("cgroup.controllers")
	if err != nil {
		return err
	}
	given, err := f.read("cgroup.subtree_control")
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range fields(have) {
		if slices.Contains(distributed, c) && !slices.Contains(fields(given), c) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	const file = "cgroup.subtree_control"
	err = f.write(file, strings.Join(missing, " "))
	// Processes in the folder, or threads of one. Asked one by one the kernel would give the threaded controllers, such as cpu,
	// and by that make the folder a threaded one, which never can have the others.
	if err == nil || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EOPNOTSUPP) || gone(err) {
		return err
	}
	for _, c := range missing {
		if err := f.write(file, c); gone(err) {
			return err
		}
	}
	return nil
}
