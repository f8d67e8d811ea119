package fs

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Option is a parameter of a filesystem, as mount(8) writes it after -o. Without a value it is a flag.
type Option struct {
	Name, Value string
}

// Make makes a filesystem of the given type and gives its detached mount. The attributes are MOUNT_ATTR_ bits.
func Make(kind string, attributes int, options ...Option) (*os.File, error) {
	context, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open filesystem %s: %w", kind, err)
	}
	defer func() { _ = unix.Close(context) }()
	for _, o := range options {
		if err = configure(context, o); err != nil {
			return nil, fmt.Errorf("configure %s with %s=%q: %w", kind, o.Name, o.Value, describe(context, err))
		}
	}
	if err = unix.FsconfigCreate(context); err != nil {
		return nil, fmt.Errorf("create %s: %w", kind, describe(context, err))
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, describe(context, err))
	}
	return os.NewFile(uintptr(fd), kind), nil
}

func configure(context int, o Option) error {
	if o.Value == "" {
		return unix.FsconfigSetFlag(context, o.Name)
	}
	return unix.FsconfigSetString(context, o.Name, o.Value)
}

// describe adds what the kernel wrote into the filesystem context about an error: the one place where it says which
// option it did not like.
func describe(context int, err error) error {
	buffer := make([]byte, 512)
	n, failed := unix.Read(context, buffer)
	if failed != nil || n <= 2 {
		return err
	}
	text := buffer[2:n]
	if text[len(text)-1] == '\n' {
		text = text[:len(text)-1]
	}
	return fmt.Errorf("%w (%s)", err, text)
}

// TmpfsOptions describe a tmpfs.
type TmpfsOptions struct {
	// SizeBytes bounds its contents, 0 for the kernel's default.
	SizeBytes uint64
	// Inodes bounds the number of its files, 0 for the kernel's default.
	Inodes uint64
	// Mode, UID and GID are those of its root folder. The ids are the host's.
	Mode     uint32
	UID, GID int
	// Attributes are MOUNT_ATTR_ bits.
	Attributes int
}

// Tmpfs makes a tmpfs. It belongs to the user namespace of the caller: a container cannot change its size.
func Tmpfs(o TmpfsOptions) (*os.File, error) {
	options := []Option{
		{"mode", strconv.FormatUint(uint64(o.Mode), 8)},
		{"uid", strconv.Itoa(o.UID)},
		{"gid", strconv.Itoa(o.GID)},
	}
	if o.SizeBytes > 0 {
		options = append(options, Option{"size", strconv.FormatUint(o.SizeBytes, 10)})
	}
	if o.Inodes > 0 {
		options = append(options, Option{"nr_inodes", strconv.FormatUint(o.Inodes, 10)})
	}
	return Make("tmpfs", o.Attributes, options...)
}

// Clone copies the mount of an open file or folder, with all that is mounted below it, and takes the copy out of
// every propagation: nothing that is mounted on the original later shows in it, nor the other way round.
func Clone(source *os.File) (*os.File, error) { return clone(source, unix.AT_RECURSIVE) }

// CloneOne is [Clone] without what is mounted below it: it shows what that covers.
func CloneOne(source *os.File) (*os.File, error) { return clone(source, 0) }

func clone(source *os.File, flags uint) (*os.File, error) {
	fd, err := unix.OpenTree(int(source.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|flags)
	if err != nil {
		return nil, fmt.Errorf("clone mount %q: %w", source.Name(), err)
	}
	clone := os.NewFile(uintptr(fd), source.Name())
	if err := setattr(clone, true, unix.MountAttr{Propagation: unix.MS_PRIVATE}); err != nil {
		_ = clone.Close()
		return nil, fmt.Errorf("make mount %q private: %w", source.Name(), err)
	}
	return clone, nil
}

// SetAttributes adds and removes MOUNT_ATTR_ bits of a mount and, if recursive, of all mounts below it.
func SetAttributes(mount *os.File, set, clear uint64, recursive bool) error {
	if err := setattr(mount, recursive, unix.MountAttr{Attr_set: set, Attr_clr: clear}); err != nil {
		return fmt.Errorf("set attributes %#x of mount %q: %w", set, mount.Name(), err)
	}
	return nil
}

// MapIDs makes a detached mount that has been cloned an idmapped one, by the maps of a user namespace. Not every
// filesystem can be; an overlay cannot.
func MapIDs(mount *os.File, userns *os.File) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}
	if err := setattr(mount, true, attr); err != nil {
		return fmt.Errorf("map the ids of mount %q: %w", mount.Name(), err)
	}
	return nil
}

func setattr(mount *os.File, recursive bool, attr unix.MountAttr) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(int(mount.Fd()), "", flags, &attr)
}

// Attach puts a detached mount on top of a folder, in the mount namespace of the calling thread.
func Attach(mount *os.File, target string) error {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH
	if err := unix.MoveMount(int(mount.Fd()), "", unix.AT_FDCWD, target, flags); err != nil {
		return fmt.Errorf("attach %q to %q: %w", mount.Name(), target, err)
	}
	return nil
}

// AttachAt is [Attach] for a place in a folder that is open.
func AttachAt(mount, dir *os.File, name string) error {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH
	if err := unix.MoveMount(int(mount.Fd()), "", int(dir.Fd()), name, flags); err != nil {
		return fmt.Errorf("attach %q to %q: %w", mount.Name(), name, err)
	}
	return nil
}

// Detach takes an attached mount out of the mount namespace of the calling thread. Whoever holds it, holds it still.
func Detach(mount *os.File) error {
	if err := unix.Unmount(SelfPath(mount), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach %q: %w", mount.Name(), err)
	}
	return nil
}

// SelfPath is a path that leads to an open file whatever its name is or was, for calls that only take names.
func SelfPath(f *os.File) string {
	return "/proc/thread-self/fd/" + strconv.Itoa(int(f.Fd()))
}
