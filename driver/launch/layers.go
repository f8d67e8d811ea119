package launch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// overlayRoot makes the overlay of a root.
func (t *tree) overlayRoot(r *monitorv1.RootOverlay) (*os.File, error) { return t.overlay(r) }

// overlay makes an overlay over folders of the host.
func (t *tree) overlay(r *monitorv1.RootOverlay) (mount *os.File, err error) {
	lower, err := openLower(r.GetLower())
	defer func() { closeAll(lower) }()
	if err != nil {
		return nil, err
	}
	if r.GetUpper() == "" {
		return t.overlayInMemory(r, lower)
	}
	dir, err := fs.OpenDir(r.GetUpper())
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	return t.overlayAbove(r, lower, dir, false)
}

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

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// overlayInMemory makes an overlay whose changes go to a tmpfs that vanishes with it. Before Linux 6.15 a layer must be
// attached in the caller's mount namespace when the overlay is made, so it is for that long, in the thread's own.
func (t *tree) overlayInMemory(r *monitorv1.RootOverlay, lower []*os.File) (mount *os.File, err error) {
	memory, err := fs.Tmpfs(fs.TmpfsOptions{SizeBytes: r.GetSizeBytes(), Mode: 0o700})
	if err != nil {
		return nil, err
	}
	defer func() { _ = memory.Close() }()
	if err = fs.Attach(memory, "/"); err != nil {
		return nil, err
	}
	mount, err = t.overlayAbove(r, lower, memory, true)
	if detached := fs.Detach(memory); detached != nil && err == nil {
		_ = mount.Close()
		return nil, detached
	}
	return mount, err
}

// overlayAbove makes an overlay whose changes go to folders in dir.
func (t *tree) overlayAbove(r *monitorv1.RootOverlay, lower []*os.File, dir *os.File, volatile bool) (*os.File, error) {
	upper, err := fs.OpenUpper(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = upper.Close() }()
	if upper.Created {
		if err := t.ownUpper(r, lower, upper.Dir); err != nil {
			return nil, err
		}
	}
	return fs.Overlay(fs.Layers{Lower: lower, Upper: upper.Dir, Work: upper.Work, Volatile: volatile})
}

// ownUpper gives a new upper folder its owner and mode: it is the root folder of the overlay, and hides that of the lower
// one.
func (t *tree) ownUpper(r *monitorv1.RootOverlay, lower []*os.File, upper *os.File) error {
	var stat unix.Stat_t
	if len(lower) == 0 {
		return errors.New("an overlay needs a folder below it")
	}
	if err := unix.Fstat(int(lower[0].Fd()), &stat); err != nil {
		return err
	}
	uid, gid := int(stat.Uid), int(stat.Gid)
	if r.GetOwnedByRoot() {
		uid, gid = t.owner.uid, t.owner.gid
	}
	return fs.TakeOwner(upper, uid, gid, stat.Mode&0o7777)
}
