package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// delegable are the files that every kernel lets a delegate own; /sys/kernel/cgroup/delegate names those of this one.
var delegable = []string{"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"}

// Delegate gives the domain's leaf in the cgroup2 tree, and nothing above it, to a user: the guest's root, who can then
// manage cgroups below. Where the host has no cgroup2 tree it does nothing.
func (g *Group) Delegate(uid, gid int) error {
	dir, err := g.Cgroup2Dir()
	if err != nil || dir == nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Fchown(int(dir.Fd()), uid, gid); err != nil {
		return fmt.Errorf("delegate cgroup %s: %w", dir.Name(), err)
	}
	names := delegable
	if text, err := os.ReadFile("/sys/kernel/cgroup/delegate"); err == nil {
		names = fields(string(text))
	}
	for _, name := range names {
		// The kernel's list has only names of files in the folder; the slash is refused all the same.
		if strings.Contains(name, "/") {
			continue
		}
		err := unix.Fchownat(int(dir.Fd()), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delegate %s: %w", path.Join(dir.Name(), name), err)
		}
	}
	return nil
}
