package launch

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
)

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
	for _, b := range append(below, entry) {
		top := b.ID == m.ID
		restored := func(id fs.MountID) {
			if top {
				m.MountID = id
				return
			}
			m.below[id.ID] = true // beside its old number, which another of them may have by then
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
	case entry.Point == s.object && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)):
		return busy(s, "the container has just moved it")
	case errors.Is(err, unix.EINVAL):
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
