package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// place is where the benchmark keeps what it makes: on a disk what outlives the boot of a host, in memory what does not, as on a host
// that runs davitd. Else journals would cost nothing, and records too much.
type place struct{ disk, memory string }

// Magic numbers of filesystems (statfs(2)).
var filesystems = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.XFS_SUPER_MAGIC: "xfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay",
}

// filesystem names that of a folder.
func filesystem(dir string) string {
	var stat unix.Statfs_t
	if unix.Statfs(dir, &stat) != nil {
		return "an unknown filesystem"
	}
	if name, ok := filesystems[stat.Type]; ok {
		return name
	}
	return fmt.Sprintf("filesystem %#x", stat.Type)
}

func newPlace() (*place, error) {
	p := &place{}
	var err error
	if p.disk, err = folderOn(false, os.TempDir(), "/var/tmp"); err != nil {
		return nil, err
	}
	if p.memory, err = folderOn(true, "/run", "/dev/shm"); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// folderOn makes a folder in the first of some that is in memory, or is not; in the first of all if none is as it should be.
func folderOn(memory bool, candidates ...string) (string, error) {
	chosen := candidates[0]
	for _, dir := range candidates {
		if (filesystem(dir) == "tmpfs") == memory {
			chosen = dir
			break
		}
	}
	dir, err := os.MkdirTemp(chosen, "davit-bench-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

func (p *place) remove() error {
	var errs []error
	for _, dir := range []string{p.disk, p.memory} {
		if dir != "" {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}
