package fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const btrfs = "btrfs"

// ErrSpread tells that a filesystem is on other devices beside the one that it was to be mounted from.
var ErrSpread = errors.New("it is spread over several devices, and an image is mounted only if it is on its own one alone")

// btrfsImage mounts a btrfs, if no other device belongs to it. Which ones do the image says, by identifiers that whoever made it
// has chosen, and the kernel opens every device that it was ever shown and that has them: one that calls itself a part of the host's
// disk, or of another domain's, would be given that. So one that is not mounted yet is mounted before in a way that writes nothing,
// and looked at; the one that remains is looked at as well.
func btrfsImage(o ImageOptions) (*os.File, error) {
	look := o
	look.ReadOnly = true
	mount, err := Make(btrfs, o.Attributes|unix.MOUNT_ATTR_RDONLY, append(look.options(), unreplayed(btrfs))...)
	if err == nil {
		err = checkAlone(mount)
		_ = mount.Close()
	}
	// One that is mounted already for writing is not mounted for reading only beside that. It gets no more devices.
	if err != nil && !errors.Is(err, unix.EBUSY) {
		return nil, err
	}
	if mount, err = o.mount(); err != nil {
		return nil, err
	}
	if err = checkAlone(mount); err != nil {
		_ = mount.Close()
		return nil, err
	}
	return mount, nil
}

// checkAlone refuses a btrfs that is on more than one device.
func checkAlone(mount *os.File) error {
	root, err := unix.Openat(int(mount.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open root of btrfs: %w", err)
	}
	defer func() { _ = unix.Close(root) }()
	const (
		fsInfo      = 0x8400941f // BTRFS_IOC_FS_INFO, which package unix does not have
		deviceCount = 8          // where struct btrfs_ioctl_fs_info_args has num_devices
	)
	var info [1024]byte
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(root), fsInfo, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return fmt.Errorf("count devices of btrfs: %w", errno)
	}
	if n := binary.NativeEndian.Uint64(info[deviceCount:]); n != 1 {
		return fmt.Errorf("mount image: %w", ErrSpread)
	}
	return nil
}
