// Package devices makes what a container has in /dev: device nodes, links and terminals.
//
// All of it is put together on mounts that are attached nowhere yet, through descriptors, so that there is no name that
// a container or its image could have led elsewhere. Owners are ids of the host: whoever knows the id map of a
// container translates.
package devices

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
)

// Bounds of the tmpfs of a /dev: it is for nodes, not for data.
const (
	devBytes  = 64 << 10
	devInodes = 1024
)

// Dev describes a /dev.
type Dev struct {
	// Nodes are its device nodes, and no others.
	Nodes []Node
	// Links are its symbolic links.
	Links []Link
	// Folders are made for mounts.
	Folders []string
	// Files are made for mounts, empty.
	Files []string
	// UID and GID own the folder, and the folders and files.
	UID, GID int
}

// Make makes it, on a tmpfs that is attached nowhere.
//
// The mode of its root is 755: with a sticky, world-writable folder, opening an existing node with O_CREAT (as "echo
// >/dev/null" does) would be refused in a user namespace.
func (d Dev) Make() (*os.File, error) {
	mount, err := fs.Tmpfs(fs.TmpfsOptions{
		SizeBytes: devBytes, Inodes: devInodes, Mode: 0o755, UID: d.UID, GID: d.GID,
		Attributes: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC,
	})
	if err != nil {
		return nil, err
	}
	if err := d.fill(mount); err != nil {
		_ = mount.Close()
		return nil, fmt.Errorf("fill dev: %w", err)
	}
	return mount, nil
}

func (d Dev) fill(dir *os.File) error {
	for _, name := range d.Folders {
		if err := MakeFolder(dir, name, d.UID, d.GID, 0o755); err != nil {
			return err
		}
	}
	for _, node := range d.Nodes {
		if err := node.Make(dir); err != nil {
			return err
		}
	}
	for _, name := range d.Files {
		if err := MakeFile(dir, name, d.UID, d.GID, 0o600); err != nil {
			return err
		}
	}
	for _, link := range d.Links {
		if err := link.Make(dir); err != nil {
			return err
		}
	}
	return nil
}
