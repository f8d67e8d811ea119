package logs

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// segment is an open file of a log. It stays what it is, whatever is renamed or removed.
type segment struct {
	file     *os.File
	id       fileID
	size     int64 // when it was opened
	modified time.Time
}

// fileID tells files apart while one of them is open.
type fileID struct{ dev, ino uint64 }

// segments opens the files of the log that are newer than one of them, all if there is none of that id, oldest first.
// They are opened from the newest on: a file that is rotated meanwhile is met again, and none is left out.
func (f *folder) segments(after fileID) ([]*segment, error) {
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	var list []*segment
	for _, name := range names {
		s, err := f.segment(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
			continue // it was rotated meanwhile, or is a link
		}
		if err != nil {
			closeAll(list)
			return nil, err
		}
		if s.id == after {
			_ = s.file.Close()
			break
		}
		if slices.ContainsFunc(list, func(o *segment) bool { return o.id == s.id }) {
			_ = s.file.Close()
			continue
		}
		list = append(list, s)
	}
	slices.Reverse(list)
	return list, nil
}

// segment opens one file. What is not a file counts as not there.
func (f *folder) segment(name string) (*segment, error) {
	file, err := openBeneath(f.dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(file.Fd()), &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &segment{file, fileID{st.Dev, st.Ino}, st.Size, time.Unix(st.Mtim.Unix())}, nil
}

// newest tells which file is written to now; ok is false while there is none.
func (f *folder) newest() (id fileID, ok bool) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(f.dir.Fd()), current, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fileID{}, false
	}
	return fileID{st.Dev, st.Ino}, true
}

func closeAll(list []*segment) {
	for _, s := range list {
		_ = s.file.Close()
	}
}
