package native

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// openFolder opens a folder that is not a symbolic link.
func openFolder(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openFolderAt opens a folder in a folder.
func openFolderAt(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name)), nil
}

// createAt opens a file of a folder, readable to its owner only, and makes it if it is not there.
func createAt(dir *os.File, name string, flags int) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// readAt reads a regular file of a folder, up to a limit.
func readAt(dir *os.File, name string, limit int64) ([]byte, error) {
	path := filepath.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("read %q: has more than %d bytes", path, limit)
	}
	return text, nil
}

// replace writes a file of a folder so that whoever is killed leaves the old one or the new one; durable, so does the
// power.
func replace(dir *os.File, name string, text []byte, durable bool) error {
	temp := name + ".new"
	f, err := createAt(dir, temp, unix.O_WRONLY|unix.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil && durable {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), name)
	}
	if err == nil && durable {
		err = dir.Sync()
	}
	if err != nil {
		_ = unix.Unlinkat(int(dir.Fd()), temp, 0)
		return fmt.Errorf("write %q: %w", filepath.Join(dir.Name(), name), err)
	}
	return nil
}

// Whoever makes something in a folder that is being removed, as a monitor does that has just begun and is about to find out that nobody is
// left who wants it, is given so many turns, each a little later: a second in all.
const (
	removeTurns = 10
	removeFirst = time.Millisecond
)

// removeFolder removes a folder of a folder with the files in it, not going down.
func removeFolder(dir *os.File, name string) error {
	for turn, wait := 1, removeFirst; ; turn, wait = turn+1, 2*wait {
		err := removeFolderOnce(dir, name)
		if turn == removeTurns || !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
		<-time.After(wait)
	}
}

func removeFolderOnce(dir *os.File, name string) error {
	sub, err := openFolderAt(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := sub.Readdirnames(-1)
	for _, n := range names {
		// A monitor that quits removes its socket itself.
		if gone := unix.Unlinkat(int(sub.Fd()), n, 0); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	_ = sub.Close()
	if err != nil {
		return fmt.Errorf("empty %q: %w", filepath.Join(dir.Name(), name), err)
	}
	if err := unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "remove", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	return nil
}
