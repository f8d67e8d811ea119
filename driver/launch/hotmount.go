package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// prepare makes what is to be mounted, and enters the container's mount namespace if something is mounted or unmounted.
func (v *reviser) prepare() (err error) {
	v.mounts, v.nodes = map[string]*mounted{}, map[string]*monitorv1.DeviceNode{}
	if len(v.request.GetAddMounts())+len(v.request.GetRemoveMounts()) == 0 {
		return nil
	}
	s := step{operation: "open namespaces of the container"}
	if v.mountns, err = v.namespace("mnt", v.live.mountns); err != nil {
		return failed(s, err)
	}
	if v.tree.plan.GetNamespaces().GetUser() {
		if v.tree.userns, err = v.namespace("user", v.live.userns); err != nil {
			return failed(s, err)
		}
	}
	if v.table, err = os.OpenFile("/proc/thread-self", unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return failed(s, err)
	}
	if err = v.tree.prepareOperations(); err != nil {
		return unnumbered(err)
	}
	if err = v.lock(); err != nil {
		return failed(step{operation: "lock mounts"}, err)
	}
	return v.enter()
}

// unnumbered is an error that names no operation of the plan: what is added has no number in it.
func unnumbered(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.Step = 0
	}
	return err
}

// namespace opens a namespace of init, if it is still the one that the launch made.
func (v *reviser) namespace(name string, number uint64) (*os.File, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", v.pid, name))
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err = unix.Fstat(int(file.Fd()), &stat); err == nil {
		// The number of the process was its own if it is alive now.
		err = unix.PidfdSendSignal(int(v.pidfd.Fd()), 0, nil, 0)
	}
	if err == nil && stat.Ino != number {
		err = &Error{
			Operation: opRevise, Message: "init has left the " + name + " namespace that was made for it",
			Kind: monitorv1.ErrorKind_ERROR_KIND_STATE,
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// lock makes the mounts of the host such that the container's root cannot take from them what they were given: the detour is that
// of a launch (see [vault]), by a helper in place of the child.
func (v *reviser) lock() error {
	waiting := v.tree.hostMounts()
	count := 0
	for _, mount := range waiting {
		if mount != nil {
			count++
		}
	}
	if count == 0 {
		return nil
	}
	var err error
	if v.tree.vault, err = makeVault(len(waiting)); err != nil {
		return err
	}
	if err = v.tree.vault.attach(waiting, 0); err != nil {
		return err
	}
	table, err := copyMountTable(v.tree.userns)
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	if err = unix.Setns(int(table.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter copy of mount table: %w", err)
	}
	for i, mount := range waiting {
		if mount == nil {
			continue
		}
		place := vaultPath + "/" + strconv.Itoa(i)
		fd, err := unix.OpenTree(unix.AT_FDCWD, place, cloneTree&^emptyPath)
		if err != nil {
			return fmt.Errorf("clone locked mount: %w", err)
		}
		_ = mount.Close()
		v.tree.mounts[i] = os.NewFile(uintptr(fd), mount.Name())
	}
	return nil
}

// enter takes the thread into the container's mount namespace.
func (v *reviser) enter() error {
	s := step{operation: "enter mount namespace of the container"}
	if err := unix.Setns(int(v.mountns.Fd()), unix.CLONE_NEWNS); err != nil {
		return failed(s, err)
	}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed(s, err)
	}
	v.root = os.NewFile(uintptr(fd), "/")
	return nil
}

// mountTable is that of the container.
func (v *reviser) mountTable() (fs.MountTable, error) {
	return readTable(int(v.table.Fd()), "mountinfo")
}

// addMount puts a mount on its target.
func (v *reviser) addMount(i int, op *monitorv1.Operation) error {
	s, target := name(op), removable(op)
	if op.GetInnerBind() != nil {
		var err error
		if v.tree.mounts[i], err = v.innerBind(op.GetInnerBind()); err != nil {
			return failed(s, err)
		}
	}
	mount := v.tree.mounts[i]
	place, err := v.place(s, target, isFolder(mount))
	if err != nil {
		return err
	}
	defer func() { _ = place.Close() }()
	id, _, err := fs.IdentifyMount(mount) // a mount keeps it when it is moved
	if err != nil {
		return failed(s, err)
	}
	if err = unix.MoveMount(int(mount.Fd()), "", int(place.Fd()), "", fromTo); err != nil {
		return failed(s, err)
	}
	table, err := v.mountTable()
	m := newMounted(id, table)
	v.mounts[target] = m
	refused := v.did(s, func() error { return v.unmountAtAnyRate(m) })
	if err != nil {
		return failed(s, err)
	}
	return refused
}

// innerBind clones a mount of the container.
func (v *reviser) innerBind(b *monitorv1.InnerBind) (*os.File, error) {
	source, err := fs.OpenIn(v.root, inside(b.GetSource()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = source.Close() }()
	mount, err := fs.Clone(source)
	if err != nil || !b.GetReadOnly() {
		return mount, err
	}
	if err := fs.SetAttributes(mount, unix.MOUNT_ATTR_RDONLY, 0, true); err != nil {
		_ = mount.Close()
		return nil, err
	}
	return mount, nil
}

// openPlain opens a path of the container, no part of which may be a symbolic link.
func (v *reviser) openPlain(name string, flags uint64) (*os.File, error) {
	return fs.OpenInPlain(v.root, orDot(inside(name)), flags)
}
