package audit

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// current is the file that is written to. Those before it have a number after it.
const current = "audit.log"

func fileName(n int) string {
	if n == 0 {
		return current
	}
	return current + "." + strconv.Itoa(n)
}

// open opens the file that is written to. The mutex is held, or nobody else knows the log yet.
func (l *Log) open() error {
	file, err := l.root.OpenFile(current, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: current, Err: errors.New("it is not a file")}
	}
	if err == nil {
		err = file.Chmod(0o600)
	}
	last := []byte{'\n'}
	if err == nil && info.Size() > 0 {
		_, err = file.ReadAt(last, info.Size()-1)
	}
	if err != nil {
		_ = file.Close()
		return err
	}
	l.file, l.size, l.torn = file, info.Size(), last[0] != '\n'
	return nil
}

// rotate begins the next file. Where that fails the one that is there grows on. The mutex is held.
func (l *Log) rotate() {
	if err := l.shift(); err != nil {
		l.log.Error("begin the next audit file", zap.Error(err))
		return
	}
	if err := l.finish(); err != nil {
		l.log.Error("end an audit file", zap.Error(err))
	}
	l.file, l.size, l.torn = nil, 0, false
	l.generation++
	l.syncFolder()
}

// shift gives each file the number after its own; the last one goes.
func (l *Log) shift() error {
	for n := l.options.MaxFiles - 1; n >= 0; n-- {
		var err error
		if n == l.options.MaxFiles-1 {
			err = l.root.Remove(fileName(n))
		} else {
			err = l.root.Rename(fileName(n), fileName(n+1))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncFolder brings the names to the disk.
func (l *Log) syncFolder() {
	dir, err := l.root.Open(".")
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		l.log.Error("bring the names of audit files to the disk", zap.Error(err))
	}
}

// resume finds how many files there are and what the last record's number is. Files above the bound, which was higher
// once, are removed.
func (l *Log) resume() error {
	dir, err := l.root.Open(".")
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	last := 0
	for _, name := range names {
		n := number(name)
		if n >= l.options.MaxFiles {
			if err = l.root.Remove(name); err != nil {
				return err
			}
			continue
		}
		last = max(last, n)
	}
	l.generation = uint64(last)
	for n := 0; n <= last && l.sequence == 0; n++ {
		if l.sequence, err = l.lastSequence(fileName(n)); err != nil {
			return err
		}
	}
	return nil
}

// number is that of an older file, -1 for any other.
func number(name string) int {
	if len(name) <= len(current)+1 || name[:len(current)+1] != current+"." {
		return -1
	}
	n, err := strconv.Atoi(name[len(current)+1:])
	if err != nil || n < 1 || fileName(n) != name {
		return -1
	}
	return n
}

// lastSequence is the number of the last record of a file, 0 if there is none.
func (l *Log) lastSequence(name string) (uint64, error) {
	file, err := l.openFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	from := max(0, info.Size()-4*maxLine)
	tail := make([]byte, info.Size()-from)
	n, err := file.ReadAt(tail, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	lines := bytes.Split(tail[:n], []byte{'\n'})
	for _, line := range slices.Backward(lines) {
		if r := decode(line); r != nil {
			return r.GetSequence(), nil
		}
	}
	return 0, nil
}

// openFile opens a file to be read.
func (l *Log) openFile(name string) (*os.File, error) {
	return l.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}
