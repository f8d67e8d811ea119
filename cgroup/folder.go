package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// beneath is how everything in a tree is opened: nothing above, no links, no other mount.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// fileLimit bounds what is read of one control file. The longest, a cgroup.procs of 4 million processes, is not longer.
const fileLimit = 32 << 20

// folder is an open folder of a tree. Its methods take names relative to it.
type folder struct {
	// fd is bare: a start opens a hundred of these, and an os.File costs two more system calls each.
	fd int
	// path is for messages.
	path string
}

// openRoot opens a tree's root by its path and checks that it is a cgroup file system; magic 0 is for fixtures.
func openRoot(name string, magic int64) (*folder, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open cgroup root %s: %w", name, err)
	}
	f := &folder{fd: fd, path: name}
	if magic == 0 {
		return f, nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("stat file system of %s: %w", name, err)
	}
	if st.Type != magic {
		_ = f.Close()
		return nil, fmt.Errorf("open cgroup root %s: file system has type %#x, not %#x", name, st.Type, magic)
	}
	return f, nil
}

// Close closes the descriptor.
func (f *folder) Close() error { return unix.Close(f.fd) }

// join is the path of something in f, for messages.
func (f *folder) join(name string) string { return path.Join(f.path, name) }

// open opens name beneath f. The empty name is f itself.
func (f *folder) open(name string, flags int) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: beneath}
	if name == "" {
		name = "."
	}
	for range attempts {
		fd, err := unix.Openat2(f.fd, name, &how)
		// EAGAIN is a rename meanwhile, somewhere on the host.
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// sub opens a folder beneath f.
func (f *folder) sub(name string) (*folder, error) {
	fd, err := f.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open cgroup %s: %w", f.join(name), err)
	}
	return &folder{fd: fd, path: f.join(name)}, nil
}

// parent opens the folder that a group's lies in. A group is never a tree's root, so that is in the tree too.
func (f *folder) parent() (*folder, error) {
	fd, err := unix.Openat(f.fd, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open cgroup %s: %w", path.Dir(f.path), err)
	}
	return &folder{fd: fd, path: path.Dir(f.path)}, nil
}

// openFile opens a control file.
func (f *folder) openFile(name string, flags int) (*os.File, error) {
	fd, err := f.open(name, flags)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", f.join(name), err)
	}
	return os.NewFile(uintptr(fd), f.join(name)), nil
}

// has tells whether f has a control file.
func (f *folder) has(name string) bool {
	return unix.Faccessat(f.fd, name, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// read reads a control file.
func (f *folder) read(name string) (string, error) {
	fd, err := f.open(name, unix.O_RDONLY)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", f.join(name), err)
	}
	defer func() { _ = unix.Close(fd) }()
	text := make([]byte, 0, 1024)
	for len(text) < fileLimit {
		text = slices.Grow(text, 512)
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return "", fmt.Errorf("read %s: %w", f.join(name), err)
		case n == 0:
			return string(text), nil
		default:
			text = text[:len(text)+n]
		}
	}
	return "", fmt.Errorf("read %s: longer than %d bytes", f.join(name), fileLimit)
}

// write writes a value to a control file, in one write as the kernel wants it. Some files (memory.limit_in_bytes) do nothing
// but say EINTR while a signal is pending, be it one that is handled with SA_RESTART, as those by which the Go runtime stops its
// threads are.
func (f *folder) write(name, value string) error { return f.writeEach(name, []string{value}) }

// writeEach writes values to a control file that takes one at a time, until one is refused.
func (f *folder) writeEach(name string, values []string) error {
	if len(values) == 0 {
		return nil
	}
	fd, err := f.open(name, unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("write %q to %s: %w", values[0], f.join(name), err)
	}
	defer func() { _ = unix.Close(fd) }()
	for _, value := range values {
		for {
			if _, err = unix.Write(fd, []byte(value)); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("write %q to %s: %w", value, f.join(name), err)
		}
	}
	return nil
}

// mkdir makes a folder in f, of that mode whatever our umask is; made is false if it is there already.
func (f *folder) mkdir(name string, mode uint32) (made bool, err error) {
	switch err := unix.Mkdirat(f.fd, name, mode); {
	case err == nil:
		if err = unix.Fchmodat(f.fd, name, mode, 0); err != nil && !gone(err) {
			_ = f.rmdir(name)
			return false, fmt.Errorf("set mode of cgroup %s: %w", f.join(name), err)
		}
		return true, nil
	case errors.Is(err, unix.EEXIST):
		return false, nil
	default:
		return false, fmt.Errorf("make cgroup %s: %w", f.join(name), err)
	}
}

// rmdir removes a folder in f; one that is not there is no error.
func (f *folder) rmdir(name string) error {
	err := unix.Unlinkat(f.fd, name, unix.AT_REMOVEDIR)
	if err != nil && !gone(err) {
		return fmt.Errorf("remove cgroup %s: %w", f.join(name), err)
	}
	return nil
}

// folders lists the names of the folders in f.
func (f *folder) folders() ([]string, error) {
	fd, err := f.open("", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("list cgroup %s: %w", f.path, err)
	}
	dir := os.NewFile(uintptr(fd), f.path)
	defer func() { _ = dir.Close() }()
	entries, err := dir.ReadDir(-1)
	if err != nil && !gone(err) {
		return nil, fmt.Errorf("list cgroup %s: %w", f.path, cause(err))
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// gone tells whether err means that a cgroup was removed, before or while it was used.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// cause takes the path out of an error that names it in its own way.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// fields splits a control file that is a list of words.
func fields(text string) []string { return strings.Fields(text) }
