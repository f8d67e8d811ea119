package launch

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices"
	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A tree is what the parent makes for a container before there is one: mounts that are attached nowhere, and
// terminals. The child attaches them.
type tree struct {
	plan  *monitorv1.Plan
	owner owner
	// root is the container's root.
	root *os.File
	// making is a root that is bound read-only once more, in which what is to be mounted on can be made; nil if there is none.
	making *os.File
	// mounts are those of the operations that have one, by index.
	mounts []*os.File
	// vault holds what masks are made of, and a null device.
	vault *vault
	// devpts, shm and mqueue go below /dev; the child makes mqueue where it may.
	devpts, shm, mqueue *os.File
	// terminals of the consoles.
	terminals []*devices.Terminal
	// held are what the plan holds open, in the order of its names.
	held []*os.File
	// userns is one with the maps of the container, for mounts that are mapped; nil until one is.
	userns *os.File
	// ending is closed when the process that made it is gone; nil if there is none.
	ending <-chan struct{}
	// fail is a test's wish that an operation fail, by index.
	fail func(index int) error
}

// prepareTree makes the tree of a plan, on a thread that has left the host's mount table. The user namespace, which may be nil, is the
// tree's from then on.
func prepareTree(plan *monitorv1.Plan, who owner, userns *os.File, held []*os.File, fail func(int) error) (*tree, error) {
	t := &tree{
		plan: plan, owner: who, mounts: make([]*os.File, len(plan.GetOperations())), held: held, userns: userns, fail: fail,
	}
	if err := t.prepare(); err != nil {
		t.close()
		t.closeTerminals()
		return nil, err
	}
	return t, nil
}

func (t *tree) prepare() error {
	vault, err := makeVault(2*len(t.plan.GetOperations()) + 1)
	if err != nil {
		return failed(step{operation: "make masks"}, err)
	}
	t.vault = vault
	if err := t.prepareOperations(); err != nil {
		return err
	}
	if err := t.openTerminals(); err != nil {
		return err
	}
	if err := t.vault.attach(t.hostMounts(), len(fixedTrees(t.plan))); err != nil {
		return failed(step{operation: "attach masks"}, err)
	}
	return nil
}

func (t *tree) prepareOperations() error {
	steps := stepsOf(t.plan)
	for i, op := range t.plan.GetOperations() {
		if err := t.prepareOperation(i, op); err != nil {
			return failed(steps[i], err)
		}
		if t.fail != nil {
			if err := t.fail(i); err != nil {
				return failed(steps[i], err)
			}
		}
	}
	return nil
}

// hostMounts are the mounts of the host that a container with a user namespace must not change, by operation. The last is the one in
// which mount points are made, which the container never sees.
func (t *tree) hostMounts() []*os.File {
	mounts := make([]*os.File, len(t.mounts)+1)
	for i, op := range t.plan.GetOperations() {
		if waits(t.plan, op) {
			mounts[i], mounts[len(t.mounts)] = t.mounts[i], t.making
		}
	}
	return mounts
}

// waits tells whether the mount of an operation comes to the child by the copy of the mount table.
func waits(plan *monitorv1.Plan, op *monitorv1.Operation) bool {
	switch op.GetStep().(type) {
	case *monitorv1.Operation_RootBind, *monitorv1.Operation_RootImage, *monitorv1.Operation_Bind, *monitorv1.Operation_Image:
		return plan.GetNamespaces().GetUser()
	}
	return false
}

// prepareOperation makes what an operation needs that is not made by the child.
func (t *tree) prepareOperation(i int, op *monitorv1.Operation) (err error) {
	switch o := op.GetStep().(type) {
	case *monitorv1.Operation_RootBind:
		t.mounts[i], err = t.bindRoot(o.RootBind)
	case *monitorv1.Operation_RootOverlay:
		t.mounts[i], err = t.overlay(o.RootOverlay)
	case *monitorv1.Operation_RootImage:
		t.mounts[i], err = t.rootImage(o.RootImage)
	case *monitorv1.Operation_Bind:
		t.mounts[i], err = t.bind(o.Bind)
	case *monitorv1.Operation_Image:
		t.mounts[i], err = t.image(o.Image)
	case *monitorv1.Operation_Overlay:
		below := o.Overlay
		t.mounts[i], err = t.overlay(&monitorv1.RootOverlay{Lower: []string{below.GetLower()}, Upper: below.GetUpper(), Mapped: below.GetMapped()})
	case *monitorv1.Operation_Tmpfs:
		t.mounts[i], err = t.tmpfs(o.Tmpfs)
	case *monitorv1.Operation_KernelFilesystem:
		t.mounts[i], err = t.hostKernelFilesystem(o.KernelFilesystem)
	case *monitorv1.Operation_Dev:
		t.mounts[i], err = t.dev(o.Dev)
	}
	if isRoot(op) {
		t.root = t.mounts[i]
	}
	return err
}

// bindRoot clones a folder of the host. One that is to be read-only is so from the beginning: only what a mount has when the
// mount table is copied cannot be taken from it in there. It is cloned once more, for mount points may have to be made in it.
func (t *tree) bindRoot(r *monitorv1.RootBind) (mount *os.File, err error) {
	dir, err := fs.OpenDir(r.GetSource())
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	if !r.GetReadOnly() {
		return t.cloneOf(dir, fs.Clone, r.GetMapped(), 0)
	}
	if t.making, err = t.cloneOf(dir, fs.CloneOne, r.GetMapped(), 0); err != nil {
		return nil, err
	}
	return t.cloneOf(dir, fs.Clone, r.GetMapped(), unix.MOUNT_ATTR_RDONLY)
}

// cloneOf clones what is mounted at an open file, and gives the clone what it is to have.
func (t *tree) cloneOf(source *os.File, clone func(*os.File) (*os.File, error), mapped bool, attributes uint64) (*os.File, error) {
	mount, err := clone(source)
	if err == nil && mapped {
		mount, err = t.mapped(mount)
	}
	if err != nil || attributes == 0 {
		return mount, err
	}
	if err := fs.SetAttributes(mount, attributes, 0, true); err != nil {
		_ = mount.Close()
		return nil, err
	}
	return mount, nil
}

func (t *tree) bind(b *monitorv1.Bind) (*os.File, error) {
	source, err := fs.OpenSource(b.GetSource())
	if err != nil {
		return nil, err
	}
	defer func() { _ = source.Close() }()
	return t.cloneOf(source, fs.Clone, b.GetMapped(), attributesOf(b.GetFlags(), b.GetReadOnly()))
}

func (t *tree) tmpfs(m *monitorv1.Tmpfs) (*os.File, error) {
	return fs.Tmpfs(fs.TmpfsOptions{
		SizeBytes: m.GetSizeBytes(), Mode: m.GetMode(), UID: t.owner.uid, GID: t.owner.gid,
		Attributes: int(attributesOf(m.GetFlags(), m.GetReadOnly())),
	})
}

// hostKernelFilesystem makes the one that a child in a user namespace may not make itself.
func (t *tree) hostKernelFilesystem(k *monitorv1.KernelFilesystem) (*os.File, error) {
	if !madeByParent(t.plan, k) {
		return nil, nil
	}
	return fs.Make("sysfs", kernelAttributes(k.GetReadOnly()))
}

// madeByParent tells whether a filesystem of the kernel belongs to a namespace that is not the child's own: the sysfs of
// the host's network, or of one that is shared.
func madeByParent(plan *monitorv1.Plan, k *monitorv1.KernelFilesystem) bool {
	ns := plan.GetNamespaces()
	return k.GetType() == monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_SYSFS && ns.GetUser() && !ns.GetNet()
}

func attributesOf(flags []monitorv1.MountFlag, readOnly bool) uint64 {
	var attributes uint64
	for _, f := range flags {
		switch f {
		case monitorv1.MountFlag_MOUNT_FLAG_NOSUID:
			attributes |= unix.MOUNT_ATTR_NOSUID
		case monitorv1.MountFlag_MOUNT_FLAG_NODEV:
			attributes |= unix.MOUNT_ATTR_NODEV
		case monitorv1.MountFlag_MOUNT_FLAG_NOEXEC:
			attributes |= unix.MOUNT_ATTR_NOEXEC
		case monitorv1.MountFlag_MOUNT_FLAG_UNSPECIFIED:
		}
	}
	if readOnly {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	return attributes
}

// kernelAttributes are those of filesystems that hold no programs and no devices.
func kernelAttributes(readOnly bool) int {
	attributes := unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	if readOnly {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	return attributes
}

// dev makes the tmpfs of /dev, and what goes below it.
func (t *tree) dev(d *monitorv1.Dev) (*os.File, error) {
	var err error
	if t.devpts, err = devices.MakeTerminals(t.owner.tty, d.GetMaxPtys()); err != nil {
		return nil, err
	}
	t.shm, err = fs.Tmpfs(fs.TmpfsOptions{
		SizeBytes: d.GetShmSizeBytes(), Mode: 0o1777, UID: t.owner.uid, GID: t.owner.gid, Attributes: kernelAttributes(false),
	})
	if err != nil {
		return nil, err
	}
	if d.GetMqueue() && mqueueByParent(t.plan) {
		if t.mqueue, err = fs.Make("mqueue", kernelAttributes(false)); err != nil {
			return nil, err
		}
	}
	return t.devContent(d).Make()
}

// mqueueByParent tells whether the message queues belong to an IPC namespace that is not the child's own, who has no rights
// over it.
func mqueueByParent(plan *monitorv1.Plan) bool {
	return plan.GetNamespaces().GetUser() && !plan.GetNamespaces().GetIpc()
}

func (t *tree) devContent(d *monitorv1.Dev) devices.Dev {
	content := devices.Dev{Folders: []string{"pts", "shm"}, UID: t.owner.uid, GID: t.owner.gid}
	if d.GetMqueue() {
		content.Folders = append(content.Folders, "mqueue")
	}
	for _, n := range d.GetNodes() {
		content.Nodes = append(content.Nodes, devices.Node{
			Name: n.GetName(), Block: n.GetBlock(), Major: n.GetMajor(), Minor: n.GetMinor(), Mode: n.GetMode(),
			UID: t.owner.uid, GID: t.owner.gid,
		})
	}
	for _, l := range d.GetLinks() {
		content.Links = append(content.Links, devices.Link{Name: l.GetName(), Target: l.GetTarget(), UID: t.owner.uid, GID: t.owner.gid})
	}
	for _, op := range t.plan.GetOperations() {
		if c := op.GetConsoleBind(); c != nil {
			content.Files = append(content.Files, c.GetName())
		}
	}
	return content
}

// openTerminals opens a terminal for each console.
func (t *tree) openTerminals() error {
	for i, c := range t.plan.GetConsoles() {
		terminal, err := devices.OpenTerminal(t.devpts, t.owner.uid)
		if err != nil {
			return failed(step{operation: "open console", object: c.GetAlias()}, err)
		}
		t.terminals = slices.Grow(t.terminals, len(t.plan.GetConsoles())-i)
		t.terminals = append(t.terminals, terminal)
	}
	return nil
}

// close lets go of all mounts but those of the terminals.
func (t *tree) close() {
	for _, f := range append([]*os.File{t.root, t.making, t.shm, t.mqueue, t.userns}, t.mounts...) {
		if f != nil {
			_ = f.Close()
		}
	}
	if t.vault != nil {
		t.vault.close()
	}
	if t.ending != nil {
		<-t.ending
	}
}

// closeTerminals lets go of the terminals.
func (t *tree) closeTerminals() {
	for _, terminal := range t.terminals {
		_ = terminal.Close()
	}
	if t.devpts != nil {
		_ = t.devpts.Close()
	}
}

// inside cuts the leading slash off a path of the container.
//
//go:noinline
func inside(path string) string { return strings.TrimPrefix(path, "/") }
