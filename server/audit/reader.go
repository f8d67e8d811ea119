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

// reader reads the records of a log in their order, from the oldest on, out of the files of each kind.
type reader struct {
	log   *Log
	parts []*part
	// known is a record's number: each record up to it was written before the parts were looked at.
	known uint64
}

// newReader reads from the oldest file on. Files that were last written before since are passed over.
func (l *Log) newReader(since time.Time) *reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &reader{log: l}
	for _, s := range l.all() {
		oldest := min(s.generation, uint64(s.maxFiles-1))
		r.parts = append(r.parts, &part{series: s, since: since, generation: s.generation - oldest})
	}
	return r
}

func (r *reader) close() {
	for _, p := range r.parts {
		p.close()
	}
}

// change is closed at the next record.
func (l *Log) change() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// last is the number of the last record.
func (l *Log) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sequence
}

// next gives the next record, nil if there is none yet.
func (r *reader) next() (*davitv1.AuditRecord, error) {
	first, err := r.earliest()
	if err != nil || first == nil {
		return nil, err
	}
	if first.head.GetSequence() > r.known {
		// One before it may have come to files that were looked at before. All that this one follows is there now.
		r.known = r.log.last()
		if first, err = r.earliest(); err != nil {
			return nil, err
		}
	}
	record := first.head
	first.head = nil
	return record, nil
}

// earliest is the part whose next record has the lowest number, nil if there is no record.
func (r *reader) earliest() (first *part, err error) {
	for _, p := range r.parts {
		if p.head == nil {
			if p.head, err = p.next(); err != nil {
				return nil, err
			}
		}
		if p.head != nil && (first == nil || p.head.GetSequence() < first.head.GetSequence()) {
			first = p
		}
	}
	return first, nil
}

// part reads the records of one kind. Files that are rotated away while it has them open are read to their end.
type part struct {
	series     *series
	head       *davitv1.AuditRecord // read and not given yet; nil when it has to be read
	since      time.Time
	file       *os.File
	generation uint64 // of the file
	ended      bool   // the next file was begun before this one was looked at last
	input      *bufio.Reader
	line       []byte // that has no end yet
	long       bool   // it is too long to be a record
}

func (r *part) close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
		r.file = nil
	}
}

// next gives the next record, nil if there is none yet.
func (r *part) next() (*davitv1.AuditRecord, error) {
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
func (r *part) over() bool {
	r.series.log.mu.Lock()
	defer r.series.log.mu.Unlock()
	r.ended = r.series.generation > r.generation
	return r.ended
}

// open opens the file of the generation, or the oldest after it that is there. more is false when there is none yet.
func (r *part) open() (more bool, err error) {
	r.series.log.mu.Lock()
	defer r.series.log.mu.Unlock()
	if r.series.log.closed {
		return false, os.ErrClosed
	}
	for ; r.generation <= r.series.generation; r.generation++ {
		file, err := r.series.openFile(r.series.fileName(int(r.series.generation - r.generation)))
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
		if old := r.generation < r.series.generation && info.ModTime().Add(time.Second).Before(r.since); old || !info.Mode().IsRegular() {
			_ = file.Close()
			continue
		}
		r.file, r.ended, r.line, r.long = file, false, nil, false
		r.input = bufio.NewReaderSize(file, maxLine)
		return true, nil
	}
	r.generation = r.series.generation
	return false, nil
}

// readLine gives the next line without its end once it is whole, io.EOF before. A line that is too long is empty.
func (r *part) readLine() ([]byte, error) {
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
