package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/launch"
	davitfs "github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// In a domain whose ids davit chose, every source is mapped: what is the host's root's is the domain's root's. Where a filesystem
// cannot be, the domain would see files of nobody, or have to be the host's root; it is not started.

// mapper tries whether mounts can be mapped, by a user namespace that is made once and that nobody is in.
type mapper struct {
	mu     sync.Mutex
	userns *os.File
}

// try tells why what is mounted at a path, and below it, cannot show other ids than it has; nil if it can, or if that cannot be
// known beforehand. It changes nothing: the mount that is tried is a copy that nobody sees.
func (m *mapper) try(source string) error {
	userns, err := m.namespace()
	if isExhausted(err) {
		return nil // that is nothing of the host's; the start tells
	}
	if err != nil {
		return fmt.Errorf("the host makes no user namespaces: %w", err)
	}
	at, err := davitfs.OpenSource(source)
	if err != nil {
		return nil // a source that is not there is somebody else's matter
	}
	defer func() { _ = at.Close() }()
	mount, err := davitfs.Clone(at)
	if err != nil {
		return nil // the start tells
	}
	defer func() { _ = mount.Close() }()
	if err = davitfs.MapIDs(mount, userns); err == nil || !isUnmappable(err) {
		return nil
	}
	where, kind := m.culprit(source)
	return fmt.Errorf("the ids of %s, which is of type %s, cannot be mapped", where, kind)
}

// isExhausted tells that something has run out, and that nothing else is known.
func isExhausted(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	code, _ := codeOf(errno, codes.Unknown, 0)
	return ok && code == codes.ResourceExhausted
}

// isUnmappable tells that a filesystem has no maps of ids, or the kernel none at all.
func isUnmappable(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS)
}

// culprit finds which of the mounts at and below a path it is.
func (m *mapper) culprit(source string) (where, kind string) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return source, "unknown"
	}
	defer func() { _ = file.Close() }()
	mounts, err := readMounts(file)
	if err != nil {
		return source, "unknown"
	}
	over := &davitv1.MountedFilesystem{Mountpoint: source, Type: "unknown"}
	for _, mount := range mounts {
		at := mount.GetMountpoint()
		switch {
		case at == source || strings.HasPrefix(source, strings.TrimSuffix(at, "/")+"/"):
			if over.GetType() == "unknown" || len(at) >= len(over.GetMountpoint()) {
				over = mount // the one that the source is in
			}
		}
	}
	if !m.maps(source) {
		return source, over.GetType()
	}
	for _, mount := range mounts {
		if at := mount.GetMountpoint(); strings.HasPrefix(at, strings.TrimSuffix(source, "/")+"/") && !m.maps(at) {
			return at, mount.GetType()
		}
	}
	return source, over.GetType()
}

// maps tells whether the mount at a path can be mapped, whatever is mounted below it.
func (m *mapper) maps(at string) bool {
	fd, err := unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return true
	}
	mount := os.NewFile(uintptr(fd), at)
	defer func() { _ = mount.Close() }()
	return davitfs.MapIDs(mount, m.userns) == nil
}

// namespace is a user namespace with a map.
func (m *mapper) namespace() (userns *os.File, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.userns == nil {
		one := []*monitorv1.IdMapping{{Outside: 1, Count: 1}}
		m.userns, err = launch.UserNamespace(one, one)
	}
	return m.userns, err
}

func (m *mapper) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.userns == nil {
		return nil
	}
	err := m.userns.Close()
	m.userns = nil
	return err
}

// lookMaps finds why filesystems of a definition cannot be mapped; nil if davit chooses no ids for it.
func (d *Driver) lookMaps(def *davitv1.Domain) map[string]string {
	l, err := newLayout(def, d.facts)
	if err != nil || !l.allotted {
		return nil
	}
	found := make(map[string]string)
	for i, f := range def.GetDevices().GetFilesystem() {
		if kind(f) != davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT || i == l.rootAt && l.hostRoot {
			continue
		}
		if err := d.mapper.try(path.Clean(f.GetSourceDir())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			found[spaceKey(f)] = err.Error()
		}
	}
	return found
}

// unmappable are the filesystems of a definition that cannot be mapped, and what can be done.
func unmappable(def *davitv1.Domain, facts Facts) []domain.Violation {
	var list []domain.Violation
	for i, f := range def.GetDevices().GetFilesystem() {
		if fault := facts.Unmappable[spaceKey(f)]; fault != "" {
			list = append(list, violation(fmt.Sprintf("devices.filesystem[%d].source_dir", i),
				fmt.Sprintf("/domain/devices/filesystem[%d]/source/@dir", i+1), "%s", fault+unmappedAdvice))
		}
	}
	return list
}

// What can be done.
const (
	unmappedAdvice = " to those of the domain's user namespace; " + unmappedRemedy
	unmappedRemedy = "keep the files on another filesystem, give the domain an <idmap> and the files to its ids, or, if it may be the host's root, " +
		"<davit:profile name='privileged'/>"
)
