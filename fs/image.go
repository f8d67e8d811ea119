package fs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ImageOptions describe the filesystem of a block device.
type ImageOptions struct {
	// Device is open, for whatever.
	Device *os.File
	// Type of the filesystem, one of [ImageTypes].
	Type string
	// ReadOnly makes the superblock read-only: nobody can write, by whatever mount.
	ReadOnly bool
	// Attributes are MOUNT_ATTR_ bits.
	Attributes int
}

// ImageTypes are the types of filesystems that [Image] mounts, as [Probe] tells them. It is a closed set: the content of an
// image is somebody else's, and each type is code of the kernel that has to withstand it.
func ImageTypes() []string {
	return []string{"ext2", "ext3", "ext4", "xfs", btrfs, "erofs", "squashfs"}
}

// Image mounts the filesystem of a block device and gives its detached mount. The image does not decide what happens when it is
// found to be broken: an ext4 of somebody else's would otherwise choose that the host panics. Nor does it bring in other devices:
// a btrfs that is on several is refused ([ErrSpread]).
//
// A filesystem that was not unmounted cleanly replays its journal first. It cannot when the device itself is read-only;
// then it is mounted as it lies, if ReadOnly asks for no more.
func Image(o ImageOptions) (*os.File, error) {
	if !slices.Contains(ImageTypes(), o.Type) {
		return nil, fmt.Errorf("mount image %q: type %q is none of %s", o.Device.Name(), o.Type, strings.Join(ImageTypes(), ", "))
	}
	if o.Type == btrfs {
		return btrfsImage(o)
	}
	return o.mount()
}

// mount makes the filesystem, without its journal where it cannot be replayed.
func (o ImageOptions) mount() (*os.File, error) {
	attributes := o.Attributes
	if o.ReadOnly {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	mount, err := Make(o.Type, attributes, o.options()...)
	if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EACCES) {
		return mount, err
	}
	if !o.ReadOnly {
		return nil, fmt.Errorf("%w: the device is read-only", err)
	}
	option := unreplayed(o.Type)
	if option.Name == "" {
		return nil, err
	}
	mount, again := Make(o.Type, attributes, append(o.options(), option)...)
	if again != nil {
		return nil, fmt.Errorf("%w; without replaying its journal, for which the device would have to be writable: %w", err, again)
	}
	return mount, nil
}

// options are those of the filesystem.
func (o ImageOptions) options() []Option {
	options := []Option{{"source", deviceName(o.Device)}}
	if o.ReadOnly {
		options = append(options, Option{Name: "ro"})
	}
	switch o.Type {
	case "ext2", "ext3", "ext4":
		options = append(options, Option{"errors", "remount-ro"})
	case "xfs":
		// A copy of an image is an image.
		options = append(options, Option{Name: "nouuid"})
	}
	return options
}

// deviceName is a path that leads to a device: its own if it still does, for that is what the mount table shows.
func deviceName(device *os.File) string {
	var open, named unix.Stat_t
	name, err := os.Readlink(SelfPath(device))
	if err == nil && unix.Fstat(int(device.Fd()), &open) == nil && unix.Lstat(name, &named) == nil &&
		named.Mode&unix.S_IFMT == unix.S_IFBLK && named.Rdev == open.Rdev {
		return name
	}
	return SelfPath(device)
}

// unreplayed is the option that leaves the journal of a filesystem alone.
func unreplayed(kind string) Option {
	switch kind {
	case "ext3", "ext4":
		return Option{Name: "noload"}
	case "xfs":
		return Option{Name: "norecovery"}
	case btrfs:
		return Option{"rescue", "nologreplay"}
	}
	return Option{}
}
