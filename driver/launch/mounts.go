package launch

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	emptyPath = unix.AT_EMPTY_PATH
	cloneTree = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	// fromTo says that both ends of a move are descriptors.
	fromTo = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
)

// mounting is the assembly of the part of a program that puts the mount tree together.
type mounting struct {
	*assembler
	tree  *tree
	lines *lines
	root  value
	// file and folder are what masks are made of, in slots.
	file, folder value
}

// assembleMounts attaches the tree, operation by operation, and makes its root the root of the child.
func (a *assembler) assembleMounts(t *tree, l *lines) {
	m := &mounting{assembler: a, tree: t, lines: l, root: a.file(t.root, "root")}
	here := a.here()
	if m.hasMasks() {
		a.begin(step{operation: "open masks"})
		m.file, m.folder = a.slot(), a.slot()
		a.open(here, vaultPath+"/"+vaultFile, 0, unix.RESOLVE_NO_SYMLINKS).to(m.file)
		a.open(here, vaultPath+"/"+vaultFolder, 0, unix.RESOLVE_NO_SYMLINKS).to(m.folder)
	}
	a.begin(step{operation: "attach root"})
	ops := t.plan.GetOperations()
	alone := len(ops) > 0 && waits(t.plan, ops[0])
	if alone {
		m.root = m.waiting(0)
	}
	if m.rootIsReadOnly() {
		if m.making = a.file(t.making, "root to make places in"); alone {
			m.making = m.waiting(len(ops))
		}
	}
	a.call(unix.SYS_MOVE_MOUNT, m.root, a.text(""), here, a.text("/"), num(unix.MOVE_MOUNT_F_EMPTY_PATH))
	steps := stepsOf(t.plan)
	for i, op := range ops {
		a.begin(steps[i])
		m.operation(i, op)
	}
	m.fix()
	m.enter()
}

func (m *mounting) hasMasks() bool {
	for _, op := range m.tree.plan.GetOperations() {
		if op.GetMask() != nil {
			return true
		}
	}
	return false
}

// operation assembles what the child does for an operation.
func (m *mounting) operation(i int, op *monitorv1.Operation) {
	switch o := op.GetStep().(type) {
	case *monitorv1.Operation_Bind:
		m.bind(i, op)
	case *monitorv1.Operation_Image:
		m.image(i, op)
	case *monitorv1.Operation_InnerBind:
		m.innerBind(o.InnerBind)
	case *monitorv1.Operation_Overlay:
		m.attach(m.made(i, "overlay"), o.Overlay.GetTarget(), true, inRoot)
	case *monitorv1.Operation_Tmpfs:
		m.attach(m.made(i, "tmpfs"), o.Tmpfs.GetTarget(), true, inRoot)
	case *monitorv1.Operation_KernelFilesystem:
		m.kernelFilesystem(i, o.KernelFilesystem)
	case *monitorv1.Operation_Dev:
		m.dev(i, o.Dev)
	case *monitorv1.Operation_ConsoleBind:
		m.consoleBind(o.ConsoleBind)
	case *monitorv1.Operation_Mask:
		m.mask(o.Mask.GetPath())
	case *monitorv1.Operation_ReadOnly:
		m.readOnly(o.ReadOnly)
	case *monitorv1.Operation_Hostname:
		name := o.Hostname.GetName()
		m.call(unix.SYS_SETHOSTNAME, m.text(name), num(uint64(len(name))))
	case *monitorv1.Operation_LoopbackUp:
		m.loopbackUp()
	}
}

// made is the mount that the parent made for an operation.
func (m *mounting) made(i int, label string) value { return m.assembler.file(m.tree.mounts[i], label) }

// bind attaches a mount of the host.
func (m *mounting) bind(i int, op *monitorv1.Operation) {
	b := op.GetBind()
	// A program that is only printed has no mount, and is written as if it were a folder.
	folder := m.tree.mounts[i] == nil || isFolder(m.tree.mounts[i])
	mount := m.made(i, "clone of "+b.GetSource())
	if waits(m.tree.plan, op) {
		mount = m.waiting(i)
	}
	m.attach(mount, b.GetTarget(), folder, inRoot)
}

// image attaches the filesystem of a device.
func (m *mounting) image(i int, op *monitorv1.Operation) {
	mount := m.made(i, "image "+op.GetImage().GetHeld())
	if waits(m.tree.plan, op) {
		mount = m.waiting(i)
	}
	m.attach(mount, op.GetImage().GetTarget(), true, inRoot)
}

// waiting takes the mount of an operation that waits in the vault.
func (m *mounting) waiting(i int) value {
	mount := m.slot()
	place := m.text(vaultPath + "/" + strconv.Itoa(i))
	m.call(unix.SYS_OPEN_TREE, m.here(), place, num(cloneTree&^emptyPath)).to(mount)
	return mount
}

// isFolder tells whether what is mounted is a folder.
func isFolder(mount *os.File) bool {
	var stat unix.Stat_t
	return unix.Fstat(int(mount.Fd()), &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

// attach puts a detached mount on a path of the container.
func (m *mounting) attach(mount value, target string, folder bool, resolve uint64) call {
	return m.move(mount, m.target(m.root, inside(target), folder, resolve))
}

func (m *mounting) move(mount, target value) call {
	return m.call(unix.SYS_MOVE_MOUNT, mount, m.text(""), target, m.text(""), num(fromTo))
}

// cloneOf clones the mount of an open file.
func (m *mounting) cloneOf(source value) value {
	clone := m.slot()
	m.call(unix.SYS_OPEN_TREE, source, m.text(""), num(cloneTree)).to(clone)
	return clone
}

// setReadOnly makes a mount, and those below it, read-only.
func (m *mounting) setReadOnly(mount value) {
	attr := m.words("{RDONLY}", unix.MOUNT_ATTR_RDONLY, 0, 0, 0)
	m.call(unix.SYS_MOUNT_SETATTR, mount, m.text(""), num(emptyPath|unix.AT_RECURSIVE), attr, num(32))
}

// innerBind mounts a path of the container at another place, a folder or a file.
func (m *mounting) innerBind(b *monitorv1.InnerBind) {
	file, end := m.label(), m.label()
	folder := m.slot()
	m.open(m.root, inside(b.GetSource()), wantFolder, inRoot).to(folder).on(syscall.ENOTDIR, file)
	m.attach(m.innerClone(folder, b), b.GetTarget(), true, inRoot).then(end)
	m.mark(file)
	source := m.slot()
	m.open(m.root, inside(b.GetSource()), wantAny, inRoot).to(source)
	m.attach(m.innerClone(source, b), b.GetTarget(), false, inRoot)
	m.mark(end)
}

func (m *mounting) innerClone(source value, b *monitorv1.InnerBind) value {
	clone := m.cloneOf(source)
	if b.GetReadOnly() {
		m.setReadOnly(clone)
	}
	return clone
}

// kernelFilesystem makes one that belongs to the child's own namespaces, unless the parent had to make it.
func (m *mounting) kernelFilesystem(i int, k *monitorv1.KernelFilesystem) {
	if madeByParent(m.tree.plan, k) {
		m.attach(m.made(i, kernelName(k.GetType())), k.GetTarget(), true, inRootPlain)
		return
	}
	mount := m.newFilesystem(kernelName(k.GetType()), kernelAttributes(k.GetReadOnly()))
	m.attach(mount, k.GetTarget(), true, inRootPlain)
}

// newFilesystem makes a filesystem and gives its detached mount.
func (m *mounting) newFilesystem(kind string, attributes int) value {
	context, mount := m.slot(), m.slot()
	m.call(unix.SYS_FSOPEN, m.text(kind), num(unix.FSOPEN_CLOEXEC)).to(context)
	m.call(unix.SYS_FSCONFIG, context, num(unix.FSCONFIG_CMD_CREATE))
	m.call(unix.SYS_FSMOUNT, context, num(unix.FSMOUNT_CLOEXEC), num(uint64(attributes))).to(mount)
	return mount
}

func (m *mounting) dev(i int, d *monitorv1.Dev) {
	m.attach(m.made(i, "tmpfs of dev"), "/dev", true, inRootPlain)
	m.attach(m.assembler.file(m.tree.devpts, "devpts"), "/dev/pts", true, inRootPlain)
	m.attach(m.assembler.file(m.tree.shm, "tmpfs of shm"), "/dev/shm", true, inRootPlain)
	if d.GetMqueue() {
		m.attach(m.mqueue(), "/dev/mqueue", true, inRootPlain)
	}
}

// mqueue is the filesystem of message queues.
func (m *mounting) mqueue() value {
	if mqueueByParent(m.tree.plan) {
		return m.assembler.file(m.tree.mqueue, "mqueue")
	}
	return m.newFilesystem("mqueue", kernelAttributes(false))
}

// consoleBind mounts a terminal on its file. The terminal is the open one, whatever is in the devpts by its name.
func (m *mounting) consoleBind(c *monitorv1.ConsoleBind) {
	clone := m.cloneOf(m.assembler.file(m.tree.slave(int(c.GetConsole())), "terminal"))
	m.attach(clone, "/dev/"+c.GetName(), false, inRootPlain)
}

// slave is the program's side of a console, from 0.
func (t *tree) slave(console int) *os.File {
	if console >= len(t.terminals) {
		return nil
	}
	return t.terminals[console].Slave
}

// mask hides a path, if it exists.
func (m *mounting) mask(path string) {
	target := m.slot()
	file, end := m.label(), m.label()
	m.open(m.root, inside(path), wantFolder, inRootPlain).to(target).on(syscall.ENOENT, end).on(syscall.ENOTDIR, file)
	m.move(m.cloneOf(m.folder), target).then(end)
	m.mark(file)
	m.open(m.root, inside(path), wantAny, inRootPlain).to(target).on(syscall.ENOENT, end).on(syscall.ENOTDIR, end)
	m.move(m.cloneOf(m.file), target)
	m.mark(end)
}

// readOnly makes a path read-only, if it exists. What is excepted is cloned before, and covers its place afterwards.
func (m *mounting) readOnly(r *monitorv1.ReadOnly) {
	target := m.slot()
	end := m.label()
	m.open(m.root, inside(r.GetPath()), wantAny, inRootPlain).to(target).on(syscall.ENOENT, end).on(syscall.ENOTDIR, end)
	clones := make([]value, len(r.GetExcept()))
	for i, path := range r.GetExcept() {
		clones[i] = m.writable(path)
	}
	clone := m.cloneOf(target)
	m.setReadOnly(clone)
	m.move(clone, target)
	for i, path := range r.GetExcept() {
		m.cover(path, clones[i])
	}
	m.mark(end)
}

// writable clones the mount of a path. The slot stays 0 if the path does not exist.
func (m *mounting) writable(path string) value {
	place, clone := m.slot(), m.slot()
	end := m.label()
	m.open(m.root, inside(path), wantAny, inRootPlain).to(place).on(syscall.ENOENT, end).on(syscall.ENOTDIR, end)
	m.call(unix.SYS_OPEN_TREE, place, m.text(""), num(cloneTree)).to(clone)
	m.mark(end)
	return clone
}

// cover puts a clone on a path again, if there is one.
func (m *mounting) cover(path string, clone value) {
	there, end := m.label(), m.label()
	m.call(trapJumpIf, clone).then(there)
	m.call(trapJumpIf, num(1)).then(end)
	m.mark(there)
	place := m.slot()
	m.open(m.root, inside(path), wantAny, inRootPlain).to(place)
	m.move(clone, place)
	m.mark(end)
}

// loopbackUp does what "ip link set lo up" does.
func (m *mounting) loopbackUp() {
	socket := m.slot()
	request := make([]byte, 40)
	copy(request, "lo")
	request[unix.IFNAMSIZ] = unix.IFF_UP | unix.IFF_RUNNING
	m.call(unix.SYS_SOCKET, num(unix.AF_INET), num(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), num(0)).to(socket)
	m.call(unix.SYS_IOCTL, socket, num(unix.SIOCSIFFLAGS), m.bytes("{lo, UP}", request))
	m.call(unix.SYS_CLOSE, socket)
}

// enter makes the new root the root, and drops the host's tree.
func (m *mounting) enter() {
	m.begin(step{operation: "enter root"})
	m.call(unix.SYS_FCHDIR, m.root)
	m.call(unix.SYS_PIVOT_ROOT, m.text("."), m.text("."))
	m.call(unix.SYS_UMOUNT2, m.text("."), num(unix.MNT_DETACH))
	m.call(unix.SYS_CHDIR, m.text("/"))
}

func (m *mounting) rootIsReadOnly() bool {
	for _, op := range m.tree.plan.GetOperations() {
		if op.GetRootBind().GetReadOnly() {
			return true
		}
	}
	return false
}
