package launch

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices"
	"github.com/davitd/davit/fs"
)

// Names in a vault.
const (
	vaultFile   = "file"
	vaultFolder = "folder"
	vaultNull   = "null"
)

// vaultPath is where a vault is attached in the mount table of the launching thread, and so of the child until it enters
// its root. Every host has the folder, and nothing of what it hides is needed by then.
const vaultPath = "/dev"

// A vault is a small read-only tmpfs that no container can reach by name. What hides paths comes out of it, an empty
// file and an empty folder, and the null device that is standard input of what has no console. They are never taken from
// a container's own /dev, where anything may have been put in their place.
//
// It is also where mounts of the host wait for the child. A mount that comes with the copy of a mount table into a new user
// namespace keeps its flags for good; one that is attached in there by its descriptor could be made writable again by the
// container's root.
type vault struct {
	mount *os.File
	null  *os.File
}

// makeVault makes a vault with room for some mounts to wait in.
func makeVault(room int) (*vault, error) {
	mount, err := fs.Tmpfs(fs.TmpfsOptions{
		SizeBytes: 4096, Inodes: uint64(8 + room), Mode: 0o755, Attributes: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC,
	})
	if err != nil {
		return nil, err
	}
	v := &vault{mount: mount}
	if err := v.fill(); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *vault) fill() error {
	if err := devices.MakeFile(v.mount, vaultFile, 0, 0, 0o444); err != nil {
		return err
	}
	if err := devices.MakeFolder(v.mount, vaultFolder, 0, 0, 0o555); err != nil {
		return err
	}
	if err := (devices.Node{Name: vaultNull, Major: 1, Minor: 3, Mode: 0o666}).Make(v.mount); err != nil {
		return err
	}
	fd, err := unix.Openat(int(v.mount.Fd()), vaultNull, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open null device: %w", err)
	}
	v.null = os.NewFile(uintptr(fd), vaultNull)
	return v.verify()
}

// attach puts the vault in its place, with the mounts that wait in it; those of other operations are nil. No file of the host can be looked up
// below that place afterwards.
func (v *vault) attach(mounts []*os.File, trees int) error {
	if err := fs.Attach(v.mount, vaultPath); err != nil {
		return err
	}
	for i, mount := range mounts {
		if mount == nil {
			continue
		}
		if err := v.hold(mount, strconv.Itoa(i)); err != nil {
			return err
		}
	}
	if err := v.share(trees); err != nil {
		return err
	}
	return fs.SetAttributes(v.mount, unix.MOUNT_ATTR_RDONLY, 0, false)
}

// hold attaches a mount in the vault.
func (v *vault) hold(mount *os.File, name string) error {
	place := devices.MakeFile
	if isFolder(mount) {
		place = devices.MakeFolder
	}
	if err := place(v.mount, name, 0, 0, 0o755); err != nil {
		return err
	}
	return fs.AttachAt(mount, v.mount, name)
}

// verify makes sure that the null device is one.
func (v *vault) verify() error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(v.null.Fd()), &stat); err != nil {
		return fmt.Errorf("stat null device: %w", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFCHR || stat.Rdev != unix.Mkdev(1, 3) {
		return fmt.Errorf("null device is %#o %#x", stat.Mode, stat.Rdev)
	}
	return nil
}

func (v *vault) close() {
	if v.null != nil {
		_ = v.null.Close()
	}
	_ = v.mount.Close()
}

// null is the null device of the vault; nil before there is one.
func (t *tree) null() *os.File {
	if t.vault == nil {
		return nil
	}
	return t.vault.null
}
