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
	case folder && !isFolder(place):
		err = invalid(s, "a folder is to be mounted there, and what is there is none")
	case !folder && isFolder(place):
		err = invalid(s, "a file is to be mounted there, and what is there is a folder")
	}
	if err != nil {
		_ = place.Close()
		return nil, err
	}
	return place, nil
}

// makePlace makes the place that something is to be mounted on, as the root of the container would: folder by folder, and an
// empty file at the end if it is for one. Symbolic links are refused.
func (v *reviser) makePlace(s step, target string, folder bool) error {
	missing := v.missing(target)
	err := asRoot(v.tree.userns, v.mountns, s, func(a *assembler, root value) {
		a.target(root, inside(target), folder, inRootPlain)
	})
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

// removePlace removes the last parts of a target, as far as they are empty. It is done as the root of the container would, too: what is
// there by now may be a file of the host that the container can see, and not remove.
func (v *reviser) removePlace(target string, parts int, folder bool) {
	if !folder && !v.isEmptyFile(target) {
		return
	}
	_ = asRoot(v.tree.userns, v.mountns, step{operation: opRevise}, func(a *assembler, root value) {
		for ; parts > 0; parts, target, folder = parts-1, path.Dir(target), true {
			flags := uint64(0)
			if folder {
				flags = unix.AT_REMOVEDIR
			}
			parent, next := a.slot(), a.label()
			a.open(root, orDot(inside(path.Dir(target))), wantFolder, inRootPlain).to(parent).on(unix.ENOENT, next)
			a.call(unix.SYS_UNLINKAT, parent, a.text(path.Base(target)), num(flags)).ignore(unix.ENOENT)
			a.mark(next)
		}
	})
}

// isEmptyFile tells whether a target is a file that nothing was written to, or is not there at all.
func (v *reviser) isEmptyFile(target string) bool {
	file, err := v.openPlain(target, 0)
	if err != nil {
		return errors.Is(err, unix.ENOENT)
	}
	defer func() { _ = file.Close() }()
	var stat unix.Stat_t
	err = unix.Fstat(int(file.Fd()), &stat)
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG && stat.Size == 0
}
