package audit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// maxLine is the longest line that is a record; those that are written have a few KiB.
const maxLine = 64 << 10

// reader reads records from the oldest on. Files that are rotated away while it has them open are read to their end.
type reader struct {
	log        *Log
	since      time.Time // files that were last written before then are passed over
	file       *os.File
	generation uint64 // of the file
	ended      bool   // the next file was begun before this one was looked at last
	input      *bufio.Reader
	line       []byte // that has no end yet
	long       bool   // it is too long to be a record
}

// newReader reads from the oldest file on.
func (l *Log) newReader(since time.Time) *reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := min(l.generation, uint64(l.options.MaxFiles-1))
	return &reader{log: l, since: since, generation: l.generation - oldest}
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
		r.file = nil
	}
}

// change is closed at the next record.
func (l *Log) change() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// next gives the next record, nil if there is none yet.
func (r *reader) next() (*davitv1.AuditRecord, error) {
	for {
		if r.file == nil {
			if more, err := r.open(); err != nil || !more {
				return nil, err
			}
		}
		line, err := r.readLine()
		switch {
		case err == nil:
			if record := decode(line); record != nil {
				return record, nil
			}
		case !errors.Is(err, io.EOF):
			return nil, err
		case r.ended:
			r.close()
			r.generation++
		case !r.over():
			return nil, nil
		}
	}
}

// over tells whether nothing is added to the file any more; then it has to be looked at once more.
func (r *reader) over() bool {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.ended = r.log.generation > r.generation
	return r.ended
}

// open opens the file of the generation, or the oldest after it that is there. more is false when there is none yet.
func (r *reader) open() (more bool, err error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.log.closed {
		return false, os.ErrClosed
	}
	for ; r.generation <= r.log.generation; r.generation++ {
		file, err := r.log.openFile(fileName(int(r.log.generation - r.generation)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		info, err := file.Stat()
		if err != nil {
			_ = file.Close()
			return false, err
		}
		if old := r.generation < r.log.generation && info.ModTime().Add(time.Second).Before(r.since); old || !info.Mode().IsRegular() {
			_ = file.Close()
			continue
		}
		r.file, r.ended, r.line, r.long = file, false, nil, false
		r.input = bufio.NewReaderSize(file, maxLine)
		return true, nil
	}
	r.generation = r.log.generation
	return false, nil
}

// readLine gives the next line without its end once it is whole, io.EOF before. A line that is too long is empty.
func (r *reader) readLine() ([]byte, error) {
	for {
		piece, err := r.input.ReadSlice('\n')
		if r.long || len(r.line)+len(piece) > maxLine {
			r.long, r.line = true, nil
		} else {
			r.line = append(r.line, piece...)
		}
		switch {
		case err == nil:
			line := r.line
			r.line, r.long = nil, false
			return bytes.TrimSuffix(line, []byte{'\n'}), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
