package quota

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
)

// A folder that has more than this is refused: somebody waits for it.
const (
	maxEntries = 1 << 22
	maxDepth   = 256
	batch      = 512
)

// walker calls visit for the files and folders below a folder, and for the folder itself first. It goes by descriptors: no symbolic
// link is followed and no mount is entered, whoever renames what meanwhile. Only files and folders are opened: a link, a fifo or a
// node takes no room worth counting.
type walker struct {
	visit func(file *os.File, isFolder bool) error
	left  int
}

func walk(ctx context.Context, dir *os.File, visit func(*os.File, bool) error) error {
	w := &walker{visit: visit, left: maxEntries}
	// Each walk reads from the start, which the descriptor of the caller may have left.
	own, err := reopen(dir, dir.Name(), unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = own.Close() }()
	return w.folder(ctx, own, 0)
}

func (w *walker) folder(ctx context.Context, dir *os.File, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("count content of %q: it is more than %d folders deep", dir.Name(), maxDepth)
	}
	if err := w.visit(dir, true); err != nil {
		return err
	}
	for {
		names, err := dir.Readdirnames(batch)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("read folder %q: %w", dir.Name(), err)
		}
		if w.left -= len(names); w.left < 0 {
			return fmt.Errorf("count content of %q: there is more than %d of it", dir.Name(), maxEntries)
		}
		for _, name := range names {
			if err := w.entry(ctx, dir, name, depth); err != nil {
				return err
			}
		}
	}
}

func (w *walker) entry(ctx context.Context, dir *os.File, name string, depth int) error {
	at, err := fs.OpenBeneath(dir, name, unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ELOOP) {
		return nil // gone meanwhile, or below another mount
	}
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	var stat unix.Stat_t
	if err = unix.Fstat(int(at.Fd()), &stat); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	kind := stat.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && kind != unix.S_IFREG {
		return nil
	}
	file, err := reopen(at, filepath.Join(dir.Name(), name), 0)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if kind == unix.S_IFREG {
		return w.visit(file, false)
	}
	return w.folder(ctx, file, depth+1)
}

// reopen opens for reading what a descriptor is of, a file or a folder, under the name that messages give it.
func reopen(at *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Open(fs.SelfPath(at), flags|unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
