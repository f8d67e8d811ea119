package launch

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// live is what a launch made that may be changed while the container runs.
type live struct {
	// dev is the tmpfs of /dev, wherever the container may have it by now; nil without one.
	dev *os.File
	// nodes are its nodes by name.
	nodes map[string]*monitorv1.DeviceNode
	// mounts are those that may go, by target.
	mounts map[string]*mounted
	// mountns and userns are the numbers of init's namespaces: it may leave them, and is not followed.
	mountns, userns uint64
}

// mounted is a mount that a launch or a revision made.
type mounted struct {
	fs.MountID
	// below are the mounts that came with it, by [fs.MountID.ID].
	below map[uint64]bool
}

// removable is the target of an operation whose mount may go.
func removable(op *monitorv1.Operation) string {
	switch {
	case op.GetBind() != nil:
		return op.GetBind().GetTarget()
	case op.GetInnerBind() != nil:
		return op.GetInnerBind().GetTarget()
	case op.GetOverlay() != nil:
		return op.GetOverlay().GetTarget()
	case op.GetTmpfs() != nil:
		return op.GetTmpfs().GetTarget()
	case op.GetImage() != nil:
		return op.GetImage().GetTarget()
	}
	return ""
}

// note remembers what a launch made, /dev by the index of its operation. The child has put its tree together and waits: nothing of the
// container has run.
func note(plan *monitorv1.Plan, pid int, root *os.File, dev func(index int) (*os.File, error)) (*live, error) {
	made := &live{nodes: map[string]*monitorv1.DeviceNode{}, mounts: map[string]*mounted{}}
	if err := made.note(plan, pid, root, dev); err != nil {
		made.close()
		return nil, failed(step{operation: "note mounts"}, err)
	}
	return made, nil
}

func (l *live) note(plan *monitorv1.Plan, pid int, root *os.File, dev func(index int) (*os.File, error)) error {
	table, err := tableOf(plan, pid)
	if err != nil {
		return err
	}
	for i, op := range plan.GetOperations() {
		if target := removable(op); target != "" {
			if l.mounts[target], err = mountOn(root, target, table); err != nil {
				return err
			}
		}
		if made := op.GetDev(); made != nil {
			for _, n := range made.GetNodes() {
				l.nodes[n.GetName()] = n
			}
			if l.dev, err = dev(i); err != nil {
				return err
			}
		}
	}
	if l.mountns, err = namespaceNumber(pid, "mnt"); err == nil {
		l.userns, err = namespaceNumber(pid, "user")
	}
	return err
}

// tableOf is the mount table of the child, if something in it may have come with mounts below.
func tableOf(plan *monitorv1.Plan, pid int) (fs.MountTable, error) {
	for _, op := range plan.GetOperations() {
		if op.GetBind() != nil || op.GetInnerBind() != nil {
			return readTable(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/mountinfo", pid))
		}
	}
	return nil, nil
}

// readTable reads a mount table.
func readTable(dir int, path string) (fs.MountTable, error) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	file := os.NewFile(uintptr(fd), "mountinfo")
	defer func() { _ = file.Close() }()
	return fs.ReadMountTable(file)
}

// mountOn finds the mount on a target of a container; nil if there is none, because another covers it.
func mountOn(root *os.File, target string, table fs.MountTable) (*mounted, error) {
	place, err := fs.OpenIn(root, inside(target))
	if err != nil {
		return nil, nil
	}
	defer func() { _ = place.Close() }()
	id, is, err := fs.IdentifyMount(place)
	if err != nil || !is {
		return nil, err
	}
	return newMounted(id, table), nil
}

// newMounted is a mount with what a table shows below it.
func newMounted(id fs.MountID, table fs.MountTable) *mounted {
	m := &mounted{MountID: id, below: map[uint64]bool{}}
	for _, entry := range table.Below(id.ID) {
		m.below[entry.ID] = true
	}
	return m
}

// namespaceNumber is the number of a namespace of a process.
func namespaceNumber(pid int, name string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, name), &stat); err != nil {
		return 0, fmt.Errorf("look up %s namespace: %w", name, err)
	}
	return stat.Ino, nil
}

// close lets go of the descriptors.
func (l *live) close() {
	if l != nil && l.dev != nil {
		_ = l.dev.Close()
	}
}
