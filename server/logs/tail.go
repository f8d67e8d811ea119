package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
)

// lastLines finds where the last n lines whose records match begin, reading backwards from the end: the index of the
// segment and the place in it. Where there are fewer it is the beginning of the first. A line that was written in parts
// counts once, unless what others said stands between them. It stops when ctx ends.
func lastLines(
	ctx context.Context, list []*segment, n uint64, match func(record) bool,
) (index int, at int64, err error) {
	if n == 0 && len(list) > 0 {
		last := len(list) - 1
		return last, list[last].size, nil
	}
	b := &backward{buf: make([]byte, window+maxHead), left: n, match: match}
	for i, s := range slices.Backward(list) {
		b.segment = i
		if err := b.scan(ctx, s); err != nil {
			return 0, 0, err
		}
		if b.done {
			break
		}
	}
	if b.left > 0 {
		return 0, 0, nil
	}
	return b.begin.segment, b.begin.at, nil
}

// backward counts lines down.
type backward struct {
	buf   []byte
	left  uint64
	match func(record) bool

	segment int // that is looked through
	begin   struct {
		segment int
		at      int64
	} // of the lines that were counted
	origin []byte // of the record there
	done   bool   // a record before them is none of theirs
}

// scan looks through a segment from its end until it is known where the lines begin.
func (b *backward) scan(ctx context.Context, s *segment) error {
	end := int64(-1) // of the record that is looked for the beginning of; none yet
	for high := s.size; high > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		low := max(high-window, 0)
		// What follows the block has the rest of a head that begins in it.
		data := b.buf[:min(high-low+maxHead, s.size-low)]
		n, err := s.file.ReadAt(data, low)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		data = data[:n]
		block := data[:min(int64(n), high-low)]
		for len(block) > 0 {
			i := bytes.LastIndexByte(block, '\n')
			if i < 0 {
				break
			}
			if begin := low + int64(i) + 1; end >= 0 && b.count(data[i+1:], begin, end-begin) {
				return nil
			}
			end, block = low+int64(i), block[:i]
		}
		if low == 0 && end >= 0 {
			b.count(data, 0, end)
		}
		high = low
	}
	return nil
}

// count counts the record at the beginning of data, which begins at a place and whose line has a length. It tells whether
// it belongs to none of the lines any more.
func (b *backward) count(data []byte, at, length int64) (done bool) {
	r, ok := parse(data[:min(int64(len(data)), length, maxHead)])
	if !ok || !b.match(r) {
		return false
	}
	switch {
	case r.partial && bytes.Equal(r.origin, b.origin):
		// The rest of its line was counted.
	case b.left == 0:
		b.done = true
		return true
	default:
		b.left--
	}
	b.begin.segment, b.begin.at = b.segment, at
	b.origin = append(b.origin[:0], r.origin...)
	return false
}
