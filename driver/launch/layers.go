package launch

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// layers are what an overlay is made of, while it is made.
type layers struct {
	tree  *tree
	plan  *monitorv1.RootOverlay
	lower []*os.File
	// dir is where the upper folder is: a folder of the host or, in memory, a tmpfs that vanishes with the overlay.
	dir   *os.File
	upper *fs.Upper
	// own are those that are mounts made for it, attached nowhere.
	own []*os.File
}

// attachLayers has what is made for an overlay attached always: a test's wish.
var attachLayers bool

// overlay makes an overlay over folders of the host. It is not the overlay that is mapped, which no kernel does, but the
// folders that it is made of. An upper in memory is not: it is of the ids that the layers below show, and goes with them.
func (t *tree) overlay(r *monitorv1.RootOverlay) (*os.File, error) {
	l := &layers{tree: t, plan: r}
	defer l.close()
	if err := l.open(); err != nil {
		return nil, err
	}
	if !attachLayers {
		mount, err := l.make()
		if !errors.Is(err, unix.EINVAL) || len(l.own) == 0 {
			return mount, err
		}
	}
	return l.makeAttached()
}

// makeAttached makes the overlay as kernels before Linux 6.15 want it: all its layers are in the caller's mount namespace. They are
// for that long, on top of each other in the thread's own.
func (l *layers) makeAttached() (mount *os.File, err error) {
	for _, own := range l.own {
		if err = fs.Attach(own, vaultPath); err != nil {
			return nil, err
		}
	}
	mount, err = l.make()
	for _, own := range slices.Backward(l.own) {
		if detached := fs.Detach(own); detached != nil && err == nil {
			_ = mount.Close()
			err = detached
		}
	}
	if err != nil {
		return nil, err
	}
	return mount, nil
}

// open opens the layers, each as the overlay is to see it.
func (l *layers) open() (err error) {
	if l.lower, err = openLower(l.plan.GetLower()); err != nil {
		return err
	}
	if l.inMemory() {
		if l.dir, err = fs.Tmpfs(fs.TmpfsOptions{SizeBytes: l.plan.GetSizeBytes(), Mode: 0o700}); err != nil {
			return err
		}
		l.own = append(l.own, l.dir)
		if err = l.mapLower(); err != nil {
			return err
		}
		return l.openUpper()
	}
	// What is new in a folder of the host gets its owner before it is seen through a map, as it is to be on disk.
	if l.dir, err = fs.OpenDir(l.plan.GetUpper()); err != nil {
		return err
	}
	if err = l.openUpper(); err != nil {
		return err
	}
	if err = l.mapLower(); err != nil || !l.isMapped() {
		return err
	}
	if err = l.mapped(&l.dir); err != nil {
		return err
	}
	_ = l.upper.Close()
	l.upper, err = fs.OpenUpper(l.dir)
	return err
}

func (l *layers) inMemory() bool { return l.plan.GetUpper() == "" }

func (l *layers) isMapped() bool { return l.plan.GetMapped() && l.tree.plan.GetNamespaces().GetUser() }

func openLower(paths []string) ([]*os.File, error) {
	lower := make([]*os.File, 0, len(paths))
	for _, path := range paths {
		dir, err := fs.OpenDir(path)
		if err != nil {
			return lower, err
		}
		lower = append(lower, dir)
	}
	return lower, nil
}

// mapLower maps the layers below, if the overlay is one of mapped layers.
func (l *layers) mapLower() error {
	if !l.isMapped() {
		return nil
	}
	for i := range l.lower {
		if err := l.mapped(&l.lower[i]); err != nil {
			return err
		}
	}
	return nil
}

// mapped replaces a folder by a mount of it, and of nothing below it, with mapped ids.
func (l *layers) mapped(dir **os.File) error {
	mount, err := fs.CloneOne(*dir)
	if err == nil {
		mount, err = l.tree.mapped(mount)
	}
	if err != nil {
		return err
	}
	_ = (*dir).Close()
	*dir = mount
	l.own = append(l.own, mount)
	return nil
}

// openUpper opens the folders where changes go, and makes them if there are none.
func (l *layers) openUpper() (err error) {
	if l.upper, err = fs.OpenUpper(l.dir); err != nil || !l.upper.Created {
		return err
	}
	return l.ownUpper()
}

// ownUpper gives a new upper folder its owner and mode: it is the root folder of the overlay, and hides that of the lower
// one.
func (l *layers) ownUpper() error {
	var stat unix.Stat_t
	if len(l.lower) == 0 {
		return errors.New("an overlay needs a folder below it")
	}
	if err := unix.Fstat(int(l.lower[0].Fd()), &stat); err != nil {
		return err
	}
	uid, gid := int(stat.Uid), int(stat.Gid)
	if l.plan.GetOwnedByRoot() {
		if uid, gid = l.tree.owner.uid, l.tree.owner.gid; l.isMapped() && !l.inMemory() {
			uid, gid = 0, 0
		}
	}
	return fs.TakeOwner(l.upper.Dir, uid, gid, stat.Mode&0o7777)
}

// make makes the overlay. What the kernel makes in the folder beside a mapped upper, it makes as whoever made the overlay: that must
// be somebody whom the map holds.
func (l *layers) make() (mount *os.File, err error) {
	if l.isMapped() && !l.inMemory() {
		defer stayHidden()
		defer func() {
			if failed := actAs(0, 0); failed != nil && err == nil {
				_ = mount.Close()
				mount, err = nil, failed
			}
		}()
		if err = actAs(l.tree.owner.uid, l.tree.owner.gid); err != nil {
			return nil, err
		}
	}
	return fs.Overlay(fs.Layers{Lower: l.lower, Upper: l.upper.Dir, Work: l.upper.Work, Volatile: l.inMemory()})
}

// actAs has the calling thread act on files as others, with all its rights.
func actAs(uid, gid int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	// These do not fail but do nothing, which making the overlay would show.
	_, _, _ = unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
	_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
	return unix.Capset(&header, &data[0])
}

func (l *layers) close() {
	if l.upper != nil {
		_ = l.upper.Close()
	}
	closeAll(append([]*os.File{l.dir}, l.lower...))
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
