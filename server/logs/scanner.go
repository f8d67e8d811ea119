package logs

import (
	"bytes"
	"errors"
	"io"
)

// window is how much of a file a reader holds. A longer line is given in pieces.
const window = 64 << 10

// scanner gives the records of an open file, each once it is whole.
type scanner struct {
	*segment
	at    int64  // of the next byte that was not given
	limit int64  // reads no further; negative is no limit
	buf   []byte // of the length of a window
	data  []byte // what of it was read and not given

	long *record // of the line that is given in pieces
	skip bool    // it is no record
}

// next gives the next record. ok is false when there is none yet; it may be asked again when the file has grown.
func (s *scanner) next() (r record, ok bool, err error) {
	for {
		line, whole, err := s.line()
		if err != nil || line == nil {
			return record{}, false, err
		}
		if r, ok = s.piece(line, whole); ok {
			return r, true, nil
		}
	}
}

// piece makes a record of a line, or of a part of one.
func (s *scanner) piece(line []byte, whole bool) (r record, ok bool) {
	switch {
	case s.skip:
		s.skip = !whole
		return r, false
	case s.long != nil:
		r = *s.long
		r.text = line
		r.partial = !whole || r.partial
	default:
		if r, ok = parse(line); !ok {
			s.skip = !whole
			return r, false
		}
	}
	if whole {
		s.long = nil
		return r, true
	}
	if s.long == nil {
		s.long = &record{time: r.time, origin: bytes.Clone(r.origin), partial: r.partial}
	}
	r.partial = true
	return r, true
}

// line gives the next line without its end, or a window full of one that is longer; nil if there is none yet.
func (s *scanner) line() (line []byte, whole bool, err error) {
	for {
		if i := bytes.IndexByte(s.data, '\n'); i >= 0 {
			line, s.data = s.data[:i], s.data[i+1:]
			s.at += int64(i) + 1
			return line, true, nil
		}
		if len(s.data) == window {
			line, s.data = s.data, nil
			s.at += window
			return line, false, nil
		}
		more, err := s.fill()
		if err != nil || !more {
			return nil, false, err
		}
	}
}

// fill reads on, over what was given already.
func (s *scanner) fill() (more bool, err error) {
	have := len(s.data)
	from := s.at + int64(have)
	room := int64(window - have)
	if s.limit >= 0 {
		room = min(room, s.limit-from)
	}
	if room <= 0 {
		return false, nil
	}
	if s.buf == nil {
		s.buf = make([]byte, window)
	}
	copy(s.buf, s.data)
	n, err := s.file.ReadAt(s.buf[have:have+int(room)], from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.data = s.buf[:have+n]
	return n > 0, err
}
