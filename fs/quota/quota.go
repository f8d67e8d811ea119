// Package quota bounds how much a folder of the host may hold.
//
// What is bounded is blocks, by the filesystem that the folder lies on: whoever writes beyond gets EDQUOT (on some kernels ENOSPC).
//
//   - ext4 and xfs have projects: a number that each file carries, and that new files take from their folder. [Limit] gives the
//     folder and all that is in it a number of its own from a range that is davit's (FirstProject, LastProject), and the number a
//     limit. A file of another project is never given a new one: such a folder is refused.
//   - btrfs has groups of quotas: one for each subvolume. The folder must be one. A subvolume that somebody makes in it is another
//     group, which is not bounded.
//
// Elsewhere there is no such bound, and [Check] says what is missing ([ErrUnsupported]).
//
// The limit stays when nobody uses the folder any more; the next call of [Limit] gives it another. The number of a folder is found
// again by reading it. As a folder takes its number from the one that it was made in, one that has been given its number here says
// so itself, in an extended attribute that only the host's root reads and writes.
//
// Projects bind processes of a user namespace. One outside, with CAP_SYS_RESOURCE, is not bound by ext4, and may give files another
// project on both: whoever needs the promise keeps such processes away.
package quota

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
)

// The projects that are davit's.
const (
	FirstProject uint32 = 0x64000000
	LastProject  uint32 = 0x64ffffff
)

// ErrUnsupported tells that a folder can have no limit where it is.
var ErrUnsupported = errors.New("no limit of space")

// ErrForeign tells that a folder, or what is in it, has been given to a project by somebody else.
var ErrForeign = errors.New("another project")

// fault is why something is refused: the words for whoever reads it, and the error for whoever looks for it.
type fault struct {
	kind error
	text string
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.kind }

func unsupported(format string, args ...any) error {
	return &fault{ErrUnsupported, fmt.Sprintf(format, args...)}
}

func foreign(format string, args ...any) error {
	return &fault{ErrForeign, fmt.Sprintf(format, args...)}
}

// Usage is what a folder holds and may hold, in bytes; Limit is 0 where there is none.
type Usage struct{ Used, Limit uint64 }

// limiter is what a filesystem has for a folder, which is open for reading.
type limiter interface {
	check() error
	limit(ctx context.Context, bytes uint64) error
	usage() (Usage, error)
}

// Check tells whether a folder can have a limit, and changes nothing. What is in the folder is not looked at.
func Check(dir *os.File) error {
	return with(dir, func(l limiter) error { return l.check() })
}

// Limit bounds what a folder holds to so many bytes, rounded down to the unit of the filesystem, 1 KiB where it has one, and at
// least one unit. What is in it counts. If it is more already, it stays, and nothing can be added.
//
// Nothing is changed if any of the content cannot be counted, because it is another project's or there is too much of it. One that
// was cut off is completed by the next.
func Limit(ctx context.Context, dir *os.File, bytes uint64) error {
	return with(dir, func(l limiter) error {
		if err := l.check(); err != nil {
			return err
		}
		return l.limit(ctx, bytes)
	})
}

// Read tells the limit of a folder that [Limit] gave one.
func Read(dir *os.File) (usage Usage, err error) {
	err = with(dir, func(l limiter) error {
		usage, err = l.usage()
		return err
	})
	return usage, err
}

// with finds what limits a folder. The folder may have been opened for lookups only.
func with(dir *os.File, use func(limiter) error) error {
	var about unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &about); err != nil {
		return fmt.Errorf("look at filesystem of %q: %w", dir.Name(), err)
	}
	name := typeName(uint32(about.Type))
	switch uint32(about.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
	default:
		return unsupported("%s, which %q is on, bounds no folder: ext4 and xfs do when they are mounted with prjquota, and btrfs with quotas enabled",
			name, dir.Name())
	}
	// Nothing but a folder: opening a device could do something.
	fd, err := unix.Open(fs.SelfPath(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) {
		return unsupported("%q is no folder", dir.Name())
	}
	if err != nil {
		return fmt.Errorf("open folder %q: %w", dir.Name(), err)
	}
	open := os.NewFile(uintptr(fd), dir.Name())
	defer func() { _ = open.Close() }()
	if about.Type == unix.BTRFS_SUPER_MAGIC {
		return use(&group{dir: open})
	}
	return use(&project{dir: open, filesystem: name})
}

// typeName is a filesystem in the kernel's word, as far as statfs(2) tells.
func typeName(magic uint32) string {
	names := map[uint32]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.F2FS_SUPER_MAGIC: "f2fs", unix.NFS_SUPER_MAGIC: "nfs", unix.FUSE_SUPER_MAGIC: "fuse",
		unix.PROC_SUPER_MAGIC: "proc", unix.SYSFS_MAGIC: "sysfs", unix.RAMFS_MAGIC: "ramfs", unix.SQUASHFS_MAGIC: "squashfs",
		unix.EROFS_SUPER_MAGIC_V1: "erofs", unix.CGROUP2_SUPER_MAGIC: "cgroup2", 0x2fc12fc1: "zfs", 0xca451a4e: "bcachefs",
	}
	if name, ok := names[magic]; ok {
		return name
	}
	return fmt.Sprintf("the filesystem of type %#x", magic)
}
