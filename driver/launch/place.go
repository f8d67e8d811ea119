package launch

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
)

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
