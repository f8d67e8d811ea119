package events

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	recentEvents = 1024
	recentBytes  = 1 << 20
)

// recent is the window of the newest events that is kept in memory, for watchers that keep up. It is bounded by count
// and by the size of the records.
type recent struct {
	events []*davitv1.Event // oldest first, without holes
	sent   [][]byte         // what of a batch each is, as it is sent; nil until somebody asked
	sizes  []int
	bytes  int
}

// add puts the newest event in.
func (r *recent) add(ev *davitv1.Event, size int) {
	r.events = append(r.events, ev)
	r.sent = append(r.sent, nil)
	r.sizes = append(r.sizes, size)
	r.bytes += size
	for len(r.events) > recentEvents || (r.bytes > recentBytes && len(r.events) > 1) {
		r.bytes -= r.sizes[0]
		r.events[0], r.sent[0] = nil, nil // the arrays behind the slices live on until append moves them
		r.events, r.sent, r.sizes = r.events[1:], r.sent[1:], r.sizes[1:]
	}
}

// get finds an event by its number.
func (r *recent) get(sequence uint64) (*davitv1.Event, bool) {
	i, ok := r.find(sequence)
	if !ok {
		return nil, false
	}
	return r.events[i], true
}

func (r *recent) find(sequence uint64) (int, bool) {
	if len(r.events) == 0 {
		return 0, false
	}
	first := r.events[0].GetPosition().GetSequence()
	if sequence < first || sequence-first >= uint64(len(r.events)) {
		return 0, false
	}
	return int(sequence - first), true
}

// eventsField is the number of the events in an EventBatch.
const eventsField = 1

// encoded is an event as it is sent in an EventBatch: it is made once, for all watchers. It is not to be changed.
func (r *recent) encoded(i int) ([]byte, error) {
	if r.sent[i] == nil {
		size := proto.Size(r.events[i])
		b := protowire.AppendTag(make([]byte, 0, size+8), eventsField, protowire.BytesType)
		b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(protowire.AppendVarint(b, uint64(size)), r.events[i])
		if err != nil {
			return nil, err
		}
		r.sent[i] = b
	}
	return r.sent[i], nil
}
