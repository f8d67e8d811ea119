package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
)

const (
	// current is the file that is written to. Those before it have a number after it.
	current = "console.log"
	// maxSegments is how many files of a log are read at most, whatever is there.
	maxSegments = 1000
)

// beneath are the ways of a path that may be gone: none of them leaves the folder or is a link.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// isUUID tells whether a name is a UUID in its only form.
func isUUID(name string) bool {
	uuid, err := domain.ParseUUID(name)
	return err == nil && uuid == name
}

// folder is a domain's.
type folder struct{ dir *os.File }

// folder opens the folder of a domain; the error is [fs.ErrNotExist] if it has none.
func (l *Logs) folder(uuid string) (*folder, error) {
	dir, err := openBeneath(l.dir, uuid, unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &folder{dir}, nil
}

func (f *folder) close() { _ = f.dir.Close() }

// openBeneath opens what is in a folder, never through a link.
func openBeneath(dir *os.File, name string, flags uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK, Resolve: beneath}
	for range 100 {
		fd, err := unix.Openat2(int(dir.Fd()), name, &how)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // a rename meanwhile, somewhere on the host
		case err != nil:
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		default:
			return os.NewFile(uintptr(fd), name), nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: unix.EAGAIN}
}

// names lists the files of the log, the newest first.
func (f *folder) names() ([]string, error) {
	dir, err := openBeneath(f.dir, ".", unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // it was only read
	all, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	last := -1
	for _, name := range all {
		last = max(last, number(name))
	}
	var names []string
	for n := 0; n <= min(last, maxSegments); n++ {
		names = append(names, fileName(n))
	}
	return names, nil
}

// number is that of a file of a log, 0 for the one that is written to, -1 if it is none.
func number(name string) int {
	rest, ok := strings.CutPrefix(name, current)
	if !ok {
		return -1
	}
	if rest == "" {
		return 0
	}
	digits, ok := strings.CutPrefix(rest, ".")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > maxSegments || fileName(n) != name {
		return -1
	}
	return n
}

func fileName(n int) string {
	if n == 0 {
		return current
	}
	return current + "." + strconv.Itoa(n)
}

// size is the bytes of the log's files, and when the last of them was written.
func (f *folder) size() (bytes uint64, modified time.Time, err error) {
	names, err := f.names()
	if err != nil {
		return 0, modified, err
	}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(int(f.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue // it was rotated meanwhile
		}
		bytes += uint64(st.Size)
		if at := time.Unix(st.Mtim.Unix()); at.After(modified) {
			modified = at
		}
	}
	return bytes, modified, nil
}
