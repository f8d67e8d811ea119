// Package metric counts and measures what the daemon does: histograms of how long things take, kept in memory since the daemon was started.
//
//	phases := metric.NewFamily("davit_start_phase_seconds", "How long each phase of a start takes.", "phase")
//	phases.Of("prepare").Observe(took)
//
// An observation costs two atomic additions; to find the histogram takes a lock that those who find one share. How many histograms there
// are is bounded, so that no name that comes from outside fills the memory: beyond [Most] they are counted under the label "other".
package metric

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Most is how many values of a label are told apart.
const Most = 64

// other is the label's value of all that are not.
const other = "other"

// bounds are those of the buckets: from a twentieth of a millisecond to ten seconds, by a factor of about two.
var bounds = []time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// Histogram tells how many durations were how long. It may be used by any number of goroutines.
type Histogram struct {
	counts []atomic.Uint64 // one more than there are bounds
	sum    atomic.Int64
}

func newHistogram() *Histogram { return &Histogram{counts: make([]atomic.Uint64, len(bounds)+1)} }

// Observe takes in a duration.
func (h *Histogram) Observe(d time.Duration) {
	i, _ := slices.BinarySearch(bounds, d)
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Family is the histograms of one name, one for each value of a label.
type Family struct {
	name, help, label string

	mu   sync.RWMutex
	each map[string]*Histogram
}

// NewFamily makes a family. With an empty label it has one histogram, of the empty value.
func NewFamily(name, help, label string) *Family {
	return &Family{name: name, help: help, label: label, each: make(map[string]*Histogram)}
}

// Of gives the histogram of a value of the label.
func (f *Family) Of(value string) *Histogram {
	f.mu.RLock()
	h := f.each[value]
	f.mu.RUnlock()
	if h != nil {
		return h
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.each[value]; !there && len(f.each) >= Most {
		value = other
	}
	if f.each[value] == nil {
		f.each[value] = newHistogram()
	}
	return f.each[value]
}

// Histograms tells the family, in order of the label.
func (f *Family) Histograms() []*davitv1.Histogram {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var list []*davitv1.Histogram
	for _, value := range slices.Sorted(maps.Keys(f.each)) {
		h := f.each[value]
		told := &davitv1.Histogram{Name: f.name, Help: f.help, Sum: time.Duration(h.sum.Load()).Seconds()}
		if f.label != "" {
			told.Labels = map[string]string{f.label: value}
		}
		for _, b := range bounds {
			told.Bounds = append(told.Bounds, b.Seconds())
		}
		for i := range h.counts {
			told.Counts = append(told.Counts, h.counts[i].Load())
		}
		list = append(list, told)
	}
	return list
}
