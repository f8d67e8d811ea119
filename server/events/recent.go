package events

import davitv1 "github.com/davitd/davit/proto/davit/v1"

const (
	recentEvents = 1024
	recentBytes  = 1 << 20
)

// recent is the window of the newest events that is kept in memory, for watchers that keep up. It is bounded by count
// and by the size of the records.
type recent struct {
	events []*davitv1.Event // oldest first, without holes
	sizes  []int
	bytes  int
}

// add puts the newest event in.
func (r *recent) add(ev *davitv1.Event, size int) {
	r.events = append(r.events, ev)
	r.sizes = append(r.sizes, size)
	r.bytes += size
	for len(r.events) > recentEvents || (r.bytes > recentBytes && len(r.events) > 1) {
		r.bytes -= r.sizes[0]
		r.events[0] = nil // the array behind the slices lives on until append moves them
		r.events, r.sizes = r.events[1:], r.sizes[1:]
	}
}

// get finds an event by its number.
func (r *recent) get(sequence uint64) (*davitv1.Event, bool) {
	if len(r.events) == 0 {
		return nil, false
	}
	first := r.events[0].GetPosition().GetSequence()
	if sequence < first || sequence-first >= uint64(len(r.events)) {
		return nil, false
	}
	return r.events[sequence-first], true
}
