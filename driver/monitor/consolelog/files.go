package consolelog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Name is that of the file to which lines are added.
const Name = "console.log"

// files are the files of a log. One goroutine uses them.
type files struct {
	folder   *os.File
	name     string
	raw      bool // it has no lines
	maxBytes int64
	maxFiles int

	current *os.File
	swept   bool // files beyond the number were removed
	torn    bool // the last write ended within a line
}

// write writes lines to the current file, and to the next ones as each is full.
func (f *files) write(lines []byte) (n int, err error) {
	for n < len(lines) {
		size, err := f.ready()
		if err != nil {
			return n, err
		}
		fit := f.fit(lines[n:], f.maxBytes-size)
		if fit == 0 && size > 0 {
			if err = f.rotate(); err != nil {
				return n, err
			}
			continue
		}
		if fit == 0 {
			fit = firstLine(lines[n:])
		}
		written, err := f.current.Write(lines[n : n+fit])
		n += written
		if written > 0 {
			f.torn = lines[n-1] != '\n'
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// fit tells how much of the lines goes into a file that has so much room: whole lines, and always the rest of one that is
// there in part.
func (f *files) fit(lines []byte, room int64) int {
	room = min(max(room, 0), int64(len(lines)))
	if f.raw {
		return int(room)
	}
	first := 0
	if f.torn {
		first = firstLine(lines)
	}
	return max(first, bytes.LastIndexByte(lines[:room], '\n')+1)
}

func firstLine(lines []byte) int { return bytes.IndexByte(lines, '\n') + 1 }

// ready sees to it that the current file is open and has a name, and tells its size.
func (f *files) ready() (size int64, err error) {
	if f.current == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.current.Fd()), &stat); err != nil {
		return 0, f.drop("stat", err)
	}
	if stat.Nlink > 0 {
		return stat.Size, nil
	}
	// Somebody removed it.
	_ = f.drop("", nil)
	if err := f.open(); err != nil {
		return 0, err
	}
	return 0, nil
}

// open opens the current file. If it ends within a line, that line ends there.
func (f *files) open() error {
	const flags = unix.O_RDWR | unix.O_APPEND | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(int(f.folder.Fd()), f.name, flags, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", f.name, err)
	}
	f.current, f.torn = os.NewFile(uintptr(fd), f.name), false
	if err := f.mend(fd); err != nil {
		return f.drop("open", err)
	}
	if !f.swept && !f.raw {
		f.sweep()
		f.swept = true
	}
	return nil
}

func (f *files) mend(fd int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("not a regular file")
	}
	last := []byte{'\n'}
	if stat.Size > 0 && !f.raw {
		if _, err := unix.Pread(fd, last, stat.Size-1); err != nil {
			return err
		}
	}
	if last[0] == '\n' {
		return nil
	}
	_, err := f.current.WriteString("\n")
	return err
}

// sweep removes the files of an earlier start that was to have more of them.
func (f *files) sweep() {
	for n := f.maxFiles; unix.Unlinkat(int(f.folder.Fd()), f.numbered(n), 0) == nil; n++ {
	}
}

// rotate makes room for a new current file.
func (f *files) rotate() error {
	_ = f.drop("", nil)
	dir := int(f.folder.Fd())
	if f.maxFiles == 1 {
		if err := unix.Unlinkat(dir, f.name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove %s: %w", f.name, err)
		}
	}
	for n := f.maxFiles - 1; n > 0; n-- {
		if err := unix.Renameat(dir, f.numbered(n-1), dir, f.numbered(n)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("rename %s to %s: %w", f.numbered(n-1), f.numbered(n), err)
		}
	}
	return nil
}

// numbered is the name of the file of a number; 0 is the current one.
func (f *files) numbered(n int) string {
	if n == 0 {
		return f.name
	}
	return f.name + "." + strconv.Itoa(n)
}

// drop lets go of the current file, because of an error if there is one.
func (f *files) drop(operation string, err error) error {
	_ = f.current.Close() // what was written is written; nothing is synced
	f.current = nil
	if err != nil {
		return fmt.Errorf("%s %s: %w", operation, f.name, err)
	}
	return nil
}

func (f *files) close() {
	if f.current != nil {
		_ = f.current.Close()
	}
	_ = f.folder.Close()
}
