package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A watcher that is behind reads so much of a segment at once, and keeps so many events of it at most, because it may
// be one of thousands whose callers do not read.
const (
	batchBytes  = 2 * maxPayload
	batchEvents = 64
)

// WatchOptions says from where and what.
type WatchOptions struct {
	// After begins after this position.
	After *davitv1.EventPosition
	// Oldest begins with the oldest event that is kept. Without either the watcher begins now.
	Oldest bool
	// UUIDs are the domains; all when empty.
	UUIDs []string
	// Kinds are the kinds of events; all when empty.
	Kinds []davitv1.EventKind
}

// Watcher gives events one after the other. It holds nothing that has to be closed and is used by one goroutine.
type Watcher struct {
	j      *Journal
	pass   filter
	next   uint64
	live   bool             // it was up to date once
	batch  []*davitv1.Event // read from the files, first is number next
	from   uint64           // segment that the batch came from, by its first number
	offset int64            // where the batch ended
}

// Watch begins to watch. It refuses, with OUT_OF_RANGE, a position that was not of this epoch or whose following events
// are no longer kept.
func (j *Journal) Watch(ctx context.Context, o WatchOptions) (*Watcher, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, closing("watch events")
	}
	oldest, newest := j.oldest(), j.newest()
	w := &Watcher{j: j, pass: newFilter(o), next: newest + 1}
	switch at := o.After; {
	case at != nil:
		if at.GetEpoch() != j.epoch || at.GetSequence() > newest || at.GetSequence()+1 < oldest {
			return nil, truncated(at, j.epoch, oldest, newest)
		}
		w.next = at.GetSequence() + 1
	case o.Oldest:
		w.next = oldest
	}
	return w, nil
}

// Position is up to where the watcher has seen all that passes its filter: who begins after it misses nothing and
// sees nothing twice. It moves over events that do not pass while [Watcher.Next] waits.
func (w *Watcher) Position() *davitv1.EventPosition {
	return &davitv1.EventPosition{Epoch: w.j.epoch, Sequence: w.next - 1}
}

// Next waits for the next event that passes the filter. The event is shared: it must not be changed. When ctx ends, or
// with any other error, no event is lost: Next may be called again.
func (w *Watcher) Next(ctx context.Context) (*davitv1.Event, error) {
	for {
		ev, wait, err := w.look()
		if err != nil {
			return nil, err
		}
		if ev == nil && wait == nil {
			ev, err = w.replay()
			if err != nil {
				return nil, err
			}
		}
		if ev != nil {
			w.next++
			if w.pass.passes(ev) {
				return ev, nil
			}
			continue
		}
		if wait == nil {
			continue // look says what happened meanwhile
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// batchSent bounds what a batch is as it is sent, in bytes: far below what clients take at once.
const batchSent = 256 << 10

// Take adds events to a batch that are there already and pass the filter, so many at most; what is not taken the next call of
// [Watcher.Next] gives. The events are added as the bytes that are sent, which are made once for all watchers: Go code that looks
// into the batch does not find them.
func (w *Watcher) Take(batch *davitv1.EventBatch, most int) {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []byte
	for ; most > 0 && !j.closed && w.next <= j.newest() && len(all) < batchSent; w.next++ {
		i, ok := j.recent.find(w.next)
		if !ok {
			break
		}
		if !w.pass.passes(j.recent.events[i]) {
			continue
		}
		one, err := j.recent.encoded(i)
		if err != nil {
			break // Next tells it, and whoever sends it fails
		}
		all = append(all, one...)
		most--
	}
	if all != nil {
		batch.ProtoReflect().SetUnknown(all)
	}
}

// look finds the next event in memory. If there is none yet it gives the channel that tells of the next; if it is in
// the files only, neither.
func (w *Watcher) look() (*davitv1.Event, <-chan struct{}, error) {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	newest := j.newest()
	switch {
	case j.closed:
		return nil, nil, closing("watch events")
	case w.next < j.oldest(), w.live && newest+1-w.next > uint64(j.opts.MaxLag):
		return nil, nil, tooSlow(w.Position(), newest)
	case w.next > newest:
		w.live, w.batch = true, nil
		return nil, j.wake, nil
	}
	ev, _ := j.recent.get(w.next)
	return ev, nil, nil
}

// replay gives the next event from the files, nil if its segment is gone or the journal closed.
func (w *Watcher) replay() (*davitv1.Event, error) {
	// Events that were found in memory meanwhile are passed over.
	for len(w.batch) > 0 && w.batch[0].GetPosition().GetSequence() < w.next {
		w.batch = w.batch[1:]
	}
	if len(w.batch) == 0 {
		err := w.read()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("watch events: %w", err)
		}
	}
	ev := w.batch[0]
	w.batch = w.batch[1:]
	return ev, nil
}

// read takes the next batch of events, from number next on, out of its segment.
func (w *Watcher) read() error {
	seg, ok := w.j.find(w.next)
	if !ok {
		return fs.ErrNotExist
	}
	if w.from != seg.first {
		w.from, w.offset = seg.first, seg.start
	}
	f, err := w.j.root.Open(seg.name())
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	chunk := make([]byte, batchBytes)
	for len(w.batch) == 0 {
		n, err := f.ReadAt(chunk[:min(batchBytes, seg.size-w.offset)], w.offset)
		if err != nil && (!errors.Is(err, io.EOF) || n == 0) {
			return fmt.Errorf("read segment %q: %w", seg.name(), err)
		}
		if err := w.decode(chunk[:n]); err != nil {
			return fmt.Errorf("read segment %q at offset %d: %w", seg.name(), w.offset, err)
		}
	}
	return nil
}

// decode takes whole frames off a chunk, and the events from number next on out of them, up to a batch.
func (w *Watcher) decode(chunk []byte) error {
	for whole := 0; len(w.batch) < batchEvents; whole++ {
		payload, size, err := cutFrame(chunk)
		if errors.Is(err, errShort) && whole > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := decodeRecord(payload)
		if err != nil {
			return err
		}
		if r.sequence >= w.next {
			ev, err := r.event(w.j.epoch)
			if err != nil {
				return err
			}
			w.batch = append(w.batch, ev)
		}
		chunk = chunk[size:]
		w.offset += int64(size)
	}
	return nil
}

// find gives the segment that holds an event, as it is now.
func (j *Journal) find(sequence uint64) (segment, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, seg := range j.segments {
		if seg.first <= sequence && sequence < seg.next() {
			return *seg, true
		}
	}
	return segment{}, false
}
