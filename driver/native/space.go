package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/davitd/davit/domain"
	davitfs "github.com/davitd/davit/fs"
	"github.com/davitd/davit/fs/quota"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A limit of space holds for what a domain writes:
//
//   - a folder of the host, and the folder of an overlay's kept changes, get a limit of the filesystem that they are on (package
//     fs/quota). It stays on them when the domain ends, and until a start with another;
//   - what is in memory, a tmpfs and the changes of a root that are dropped, is made no larger;
//   - an image and a block device have their size, and are refused if that is more;
//   - what is read only is not written.
//
// Everything else is refused at the start, and a definition is warned of it.

const (
	pageSize     = 4096 // a tmpfs has whole pages
	noOtherLimit = "; without <space_hard_limit> it has no limit"
)

// memoryWithin is how large a tmpfs may be that a limit holds for; size 0 is that of the kernel, limit 0 is none.
func memoryWithin(size, limit uint64) uint64 {
	if limit == 0 || size != 0 && size <= limit {
		return size
	}
	return max(limit/pageSize*pageSize, pageSize)
}

// limitedFolder is the folder of the host to which the limit of a filesystem is given, empty if there is none, or why the limit
// cannot hold, whatever the host has.
func (l *layout) limitedFolder(i int, f *davitv1.Filesystem) (folder, fault string) {
	if f.GetSpaceHardLimit() == 0 {
		return "", ""
	}
	switch kind(f) {
	case davitv1.FilesystemType_FILESYSTEM_TYPE_BIND:
		return "", "it is a folder of the domain's own: the filesystem in which it lies can have a limit"
	case davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT:
	default:
		return "", ""
	}
	dropped := f.GetOverlayUpper() == davitv1.OverlayUpper_OVERLAY_UPPER_DISCARD
	switch source := path.Clean(f.GetSourceDir()); {
	case i == l.rootAt && (l.hostRoot || dropped):
		return "", ""
	case dropped:
		return "", "changes that are dropped can have a limit only if they are those of the root"
	case f.GetOverlayUpper() == davitv1.OverlayUpper_OVERLAY_UPPER_KEEP:
		folder = l.upper(f)
	case f.GetReadonly():
		return "", ""
	case source == "/":
		return "", "the host's root can have no limit"
	default:
		folder = source
	}
	if len(l.idMaps().uid) == 0 {
		return "", "a domain whose root is the host's could undo it: give it a user namespace, by another profile or with <idmap>"
	}
	return folder, ""
}

// rootMemory is how large the changes of a root may become that are dropped, 0 if no more than the kernel says.
func (l *layout) rootMemory() uint64 {
	if l.rootAt < 0 {
		return 0
	}
	f := l.def.GetDevices().GetFilesystem()[l.rootAt]
	if !l.hostRoot && f.GetOverlayUpper() != davitv1.OverlayUpper_OVERLAY_UPPER_DISCARD {
		return 0
	}
	return memoryWithin(0, f.GetSpaceHardLimit())
}

// spaceKey names a filesystem, in facts.
func spaceKey(f *davitv1.Filesystem) string {
	return keyOf("filesystem", f.GetAlias(), path.Clean(f.GetTargetDir()))
}

// unbounded are the limits of space of a definition that would not hold.
func unbounded(def *davitv1.Domain, facts Facts) []domain.Violation {
	l, err := newLayout(def, facts)
	if err != nil {
		return nil
	}
	var list []domain.Violation
	for i, f := range def.GetDevices().GetFilesystem() {
		_, fault := l.limitedFolder(i, f)
		if fault == "" && f.GetSpaceHardLimit() != 0 {
			fault = facts.Space[spaceKey(f)]
		}
		if fault != "" {
			list = append(list, spaceViolation(i, fault))
		}
	}
	return list
}

func spaceViolation(i int, fault string) domain.Violation {
	return violation(fmt.Sprintf("devices.filesystem[%d].space_hard_limit", i),
		fmt.Sprintf("/domain/devices/filesystem[%d]/space_hard_limit", i+1), "%s", fault+noOtherLimit)
}

// lookSpace finds why the host cannot keep the limits of space of a definition, and changes nothing; nil if there are none. A
// source that is not there is somebody else's matter.
func (d *Driver) lookSpace(def *davitv1.Domain) map[string]string {
	var found map[string]string
	var l *layout
	for i, f := range def.GetDevices().GetFilesystem() {
		if f.GetSpaceHardLimit() == 0 {
			continue
		}
		if l == nil {
			var err error
			if l, err = newLayout(def, d.facts); err != nil {
				return nil
			}
			found = make(map[string]string)
		}
		if err := lookSpace(l, i, f); err != nil {
			found[spaceKey(f)] = err.Error()
		}
	}
	return found
}

func lookSpace(l *layout, i int, f *davitv1.Filesystem) error {
	if n, ok := filesystemNeed(i, f); ok {
		return checkSize(n, f.GetSpaceHardLimit())
	}
	folder, _ := l.limitedFolder(i, f)
	if folder == "" {
		return nil
	}
	at, err := openSpace(folder, f)
	for errors.Is(err, fs.ErrNotExist) && folder != "/" && f.GetOverlayUpper() != 0 {
		// The start makes the folder, on the filesystem of the one in which it will be.
		folder = filepath.Dir(folder)
		at, err = openSpace(folder, f)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	return quota.Check(at)
}

// openSpace opens a folder as the start does that mounts it: davit's own is no symbolic link, a source may be.
func openSpace(folder string, f *davitv1.Filesystem) (*os.File, error) {
	if f.GetOverlayUpper() != 0 {
		return davitfs.OpenDir(folder)
	}
	return davitfs.OpenSource(folder)
}

// checkSize refuses an image or a block device that is larger than its limit.
func checkSize(n need, limit uint64) error {
	at, s, err := resolve(n)
	if s.Content == "" {
		return nil // what is wrong with the source itself is told of it
	}
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	content, err := reopen(at, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	size, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("measure %q: %w", n.path, err)
	}
	if uint64(size) > limit {
		return fmt.Errorf("%q has %d bytes, which is more than the limit, %d", n.path, size, limit)
	}
	return nil
}

// limitFolders gives the folders of a definition their limits, but for filesystems of before, which have theirs.
func (d *Driver) limitFolders(ctx context.Context, op string, before, def *davitv1.Domain) error {
	have := make(map[string]bool)
	for _, f := range before.GetDevices().GetFilesystem() {
		have[spaceKey(f)] = true
	}
	l, err := newLayout(def, d.facts)
	if err != nil {
		return err
	}
	for i, f := range def.GetDevices().GetFilesystem() {
		if f.GetSpaceHardLimit() == 0 || have[spaceKey(f)] {
			continue
		}
		folder, fault := l.limitedFolder(i, f)
		if fault == "" {
			err = limitFolder(ctx, folder, l, i, f)
		}
		switch {
		case fault != "":
			return hostLacks(op, def.GetName(), spaceViolation(i, fault))
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return err
		case err != nil:
			return hostLacks(op, def.GetName(), spaceViolation(i, err.Error()))
		}
	}
	return nil
}

// limitFolder gives a filesystem its limit, if it is a folder that has it; what is larger is refused.
func limitFolder(ctx context.Context, folder string, l *layout, i int, f *davitv1.Filesystem) error {
	if folder == "" {
		return lookSpace(l, i, f)
	}
	at, err := openSpace(folder, f)
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	return quota.Limit(ctx, at, f.GetSpaceHardLimit())
}

// limitFolders gives the folders of a domain that starts their limits. They stay.
func (s *start) limitFolders(ctx context.Context) error {
	return s.d.limitFolders(ctx, "start domain", nil, s.spec.Definition)
}

// limitedTmpfs makes a tmpfs of a definition no larger than its limit.
func limitedTmpfs(f *davitv1.Filesystem, target string) *monitorv1.Operation {
	step := tmpfs(target, 0o1777, memoryWithin(f.GetSourceUsageKib()<<10, f.GetSpaceHardLimit()))
	step.GetTmpfs().ReadOnly = f.GetReadonly()
	return step
}
