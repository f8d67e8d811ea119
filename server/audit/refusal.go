package audit

import (
	"sync"
	"time"
)

// How many refused calls of one caller are recorded, and of how many callers it is remembered.
const (
	refusalBurst  = 50
	refusalPeriod = time.Second / 10
	maxCallers    = 4096
)

// refusals bounds the records of refused calls, a caller.
type refusals struct {
	mu      sync.Mutex
	callers map[string]*refusing
}

// refusing is a caller that is refused: a bucket that fills with time.
type refusing struct {
	full    time.Time // when the bucket is full again
	skipped uint64    // calls that have no record
}

// admit tells whether a refused call of a caller is recorded, and how many before it were not.
func (r *refusals) admit(caller string, now time.Time) (skipped uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.callers[caller]
	if one == nil {
		r.makeRoom(now)
		if one = r.callers[caller]; one == nil {
			one = &refusing{full: now}
			r.callers[caller] = one
		}
	}
	if one.full.Before(now) {
		one.full = now
	}
	if one.full.Sub(now) > (refusalBurst-1)*refusalPeriod {
		one.skipped++
		return 0, false
	}
	one.full = one.full.Add(refusalPeriod)
	skipped, one.skipped = one.skipped, 0
	return skipped, true
}

// take gives how many calls of a caller have no record, for the next one that has.
func (r *refusals) take(caller string) (skipped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.callers[caller]; one != nil {
		skipped, one.skipped = one.skipped, 0
	}
	return skipped
}

// makeRoom forgets callers that were not refused of late, or all where there are too many: those then begin anew. The
// mutex is held.
func (r *refusals) makeRoom(now time.Time) {
	if r.callers == nil {
		r.callers = make(map[string]*refusing)
	}
	if len(r.callers) < maxCallers {
		return
	}
	for caller, one := range r.callers {
		if !one.full.After(now) && one.skipped == 0 {
			delete(r.callers, caller)
		}
	}
	if len(r.callers) >= maxCallers {
		clear(r.callers)
	}
}
