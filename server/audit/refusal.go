package audit

import (
	"sync"
	"time"
)

// How many refused calls are recorded: of one caller, and of all together, so many at once and then one each period. How many
// callers are told apart.
const (
	refusalBurst     = 100
	refusalPeriod    = time.Second
	allRefusalBurst  = 1000
	allRefusalPeriod = time.Second / 10
	maxCallers       = 4096
)

// bucket fills with time.
type bucket struct {
	full time.Time // when it is full again
}

// has tells whether there is one left in a bucket of a size, into which one falls each period.
func (b *bucket) has(now time.Time, size int, period time.Duration) bool {
	if b.full.Before(now) {
		b.full = now
	}
	return b.full.Sub(now) <= time.Duration(size-1)*period
}

// refusals bounds the records of refused calls, those of a caller and those of all. Each call that has none is counted, and
// told in one that has.
type refusals struct {
	mu        sync.Mutex
	callers   map[string]*refusing
	all       bucket
	forgotten uint64 // calls that have no record, of callers that are not told apart any more
}

// refusing is a caller that is refused.
type refusing struct {
	bucket
	skipped uint64 // calls that have no record
}

// admit tells whether a refused call of a caller is recorded, and how many before it were not.
func (r *refusals) admit(caller string, now time.Time) (skipped uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.callers[caller]
	if one == nil {
		if !r.makeRoom(now) {
			r.forgotten++
			return 0, false
		}
		one = &refusing{}
		r.callers[caller] = one
	}
	if !one.has(now, refusalBurst, refusalPeriod) || !r.all.has(now, allRefusalBurst, allRefusalPeriod) {
		one.skipped++
		return 0, false
	}
	one.full, r.all.full = one.full.Add(refusalPeriod), r.all.full.Add(allRefusalPeriod)
	return r.told(one), true
}

// take gives how many calls of a caller have no record, for the next one that has.
func (r *refusals) take(caller string) (skipped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told(r.callers[caller])
}

// told are the calls that have no record, of a caller that may be nil and of those that are forgotten, which are told now. The
// mutex is held.
func (r *refusals) told(one *refusing) (skipped uint64) {
	skipped, r.forgotten = r.forgotten, 0
	if one != nil {
		skipped += one.skipped
		one.skipped = 0
	}
	return skipped
}

// makeRoom tells whether there is room for one more caller. Where there are too many it forgets those that have all their
// records to come, but not their calls: nobody gets more records than he may by having others forgotten. The mutex is held.
func (r *refusals) makeRoom(now time.Time) bool {
	if r.callers == nil {
		r.callers = make(map[string]*refusing)
	}
	if len(r.callers) < maxCallers {
		return true
	}
	for caller, one := range r.callers {
		if !one.full.After(now) {
			r.forgotten += one.skipped
			delete(r.callers, caller)
		}
	}
	return len(r.callers) < maxCallers
}
