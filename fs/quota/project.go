package quota

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// markName is the extended attribute by which a folder says that its project is its own and was given to it here: "PROJECT INODE",
// and " whole" when all that is in it has the project. Neither an inherited number nor a copy of the folder passes for it.
const markName = "trusted.davit.project"

// maxTries is how many numbers are tried for a folder; two folders rarely want the same.
const maxTries = 64

// allocating keeps two folders of this process from taking the same number at once; that of another process is found by counting.
var allocating sync.Mutex

// project is a folder of ext4 or xfs.
type project struct {
	dir        *os.File
	filesystem string
}

func (p *project) check() error {
	var s state
	switch err := quotactl(p.dir, getState, 0, unsafe.Pointer(&s)); {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ESRCH):
		return p.missing()
	case err != nil:
		return fmt.Errorf("read state of quotas of %q: %w", p.dir.Name(), err)
	case s.flags&enforced == 0:
		return p.missing()
	}
	_, _, err := p.own()
	return err
}

// missing says what the filesystem would need.
func (p *project) missing() error {
	made := ""
	if p.filesystem == "ext4" {
		made = ", and make it with the features quota and project (tune2fs -O quota,project)"
	}
	return unsupported("%s, which %q is on, enforces no quotas of projects: mount it with prjquota%s", p.filesystem, p.dir.Name(), made)
}

// own is the number that the folder was given here, 0 if it has none yet, and whether all that is in it has it.
func (p *project) own() (id uint32, whole bool, err error) {
	a, err := attributesOf(p.dir)
	if err != nil || a.project == 0 {
		return 0, false, err
	}
	prefix, err := p.mark(a.project)
	if err != nil {
		return 0, false, err
	}
	text := make([]byte, 64)
	n, err := unix.Fgetxattr(int(p.dir.Fd()), markName, text)
	if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ERANGE) {
		return 0, false, fmt.Errorf("read %s of %q: %w", markName, p.dir.Name(), err)
	}
	switch string(text[:max(n, 0)]) {
	case prefix:
		return a.project, false, nil
	case prefix + " whole":
		return a.project, true, nil
	}
	if a.project >= FirstProject && a.project <= LastProject {
		return 0, false, foreign("%q is in a folder that has a limit of its own already (project %d), or was", p.dir.Name(), a.project)
	}
	return 0, false, foreign("%q is of project %d, which somebody else has given to it", p.dir.Name(), a.project)
}

// mark is what a folder with a number of its own says.
func (p *project) mark(id uint32) (string, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(p.dir.Fd()), &stat); err != nil {
		return "", fmt.Errorf("look at %q: %w", p.dir.Name(), err)
	}
	return fmt.Sprintf("%d %d", id, stat.Ino), nil
}

func (p *project) limit(ctx context.Context, bytes uint64) error {
	id, whole, err := p.own()
	if err != nil {
		return err
	}
	if !whole {
		if id, err = p.take(ctx, id); err != nil {
			return err
		}
	}
	q := quotas{hard: max(bytes/quotaBlock, 1), valid: blockLimit}
	if err = quotactl(p.dir, setQuota, id, unsafe.Pointer(&q)); err != nil {
		return fmt.Errorf("limit project %d of %q to %d bytes: %w", id, p.dir.Name(), bytes, err)
	}
	return nil
}

// take makes the folder and all that is in it one project, with a new number if it has none.
func (p *project) take(ctx context.Context, id uint32) (uint32, error) {
	// Before anything is changed, all of it is looked at.
	if err := walk(ctx, p.dir, func(file *os.File, _ bool) error { return checkFree(file, id) }); err != nil {
		return 0, err
	}
	if id == 0 {
		var err error
		if id, err = p.allocate(); err != nil {
			return 0, err
		}
	}
	if err := walk(ctx, p.dir, func(file *os.File, isFolder bool) error { return join(file, isFolder, id) }); err != nil {
		return 0, err
	}
	return id, p.write(id, " whole")
}

// allocate gives the folder, and nothing else, a number that no file of the filesystem has.
func (p *project) allocate() (uint32, error) {
	allocating.Lock()
	defer allocating.Unlock()
	var stat unix.Stat_t
	if err := unix.Fstat(int(p.dir.Fd()), &stat); err != nil {
		return 0, fmt.Errorf("look at %q: %w", p.dir.Name(), err)
	}
	for try := range uint64(maxTries) {
		id := candidate(stat.Ino, try)
		before, err := p.count(id)
		if err != nil {
			return 0, err
		}
		if before.inode != 0 || before.hard != 0 || before.soft != 0 {
			continue
		}
		if err = errors.Join(p.write(id, ""), join(p.dir, true, id)); err != nil {
			return 0, err
		}
		after, err := p.count(id)
		if err == nil && after.inode == 1 {
			return id, nil
		}
		// Another process took it at the same moment; it finds that out as well.
		if err = errors.Join(err, join(p.dir, true, 0), p.forget()); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("find project for %q: %d numbers from %d on are taken", p.dir.Name(), maxTries, FirstProject)
}

// candidate is a number that a folder may try. They are far from those of other folders.
func candidate(inode, try uint64) uint32 {
	sum := fnv.New64a()
	_, _ = sum.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, inode), try))
	return FirstProject + uint32(sum.Sum64()>>16)%(LastProject-FirstProject+1)
}

// count is what the filesystem has counted for a number.
func (p *project) count(id uint32) (quotas, error) {
	var q quotas
	err := quotactl(p.dir, getQuota, id, unsafe.Pointer(&q))
	if err != nil && !errors.Is(err, unix.ENOENT) { // xfs has nothing for a number that nobody has had
		return q, fmt.Errorf("read quota of project %d of %q: %w", id, p.dir.Name(), err)
	}
	return q, nil
}

func (p *project) usage() (Usage, error) {
	id, _, err := p.own()
	if err != nil || id == 0 {
		return Usage{}, err
	}
	q, err := p.count(id)
	return Usage{Used: q.space, Limit: q.hard * quotaBlock}, err
}

// write writes down that the folder has a number of its own.
func (p *project) write(id uint32, more string) error {
	mark, err := p.mark(id)
	if err == nil {
		err = unix.Fsetxattr(int(p.dir.Fd()), markName, []byte(mark+more), 0)
	}
	if err != nil {
		return fmt.Errorf("write %s of %q: %w", markName, p.dir.Name(), err)
	}
	return nil
}

// forget takes that back.
func (p *project) forget() error {
	if err := unix.Fremovexattr(int(p.dir.Fd()), markName); err != nil {
		return fmt.Errorf("remove %s of %q: %w", markName, p.dir.Name(), err)
	}
	return nil
}

func attributesOf(file *os.File) (attributes, error) {
	var a attributes
	if err := ioctl(file, getAttributes, unsafe.Pointer(&a)); err != nil {
		return a, fmt.Errorf("read project of %q: %w", file.Name(), err)
	}
	return a, nil
}

// checkFree refuses what has another number.
func checkFree(file *os.File, id uint32) error {
	a, err := attributesOf(file)
	if err == nil && a.project != 0 && a.project != id {
		err = foreign("%q is of project %d, which somebody else has given to it", file.Name(), a.project)
	}
	return err
}

// join gives a file or folder a number, or takes it away if that is 0. What is made in a folder gets the number by itself.
func join(file *os.File, isFolder bool, id uint32) error {
	a, err := attributesOf(file)
	if err != nil {
		return err
	}
	next := a
	next.project = id
	switch {
	case isFolder && id == 0:
		next.flags &^= inherit
	case isFolder:
		next.flags |= inherit
	}
	if next == a {
		return nil
	}
	if err = ioctl(file, setAttributes, unsafe.Pointer(&next)); err != nil {
		return fmt.Errorf("give %q project %d: %w", file.Name(), id, err)
	}
	return nil
}
