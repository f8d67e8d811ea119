package events

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// What an [Options] with zero values stands for.
const (
	DefaultMaxEvents = 100_000
	DefaultMaxBytes  = 64 << 20
	DefaultMaxLag    = 4096
	// MinEvents and MinBytes are the least that a journal keeps.
	MinEvents = 64
	MinBytes  = 64 << 10
)

// segmentsKept is into how many files a full journal is split: the oldest is dropped as a whole.
const segmentsKept = 8

// maxOrigins bounds the origins; beyond it the one that was told longest ago is dropped.
const maxOrigins = 1 << 16

// Options says how much a journal keeps.
type Options struct {
	// MaxEvents bounds the events that are kept; at least 7/8 of it are there once the journal is full.
	MaxEvents int
	// MaxBytes bounds the size of the files.
	MaxBytes int64
	// MaxLag is how many events a watcher that was up to date may fall behind.
	MaxLag int
	// Logger hears of a disk that does not take what was written. May be nil.
	Logger *zap.Logger

	boot   string                          // id of the host's boot; the real one when empty
	create func(*os.File) (storage, error) // what writes a segment; the file itself when nil
}

// storage is what a segment is written with.
type storage interface {
	WriteAt(p []byte, at int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// Origin is the number that a domain's supervisor gave an event: the run of the domain, and the event's place in it.
// The zero value stands for an event that the engine made itself.
type Origin struct {
	// Generation of the run.
	Generation string
	// Sequence in it, from 1.
	Sequence uint64
}

// stamped is an origin and the number of the event that had it.
type stamped struct {
	Origin
	at uint64
}

// Journal is an open journal. Its methods may be called from any goroutine.
type Journal struct {
	root  *os.Root
	opts  Options
	epoch string
	id    uuid.UUID
	sync  *syncer

	mu       sync.Mutex
	segments []*segment // oldest first; the last is written to
	active   storage
	torn     bool // the active segment may be longer than its size
	recent   recent
	origins  map[string]stamped
	wake     chan struct{} // closed and replaced by each append
	closed   bool
}

// Append gives the event the next number, stores it and shows it to the watchers. The event is copied; its time is set
// if it has none. With an error nothing was stored, no number was used, and a later Append may succeed, RESOURCE_EXHAUSTED
// while no space is left, unless it is [ErrUnfit].
func (j *Journal) Append(ev *davitv1.Event, from Origin) (*davitv1.EventPosition, error) {
	ev = proto.CloneOf(ev)
	if ev.GetTime() == nil {
		ev.Time = timestamppb.New(time.Now())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, closing("append event")
	}
	sequence := j.newest() + 1
	ev.Position = &davitv1.EventPosition{Epoch: j.epoch, Sequence: sequence}
	payload, err := encodeEvent(sequence, ev, from)
	if err != nil {
		return nil, notStored(err)
	}
	frame := appendFrame(nil, payload)
	if err := j.write(frame); err != nil {
		return nil, notStored(err)
	}
	j.remember(ev.GetUuid(), stamped{Origin: from, at: sequence})
	j.recent.add(ev, len(frame))
	j.dropOldest()
	close(j.wake)
	j.wake = make(chan struct{})
	return proto.CloneOf(ev.GetPosition()), nil
}

// write stores a frame at the end of the active segment, a new one if that is full.
func (j *Journal) write(frame []byte) error {
	if seg := j.last(); seg.count > 0 && j.full(seg, len(frame)) {
		if err := j.rotate(); err != nil {
			return fmt.Errorf("begin segment: %w", err)
		}
	}
	seg := j.last()
	if j.torn {
		if err := j.active.Truncate(seg.size); err != nil {
			return fmt.Errorf("cut segment %q: %w", seg.name(), err)
		}
		j.torn = false
	}
	if _, err := j.active.WriteAt(frame, seg.size); err != nil {
		// What was written is cut off at once, or at the latest before the next event.
		j.torn = j.active.Truncate(seg.size) != nil
		return fmt.Errorf("write segment %q: %w", seg.name(), err)
	}
	seg.size += int64(len(frame))
	seg.count++
	j.sync.written()
	return nil
}

func (j *Journal) full(seg *segment, more int) bool {
	return seg.count >= uint64(j.opts.MaxEvents/segmentsKept) ||
		seg.size-seg.start+int64(more) > j.opts.MaxBytes/segmentsKept
}

// rotate begins a new segment.
func (j *Journal) rotate() error {
	seg, active, err := j.create(j.last().next())
	if err != nil {
		return err
	}
	if j.torn {
		// Only the last segment may end within a record.
		if err := j.active.Truncate(j.last().size); err != nil {
			return errors.Join(err, active.Close(), j.root.Remove(seg.name()))
		}
		j.torn = false
	}
	j.sync.retire(j.active)
	j.sync.begin(active)
	j.segments = append(j.segments, seg)
	j.active = active
	return nil
}

// create makes a segment's file, with its header and the origins.
func (j *Journal) create(first uint64) (*segment, storage, error) {
	head := encodeHead(j.id, first, j.origins)
	if err := writeSynced(j.root, newName, head); err != nil {
		return nil, nil, err
	}
	name := segmentName(first)
	if err := j.root.Rename(newName, name); err != nil {
		return nil, nil, errors.Join(err, j.root.Remove(newName))
	}
	active, err := j.openActive(name)
	if err != nil {
		return nil, nil, errors.Join(err, j.root.Remove(name))
	}
	size := int64(len(head))
	return &segment{first: first, start: size, size: size}, active, nil
}

func (j *Journal) openActive(name string) (storage, error) {
	f, err := j.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if j.opts.create != nil {
		return j.opts.create(f)
	}
	return f, nil
}

// dropOldest keeps the journal within its bounds.
func (j *Journal) dropOldest() {
	var bytes int64
	for _, seg := range j.segments {
		bytes += seg.size
	}
	for len(j.segments) > 1 && (j.newest()-j.oldest()+1 > uint64(j.opts.MaxEvents) || bytes > j.opts.MaxBytes) {
		seg := j.segments[0]
		if err := j.root.Remove(seg.name()); err != nil {
			// It is dropped all the same. What opens the journal takes it up again, or finds a gap after it
			// and begins a new epoch.
			j.opts.Logger.Warn("remove segment", zap.String("segment", seg.name()), zap.Error(err))
		}
		bytes -= seg.size
		j.segments = j.segments[1:]
	}
}

// remember keeps an event's origin.
func (j *Journal) remember(uuid string, o stamped) {
	if o.Origin == (Origin{}) || uuid == "" {
		return
	}
	if _, known := j.origins[uuid]; !known && len(j.origins) >= maxOrigins {
		stale, at := "", o.at
		for uuid, o := range j.origins {
			if o.at < at {
				stale, at = uuid, o.at
			}
		}
		delete(j.origins, stale)
	}
	j.origins[uuid] = o
}

// Origin gives the origin of the last event of a domain that had one, also after the journal was closed and opened.
func (j *Journal) Origin(uuid string) (Origin, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	o, ok := j.origins[uuid]
	return o.Origin, ok
}

// Forget drops the origin of a domain whose run is over and will not be asked for again. A journal that is opened
// anew may know it again, for as long as it keeps the event.
func (j *Journal) Forget(uuid string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.origins, uuid)
}

// Newest is the position of the newest event: number 0 if there was none yet.
func (j *Journal) Newest() *davitv1.EventPosition {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &davitv1.EventPosition{Epoch: j.epoch, Sequence: j.newest()}
}

// Oldest is the position of the oldest event that is kept; one after the newest if none is. A watcher can begin after
// the number before it, and after any later one.
func (j *Journal) Oldest() *davitv1.EventPosition {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &davitv1.EventPosition{Epoch: j.epoch, Sequence: j.oldest()}
}

func (j *Journal) last() *segment { return j.segments[len(j.segments)-1] }
func (j *Journal) newest() uint64 { return j.last().next() - 1 }
func (j *Journal) oldest() uint64 { return j.segments[0].first }

// Close ends every watcher and puts everything on disk; the epoch then goes on over a reboot of the host.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	close(j.wake)
	j.mu.Unlock()

	err := j.sync.stop()
	if err == nil {
		err = mark(j.root, markedClosed)
	}
	if err = errors.Join(err, j.active.Close(), j.root.Close()); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
