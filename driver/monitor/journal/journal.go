// Package journal keeps a monitor's events until davitd has stored them.
//
// Events are numbered from 1 without holes. They are kept in memory, in the form in which they travel, until they are
// acknowledged, also when nobody is there to send them to for days. A journal never drops one: when [Capacity] of them
// wait, whoever makes events waits for [Journal.Room]. The only source of many is a container that restarts in a loop,
// which the back-off slows to two events in half a minute: that fills a journal in 68 hours, and then the next restart
// waits for davitd.
package journal

import (
	"fmt"
	"sync"
	"time"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// Capacity is how many events are kept before whoever makes them has to wait.
const Capacity = 1 << 14

// reserve is what is left at [Capacity] for the events that end a container.
const reserve = 16

// Journal keeps events. The zero value is ready; it may be used from any goroutine.
type Journal struct {
	mu           sync.Mutex
	kept         [][]byte
	acknowledged uint64
	changed      chan struct{}
}

// Append numbers and dates an event and keeps it.
func (j *Journal) Append(event *monitorv1.MonitorEvent) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	event.Sequence = j.newest() + 1
	event.TimeUnixNs = time.Now().UnixNano()
	encoded, err := plain.Append(nil, event)
	if err != nil {
		return fmt.Errorf("keep event %d: %w", event.GetSequence(), err)
	}
	j.kept = append(j.kept, encoded)
	j.announce()
	return nil
}

// most is how many events fit into a frame, whatever they are.
const most = 4 << 10

// Kept are the events that nobody has acknowledged, and the sequence before them; the newest, if there are very many.
func (j *Journal) Kept() (after uint64, events []*monitorv1.MonitorEvent) {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := j.kept[max(0, len(j.kept)-most):]
	for _, encoded := range kept {
		event := new(monitorv1.MonitorEvent)
		if plain.Parse(encoded, event) != nil {
			break // never: it is our own
		}
		events = append(events, event)
	}
	return j.newest() - uint64(len(kept)), events
}

// Restore makes an empty journal go on where another ended: behind a sequence, with the events that were kept.
func (j *Journal) Restore(after uint64, events []*monitorv1.MonitorEvent) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acknowledged = after
	for _, event := range events {
		encoded, err := plain.Append(nil, event)
		if err != nil || event.GetSequence() != j.newest()+1 {
			return // a hole cannot be mended; what is told next has the number behind it
		}
		j.kept = append(j.kept, encoded)
	}
}

// Acknowledge drops the events up to a sequence. One that is not there yet is refused.
func (j *Journal) Acknowledge(sequence uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if newest := j.newest(); sequence > newest {
		return fmt.Errorf("acknowledge event %d: the newest is %d", sequence, newest)
	}
	if sequence <= j.acknowledged {
		return nil
	}
	dropped := sequence - j.acknowledged
	clear(j.kept[:dropped])
	j.kept = j.kept[dropped:]
	if len(j.kept) == 0 {
		j.kept = nil // so that a long absence's array is not kept for ever
	}
	j.acknowledged = sequence
	j.announce()
	return nil
}

// Next gives the oldest kept event after a sequence; if there is none yet, a channel that is closed when there may be.
func (j *Journal) Next(after uint64) (*monitorv1.MonitorEvent, <-chan struct{}, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	after = max(after, j.acknowledged)
	if after >= j.newest() {
		return nil, j.wait(), nil
	}
	event := new(monitorv1.MonitorEvent)
	if err := plain.Parse(j.kept[after-j.acknowledged], event); err != nil {
		return nil, nil, fmt.Errorf("read event %d: %w", after+1, err)
	}
	return event, nil, nil
}

// Room tells whether a restart's events can be kept; if not, by a channel that is closed when they may be.
func (j *Journal) Room() (full <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.kept) < Capacity-reserve {
		return nil
	}
	return j.wait()
}

// Sequences are the newest event's, and that up to which they were acknowledged.
func (j *Journal) Sequences() (newest, acknowledged uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.newest(), j.acknowledged
}

func (j *Journal) newest() uint64 { return j.acknowledged + uint64(len(j.kept)) }

// wait gives the channel that the next announcement closes.
func (j *Journal) wait() <-chan struct{} {
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

// announce wakes those who wait.
func (j *Journal) announce() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}
