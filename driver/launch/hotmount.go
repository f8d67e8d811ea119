package launch

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// prepare makes what is to be mounted, and enters the container's mount namespace if something is mounted or unmounted.
func (v *reviser) prepare() (err error) {
	v.mounts, v.restored = map[string]*mounted{}, map[string]*mounted{}
	v.nodes = map[string]*monitorv1.DeviceNode{}
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
	if err = v.tree.vault.attach(waiting); err != nil {
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

// place opens the place that something is to be mounted on, and has it made if it does not exist.
func (v *reviser) place(s step, target string, folder bool) (*os.File, error) {
	place, err := v.openPlain(target, 0)
	if errors.Is(err, unix.ENOENT) {
		if err = v.makePlace(s, target, folder); err != nil {
			return nil, err
		}
		place, err = v.openPlain(target, 0)
	}
	if err != nil {
		return nil, inTheWay(s, err)
	}
	_, mounted, err := fs.IdentifyMount(place)
	switch {
	case err != nil:
		err = failed(s, err)
	case mounted:
		err = invalid(s, "something is mounted there already")
	case isFolder(place) != folder:
		err = invalid(s, "of what is to be mounted and what is there one is a folder, the other is not")
	}
	if err != nil {
		_ = place.Close()
		return nil, err
	}
	return place, nil
}

// makePlace makes the place that something is to be mounted on.
func (v *reviser) makePlace(s step, target string, folder bool) error {
	missing := v.missing(target)
	err := makePlace(v.tree.userns, v.mountns, target, folder, s)
	refused := v.did(s, func() error { v.removePlace(target, missing, folder); return nil })
	if err != nil {
		return inTheWay(s, err)
	}
	return refused
}

// missing counts the parts of a target that do not exist.
func (v *reviser) missing(target string) int {
	count := 0
	for ; target != "/"; target = path.Dir(target) {
		place, err := v.openPlain(target, 0)
		if err == nil {
			_ = place.Close()
			break
		}
		count++
	}
	return count
}

// removePlace removes the last parts of a target, as far as they are empty.
func (v *reviser) removePlace(target string, parts int, folder bool) {
	for ; parts > 0; parts, target, folder = parts-1, path.Dir(target), true {
		parent, err := v.openPlain(path.Dir(target), unix.O_DIRECTORY)
		if err != nil {
			return
		}
		err = removeEmpty(int(parent.Fd()), path.Base(target), folder)
		_ = parent.Close()
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return
		}
	}
}

// removeEmpty removes a folder or file that is empty.
func removeEmpty(parent int, name string, folder bool) error {
	if folder {
		return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
	}
	var stat unix.Stat_t
	if err := unix.Fstatat(parent, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Size > 0 {
		return unix.ENOTEMPTY
	}
	return unix.Unlinkat(parent, name, 0)
}

// removeMount takes the mount off a target that was put there, with those that came with it. One that the container has
// unmounted is passed over, wherever else something is mounted there by now.
func (v *reviser) removeMount(target string) error {
	m, s := v.live.mounts[target], step{operation: "unmount", object: target}
	if m == nil {
		return nil
	}
	table, err := v.mountTable()
	if err != nil {
		return failed(s, err)
	}
	v.mounts[target] = nil
	entry, there := table.Find(m.ID)
	if !there {
		return nil
	}
	same, err := v.isThere(entry, m.MountID)
	if err != nil {
		return busy(s, "%v", err)
	}
	if !same {
		return nil
	}
	below := table.Below(m.ID)
	for _, b := range below {
		if !m.below[b.ID] {
			return busy(s, "the container has mounted something on %q", b.Point)
		}
	}
	again := &mounted{below: map[uint64]bool{}}
	for _, b := range append(below, entry) {
		top := b.ID == m.ID
		restored := func(id fs.MountID) {
			if !top {
				again.below[id.ID] = true
				return
			}
			again.MountID = id
			v.restored[target] = again
		}
		if err := v.unmount(s, b, restored); err != nil {
			return err
		}
	}
	return nil
}

var errCovered = errors.New("the container has mounted something over it")

// isThere tells whether a mount of the table is the one that is meant, and not another that got its number.
func (v *reviser) isThere(entry fs.TableEntry, id fs.MountID) (bool, error) {
	file, err := v.openPlain(entry.Point, 0)
	if err != nil {
		return false, errCovered
	}
	defer func() { _ = file.Close() }()
	found, _, err := fs.IdentifyMount(file)
	switch {
	case err != nil:
		return false, err
	case found == id:
		return true, nil
	case found.ID == id.ID:
		return false, nil
	}
	return false, errCovered
}

// unmount takes a mount off its place; it is put there again, as a clone, if that is taken back.
func (v *reviser) unmount(s step, entry fs.TableEntry, restored func(fs.MountID)) error {
	clone, err := v.cloneAlone(entry)
	if err != nil {
		return failed(s, err)
	}
	v.clones = append(v.clones, clone)
	if err = v.detach(entry.Point, 0); err != nil {
		return unmountError(s, entry, err)
	}
	return v.did(s, func() error {
		// Its place is not held meanwhile: the mount that the place is on may have to go as well.
		place, err := v.place(s, entry.Point, isFolder(clone))
		if err != nil {
			return err
		}
		defer func() { _ = place.Close() }()
		if err = unix.MoveMount(int(clone.Fd()), "", int(place.Fd()), "", fromTo); err != nil {
			return fmt.Errorf("mount %q again: %w", entry.Point, err)
		}
		id, _, err := fs.IdentifyMount(clone)
		restored(id)
		return err
	})
}

func unmountError(s step, entry fs.TableEntry, err error) *Error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return busy(s, "the container uses it")
	case errors.Is(err, unix.EINVAL) && entry.Point != s.object:
		return busy(s, "%q came with it, which cannot be taken from a container with a user namespace that runs", entry.Point)
	}
	return failed(s, err)
}

// cloneAlone clones a mount without those below it.
func (v *reviser) cloneAlone(entry fs.TableEntry) (*os.File, error) {
	file, err := v.openPlain(entry.Point, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	fd, err := unix.OpenTree(int(file.Fd()), "", uint(cloneTree&^unix.AT_RECURSIVE))
	if err != nil {
		return nil, fmt.Errorf("clone mount %q: %w", entry.Point, err)
	}
	return os.NewFile(uintptr(fd), entry.Point), nil
}

// detach unmounts what is mounted on a path, by the folder that it lies in: a descriptor of the mount itself would be a use
// of it.
func (v *reviser) detach(point string, flags int) error {
	parent, err := v.openPlain(path.Dir(point), unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	err = unix.Fchdir(int(parent.Fd()))
	_ = parent.Close()
	if err != nil {
		return err
	}
	// The folder would be in use, too, as long as it is the working one.
	defer func() { _ = unix.Chdir("/") }()
	return unix.Unmount(path.Base(point), flags|unix.UMOUNT_NOFOLLOW)
}

// unmountAtAnyRate takes a mount away that the container may have begun to use.
func (v *reviser) unmountAtAnyRate(m *mounted) error {
	table, err := v.mountTable()
	if err != nil {
		return err
	}
	entry, there := table.Find(m.ID)
	if !there {
		return nil
	}
	same, err := v.isThere(entry, m.MountID)
	if err != nil || !same {
		return err
	}
	return v.detach(entry.Point, unix.MNT_DETACH)
}
