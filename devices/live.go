package devices

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
)

// ErrReplaced tells that somebody put something else in the place of what was just made.
var ErrReplaced = errors.New("somebody put something else in its place")

// Add makes the node in a /dev that a container has, whose root may be changing it at the same time. Nothing is followed out
// of that one filesystem, and what gets an owner is looked at by its descriptor first. If it fails, nothing is left. There must be
// nothing of the name yet. The umask of the caller is 0. It tells how many folders were made for it.
func (n Node) Add(dev *os.File) (folders int, err error) {
	l, err := openLive(dev, n.Name, n.UID, n.GID, true)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			l.removeFolders()
		}
		l.close()
	}()
	number := unix.Mkdev(n.Major, n.Minor)
	if err = unix.Mknodat(l.parent(), l.base, n.kind()|n.Mode, int(number)); err != nil {
		return 0, n.fault("make", err)
	}
	if err = n.own(l); err != nil {
		_ = unix.Unlinkat(l.parent(), l.base, 0)
		return 0, err
	}
	return l.made, nil
}

// AllFolders are those above a node that become empty with it.
const AllFolders = math.MaxInt

// own gives a node that was just made to its owner.
func (n Node) own(l *live) error {
	file, err := fs.OpenBeneath(l.folder(), l.base, 0)
	if err != nil {
		return n.fault("own", fmt.Errorf("%w: %w", ErrReplaced, err))
	}
	defer func() { _ = file.Close() }()
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return n.fault("own", err)
	}
	if !n.is(&stat) || stat.Mode&0o7777 != n.Mode {
		return n.fault("own", ErrReplaced)
	}
	if err := unix.Fchownat(int(file.Fd()), "", n.UID, n.GID, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("change owner of device node %q to %d:%d: %w", n.Name, n.UID, n.GID, err)
	}
	return nil
}

// Remove takes the node out of a /dev that a container has, with the folders above it that become empty, so many at most. It gives the node
// as it was, which may have another owner and mode by now. What is not that device is left alone: false.
func (n Node) Remove(dev *os.File, folders int) (was Node, removed bool, err error) {
	l, err := openLive(dev, n.Name, 0, 0, false)
	if isGone(err) {
		return n, false, nil
	}
	if err != nil {
		return n, false, err
	}
	defer l.close()
	file, err := fs.OpenBeneath(l.folder(), l.base, unix.O_NOFOLLOW)
	if isGone(err) {
		return n, false, nil
	}
	if err != nil {
		return n, false, n.fault("open", err)
	}
	defer func() { _ = file.Close() }()
	var stat unix.Stat_t
	if err = unix.Fstat(int(file.Fd()), &stat); err != nil {
		return n, false, n.fault("open", err)
	}
	if !n.is(&stat) {
		return n, false, nil
	}
	n.Mode, n.UID, n.GID = stat.Mode&0o7777, int(stat.Uid), int(stat.Gid)
	if err = unix.Unlinkat(l.parent(), l.base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return n, false, n.fault("remove", err)
	}
	l.made = min(folders, len(l.names))
	l.removeFolders()
	return n, true, nil
}

// fault is why something could not be done to the node.
//
//go:noinline
func (n *Node) fault(operation string, err error) error {
	return fmt.Errorf("%s device node %q (%d:%d): %w", operation, n.Name, n.Major, n.Minor, err)
}

// isGone tells whether a path does not lead to what was made any more: the container's root removed it, or put something
// else there.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// kind is the type of file.
func (n Node) kind() uint32 {
	if n.Block {
		return unix.S_IFBLK
	}
	return unix.S_IFCHR
}

// is tells whether a file is that device.
func (n Node) is(stat *unix.Stat_t) bool {
	return stat.Mode&unix.S_IFMT == n.kind() && stat.Rdev == unix.Mkdev(n.Major, n.Minor)
}

// live is a row of open folders of a /dev that a container has.
type live struct {
	// folders from the root to the one that the name lies in, and the names of those below the root. Of the last so many were made now.
	folders []*os.File
	names   []string
	made    int
	base    string
}

// openLive opens the folders that a name lies in, and makes them if it is to.
func openLive(dev *os.File, name string, uid, gid int, make bool) (*live, error) {
	if !isBelow(name) {
		return nil, fmt.Errorf("open %q: not a name below a folder", name)
	}
	parts := strings.Split(name, "/")
	l := &live{folders: []*os.File{dev}, base: parts[len(parts)-1]}
	for _, part := range parts[:len(parts)-1] {
		folder, made, err := l.open(part, uid, gid, make)
		if err != nil {
			if made {
				_ = unix.Unlinkat(l.parent(), part, unix.AT_REMOVEDIR)
			}
			l.removeFolders()
			l.close()
			return nil, fmt.Errorf("open folder %q of device node %q: %w", part, name, err)
		}
		if l.made++; !made {
			l.made = 0
		}
		l.folders, l.names = append(l.folders, folder), append(l.names, part)
	}
	return l, nil
}

// open opens a folder in the last one.
func (l *live) open(name string, uid, gid int, make bool) (folder *os.File, made bool, err error) {
	if make {
		if err = unix.Mkdirat(l.parent(), name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, false, err
		}
		made = err == nil
	}
	if folder, err = fs.OpenBeneath(l.folder(), name, unix.O_DIRECTORY); err != nil || !made {
		return folder, made, err
	}
	if err = unix.Fchownat(int(folder.Fd()), "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
		_ = folder.Close()
		return nil, made, err
	}
	return folder, made, nil
}

func (l *live) folder() *os.File { return l.folders[len(l.folders)-1] }
func (l *live) parent() int      { return int(l.folder().Fd()) }

// removeFolders removes the folders that were made, from the last one on, as far as they are empty.
func (l *live) removeFolders() {
	for i := len(l.names) - 1; l.made > 0; i-- {
		l.made--
		if unix.Unlinkat(int(l.folders[i].Fd()), l.names[i], unix.AT_REMOVEDIR) != nil {
			return
		}
	}
}

// close lets go of all but the root.
func (l *live) close() {
	for _, f := range l.folders[1:] {
		_ = f.Close()
	}
}

// isBelow tells whether a name lies below the folder that it is looked up in.
func isBelow(name string) bool {
	return name != "" && name == path.Clean(name) && name != "." && !strings.HasPrefix(name, "/") && name != ".." && !strings.HasPrefix(name, "../")
}
