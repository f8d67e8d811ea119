package events

import (
	"os"

	"github.com/google/uuid"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Storage is what a segment is written with.
type Storage = storage

// Sizes of a frame beside its payload, and of a segment's header.
const (
	FrameOverhead = frameHead + frameTail
	SegmentHead   = segmentHead
)

// WithBoot pretends that the host's boot has another id.
func (o Options) WithBoot(id string) Options {
	o.boot = id
	return o
}

// WithStorage writes segments through what wrap makes of their files.
func (o Options) WithStorage(wrap func(*os.File) Storage) Options {
	o.create = func(f *os.File) (storage, error) { return wrap(f), nil }
	return o
}

// Segment makes a segment's file whose checksums are right, whatever its payloads are: the origins first.
func Segment(payloads ...[]byte) []byte {
	b := encodeHead(uuid.UUID{1}, 1, nil)[:segmentHead]
	for _, p := range payloads {
		b = appendFrame(b, p)
	}
	return b
}

// Payloads are those of an origin and of an event.
func Payloads(ev *davitv1.Event, from Origin) (origins, event []byte, err error) {
	event, err = encodeEvent(1, ev, from)
	return encodeOrigins(map[string]stamped{ev.GetUuid(): {Origin: from, at: 1}}), event, err
}

// Origins counts the domains with an origin.
func (j *Journal) Origins() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.origins)
}

// Kill leaves the journal as a process that is killed does: nothing more is written.
func (j *Journal) Kill() {
	j.mu.Lock()
	j.closed = true
	close(j.wake)
	j.mu.Unlock()
	close(j.sync.quit)
	<-j.sync.done
	_ = j.active.Close()
	for _, f := range j.sync.retired {
		_ = f.Close()
	}
	_ = j.root.Close()
}

// Held is how many events the watcher keeps in memory for itself.
func (w *Watcher) Held() int { return len(w.batch) }
