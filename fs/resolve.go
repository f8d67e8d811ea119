package fs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRegular tells that a file is not a regular one: a device, a fifo, a folder.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge tells that a file is larger than it may be.
var ErrTooLarge = errors.New("too large")

// maxTries is how often a path is walked that others disturb: by a rename anywhere on the host while a ".." is passed.
const maxTries = 1 << 12

// OpenDir opens a folder of the host for lookups only. Its last component must not be a symbolic link: whoever may
// write beside it could otherwise choose another folder.
func OpenDir(path string) (*os.File, error) {
	return open(unix.AT_FDCWD, path, unix.O_DIRECTORY|unix.O_NOFOLLOW, unix.RESOLVE_NO_MAGICLINKS)
}

// OpenSource opens a file or folder of the host for lookups only; symbolic links are followed.
func OpenSource(path string) (*os.File, error) {
	return open(unix.AT_FDCWD, path, 0, unix.RESOLVE_NO_MAGICLINKS)
}

// OpenIn opens what path names in the tree below root, for lookups only. Symbolic links are followed as a process would
// whose root it is; none leads out of it.
func OpenIn(root *os.File, path string) (*os.File, error) {
	return open(int(root.Fd()), path, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// OpenInPlain is [OpenIn] for a path no part of which may be a symbolic link (ELOOP).
func OpenInPlain(root *os.File, path string, flags uint64) (*os.File, error) {
	const resolve = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS
	return open(int(root.Fd()), path, flags, resolve)
}

// OpenBeneath opens what path names in a folder, for lookups only. It neither follows a symbolic link, nor leaves the folder or
// its mount: what a mount covers is an error (EXDEV), and so is a link (ELOOP), unless O_NOFOLLOW asks for the last one itself.
func OpenBeneath(dir *os.File, path string, flags uint64) (*os.File, error) {
	const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV
	return open(int(dir.Fd()), path, flags, resolve)
}

func open(dir int, path string, flags, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: resolve}
	var err error
	for range maxTries {
		var fd int
		if fd, err = unix.Openat2(dir, path, &how); err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
		// A rename or mount elsewhere disturbed the walk.
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

// ReadFile reads a file of the tree below root, of limit bytes at most. It opens nothing but a regular file and waits
// for nobody, whatever has been put there.
func ReadFile(root *os.File, path string, limit int64) ([]byte, error) {
	file, err := OpenRegular(root, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %q: %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	return data, nil
}

// OpenRegular opens a regular file of the tree below root for reading.
func OpenRegular(root *os.File, path string) (*os.File, error) {
	found, err := OpenIn(root, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	var stat unix.Stat_t
	if err = unix.Fstat(int(found.Fd()), &stat); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("read %q: %w", path, ErrNotRegular)
	}
	// The inode is known to be harmless; opening it by its own descriptor leaves no time to put another in its place.
	fd, err := unix.Open(SelfPath(found), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
