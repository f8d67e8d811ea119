package devices

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Node is a device node.
type Node struct {
	// Name below the folder that it is made in.
	Name string
	// Block tells a block device from a character device.
	Block bool
	// Major and Minor are the numbers of the device.
	Major, Minor uint32
	// Mode of the node.
	Mode uint32
	// UID and GID own it; the ids are the host's.
	UID, GID int
}

// Make makes the node in a folder that nobody else can reach yet: a detached mount.
func (n Node) Make(dir *os.File) error {
	return within(dir, n.Name, func(parent int, name string) error {
		if err := unix.Mknodat(parent, name, n.kind()|n.Mode, int(unix.Mkdev(n.Major, n.Minor))); err != nil {
			return n.fault("make", err)
		}
		return own(parent, name, n.UID, n.GID, n.Mode)
	})
}

// Link is a symbolic link.
type Link struct {
	// Name below the folder that it is made in.
	Name string
	// Target is what it points to.
	Target string
	// UID and GID own it; the ids are the host's.
	UID, GID int
}

// Make makes the link in a folder that nobody else can reach yet.
func (l Link) Make(dir *os.File) error {
	return within(dir, l.Name, func(parent int, name string) error {
		if err := unix.Symlinkat(l.Target, parent, name); err != nil {
			return fmt.Errorf("make link %q to %q: %w", l.Name, l.Target, err)
		}
		return unix.Fchownat(parent, name, l.UID, l.GID, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// MakeFile makes an empty file for something to be mounted on.
func MakeFile(dir *os.File, name string, uid, gid int, mode uint32) error {
	return within(dir, name, func(parent int, base string) error {
		if err := unix.Mknodat(parent, base, unix.S_IFREG|mode, 0); err != nil {
			return fmt.Errorf("make file %q: %w", name, err)
		}
		return own(parent, base, uid, gid, mode)
	})
}

// MakeFolder makes a folder.
func MakeFolder(dir *os.File, name string, uid, gid int, mode uint32) error {
	if err := unix.Mkdirat(int(dir.Fd()), name, mode); err != nil {
		return fmt.Errorf("make folder %q: %w", name, err)
	}
	return own(int(dir.Fd()), name, uid, gid, mode)
}

// within calls make with the folder that name lies in, and makes the folders on the way.
func within(dir *os.File, name string, make func(parent int, base string) error) error {
	if name == "" || name != path.Clean(name) || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "..") {
		return fmt.Errorf("make %q: not a name below a folder", name)
	}
	parent := int(dir.Fd())
	for {
		first, rest, more := strings.Cut(name, "/")
		if !more {
			err := make(parent, name)
			if parent != int(dir.Fd()) {
				_ = unix.Close(parent)
			}
			return err
		}
		next, err := enter(parent, first)
		if parent != int(dir.Fd()) {
			_ = unix.Close(parent)
		}
		if err != nil {
			return err
		}
		parent, name = next, rest
	}
}

// enter opens a folder, and makes it if it does not exist, owned by whoever owns its parent.
func enter(parent int, name string) (int, error) {
	if err := unix.Mkdirat(parent, name, 0o755); err == nil {
		var stat unix.Stat_t
		if err = unix.Fstat(parent, &stat); err != nil {
			return -1, err
		}
		if err = own(parent, name, int(stat.Uid), int(stat.Gid), 0o755); err != nil {
			return -1, err
		}
	} else if !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("make folder %q: %w", name, err)
	}
	fd, err := unix.Openat(parent, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open folder %q: %w", name, err)
	}
	return fd, nil
}

// own gives a new file its owner and, whatever the umask was, its mode. A change of owner may clear bits of the mode, so
// it comes first.
func own(dir int, name string, uid, gid int, mode uint32) error {
	if err := unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("change owner of %q to %d:%d: %w", name, uid, gid, err)
	}
	if err := unix.Fchmodat(dir, name, mode, 0); err != nil {
		return fmt.Errorf("change mode of %q to %#o: %w", name, mode, err)
	}
	return nil
}
