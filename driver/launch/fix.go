package launch

import (
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices"
	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// What the child mounts in its own user namespace, its root can unmount: a mask that was put over a file of proc could be taken off,
// or gone round by a mount of proc anew. The kernel keeps mounts together, and their flags, when a tree of them comes into a user
// namespace from outside. So the trees that have something hidden or protected take that way: the parent takes a copy of each out of
// the child's mount table and attaches it in the vault, from which it comes into the child's vault, and the child puts it where it was.

// opFix is what is tried meanwhile.
const opFix = "fix masks"

// fixedTrees are the places of proc and sysfs, if something is hidden or protected that the container's root could undo: in a user
// namespace of its own, with the right to mount.
func fixedTrees(plan *monitorv1.Plan) (trees []string) {
	hides := false
	for _, op := range plan.GetOperations() {
		switch o := op.GetStep().(type) {
		case *monitorv1.Operation_KernelFilesystem:
			if o.KernelFilesystem.GetType() != monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_CGROUP2 {
				trees = append(trees, o.KernelFilesystem.GetTarget())
			}
		case *monitorv1.Operation_Mask, *monitorv1.Operation_ReadOnly:
			hides = true
		}
	}
	if !hides || !plan.GetNamespaces().GetUser() || plan.GetInit().GetCapabilities()&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return nil
	}
	return trees
}

// fixedName is the name of a tree in a vault, by its index.
func fixedName(i int) string { return "fixed" + strconv.Itoa(i) }

// share has what is attached in the vault from now on come to its copies in other mount tables, at the places made for that.
func (v *vault) share(trees int) error {
	if trees == 0 {
		return nil
	}
	for i := range trees {
		if err := devices.MakeFolder(v.mount, fixedName(i), 0, 0, 0o755); err != nil {
			return err
		}
	}
	return unix.MountSetattr(int(v.mount.Fd()), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Propagation: unix.MS_SHARED})
}

// fix lets the parent take what is mounted, and puts in its place what comes back.
func (m *mounting) fix() {
	trees := fixedTrees(m.tree.plan)
	if len(trees) == 0 {
		return
	}
	m.begin(step{operation: opFix})
	word := m.slot()
	m.call(unix.SYS_WRITE, m.assembler.file(m.lines.reportIn, "report"), m.words("{mounted}", reportMounted, 0), num(uint64(unsafe.Sizeof(report{}))))
	m.call(unix.SYS_READ, m.assembler.file(m.lines.gateOut, "gate"), m.address(word), num(1)).exactly(1)
	m.call(unix.SYS_FCHDIR, m.root)
	for i, tree := range trees {
		fixed := m.slot()
		m.open(m.here(), vaultPath+"/"+fixedName(i), wantFolder, unix.RESOLVE_NO_SYMLINKS).to(fixed)
		m.call(unix.SYS_UMOUNT2, m.text(inside(tree)), num(unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
		m.attach(fixed, tree, true, inRootPlain)
	}
}

// fix takes the trees out of the child's mount table and attaches them in the vault, when all is mounted.
func (l *launcher) fix(a *assembler, lines *lines, child *child) error {
	trees := fixedTrees(l.plan)
	if len(trees) == 0 {
		return nil
	}
	if _, err := lines.await(a, reportMounted); err != nil {
		return err
	}
	err := l.takeTrees(child, trees)
	if err != nil && !(Target{Pidfd: child.pidfd}).ended(time.Second) {
		return failed(step{operation: opFix}, err)
	}
	return lines.open() // a child that is gone has told why
}

// takeTrees is done from within the mount table of the child: only there can what is mounted there be cloned.
func (l *launcher) takeTrees(child *child, paths []string) error {
	own, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	trees := []*os.File{own}
	err = unix.Setns(int(child.pidfd.Fd()), unix.CLONE_NEWNS)
	for _, path := range paths {
		var tree *os.File
		if err == nil {
			tree, err = takeTree(path)
		}
		trees = append(trees, tree)
	}
	defer closeAll(trees)
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNS); back != nil {
		return back
	}
	for i := range paths {
		if err == nil {
			err = fs.AttachAt(trees[i+1], l.tree.vault.mount, fixedName(i))
		}
	}
	return err
}

func takeTree(path string) (*os.File, error) {
	at, err := fs.OpenDir(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = at.Close() }()
	return fs.Clone(at)
}
