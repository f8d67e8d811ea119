package main

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// jailName is how this program is called when it becomes the file server.
const jailName = "vmtest-jail"

// jailMain becomes the file server: in a mount namespace where the host's root is seen again at a folder, read-only but for
// the shares, so that whatever the guest does, nothing else of the host can be written. It returns only if it fails.
func jailMain(args []string) error {
	root, rest := args[0], args[1:]
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("/", root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind / to %s: %w", root, err)
	}
	for _, dir := range []string{"proc", "sys", "dev", "run"} {
		// One that is no mount here is harmless as it is.
		_ = unix.Unmount(filepath.Join(root, dir), unix.MNT_DETACH)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, root, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", root, err)
	}
	for len(rest) > 0 && rest[0] != "--" {
		if err := unix.Mount(rest[0], filepath.Join(root, rest[0]), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("share %s: %w", rest[0], err)
		}
		rest = rest[1:]
	}
	if len(rest) < 2 {
		return fmt.Errorf("start file server: no command")
	}
	return fmt.Errorf("start %s: %w", rest[1], unix.Exec(rest[1], rest[1:], nil))
}
