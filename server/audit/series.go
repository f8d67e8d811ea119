package audit

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// The files that are written to. Those before them have a number after it.
const (
	current        = "audit.log"
	currentRefused = "refused.log"
)

// series is files of records of one kind, of which the oldest goes first. All is done with the log's mutex held.
type series struct {
	log      *Log
	name     string // of the file that is written to
	maxFiles int

	file       *os.File // nil when it is not open
	size       int64
	torn       bool   // the file does not end with a line's end
	generation uint64 // how many files were begun before the one that is written to
}

func (s *series) fileName(n int) string {
	if n == 0 {
		return s.name
	}
	return s.name + "." + strconv.Itoa(n)
}

// open opens the file that is written to.
func (s *series) open() error {
	file, err := s.log.root.OpenFile(s.name, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: s.name, Err: errors.New("it is not a file")}
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
	s.file, s.size, s.torn = file, info.Size(), last[0] != '\n'
	return nil
}

// write writes a line, which ends with its end, to the file or the next.
func (s *series) write(line []byte) error {
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.size > 0 && s.size+int64(len(line)) > s.log.options.MaxFileBytes {
		s.rotate()
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := s.log.options.write(s.file, line)
	s.size += int64(n)
	switch {
	case err == nil:
		s.torn = false
	case n > 0: // a part of it is there
		s.torn = line[n-1] != '\n'
	}
	s.log.syncSoon()
	return err
}

// rotate begins the next file. Where that fails the one that is there grows on.
func (s *series) rotate() {
	if err := s.shift(); err != nil {
		s.log.log.Error("begin the next audit file", zap.Error(err))
		return
	}
	s.log.retire(s.file)
	s.file, s.size, s.torn = nil, 0, false
	s.generation++
}

// shift gives each file the number after its own; the last one goes.
func (s *series) shift() error {
	for n := s.maxFiles - 1; n >= 0; n-- {
		var err error
		if n == s.maxFiles-1 {
			err = s.log.root.Remove(s.fileName(n))
		} else {
			err = s.log.root.Rename(s.fileName(n), s.fileName(n+1))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// resume finds how many files there are, and what the last record's number is: that of the log, if it is the highest. Files
// above the bound, which was higher once, are removed.
func (s *series) resume() error {
	dir, err := s.log.root.Open(".")
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	last := 0
	for _, name := range names {
		n := s.number(name)
		if n >= s.maxFiles {
			if err = s.log.root.Remove(name); err != nil {
				return err
			}
			continue
		}
		last = max(last, n)
	}
	s.generation = uint64(last)
	sequence := uint64(0)
	for n := 0; n <= last && sequence == 0; n++ {
		if sequence, err = s.lastSequence(s.fileName(n)); err != nil {
			return err
		}
	}
	s.log.sequence = max(s.log.sequence, sequence)
	return nil
}

// number is that of an older file, -1 for any other.
func (s *series) number(name string) int {
	digits, is := strings.CutPrefix(name, s.name+".")
	if !is {
		return -1
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || s.fileName(n) != name {
		return -1
	}
	return n
}

// lastSequence is the number of the last record of a file, 0 if there is none.
func (s *series) lastSequence(name string) (uint64, error) {
	file, err := s.openFile(name)
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
func (s *series) openFile(name string) (*os.File, error) {
	return s.log.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}
