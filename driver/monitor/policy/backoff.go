package policy

import (
	"slices"
	"strconv"
	"time"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// The measures of the back-off where the policy has none.
const (
	// FirstDelay holds back the second restart of a loop; the first is not held back.
	FirstDelay = 100 * time.Millisecond
	// MaxDelay is the most that a restart is held back.
	MaxDelay = 30 * time.Second
	// Interval is the time in which restarts are counted, where they are.
	Interval = 10 * time.Minute
)

// Stable is how long an init must have run for its end not to count as part of a loop.
const Stable = time.Minute

// maxCounted bounds what is remembered of a container's restarts, whatever a policy says.
const maxCounted = 1000

// Backoff slows a container that restarts in a loop. The first restart comes at once; each that follows an init that ran
// for less than [Stable] is held back twice as long as the one before it, from the policy's first delay to its longest. An init
// that ran longer begins anew. The policy may change from one call to the next. The zero value is ready.
type Backoff struct {
	next time.Duration
	made []time.Time // the restarts that may count, oldest first; none while there is no limit
}

// Delay tells how long the restart is held back that follows an init that ran that long.
func (b *Backoff) Delay(m *monitorv1.Backoff, ran time.Duration) time.Duration {
	first := measure(m.GetDelayNs(), FirstDelay)
	most := max(first, measure(m.GetMaxDelayNs(), MaxDelay))
	if ran >= Stable {
		b.next = 0
	}
	delay := min(b.next, most)
	b.next = min(max(2*delay, first), most)
	return delay
}

// Count counts a restart that is decided on now and held back, and tells whether there may be it. One that may not is not
// counted. A limit counts from when it was set.
func (b *Backoff) Count(m *monitorv1.Backoff, now time.Time, delay time.Duration) bool {
	limit := int(min(m.GetLimit(), maxCounted))
	if limit == 0 {
		b.made = nil
		return true
	}
	since := now.Add(-measure(m.GetIntervalNs(), Interval))
	recent := b.made
	if i := slices.IndexFunc(recent, func(at time.Time) bool { return at.After(since) }); i >= 0 {
		recent = recent[i:]
	} else {
		recent = nil
	}
	if len(recent) >= limit {
		return false
	}
	b.made = append(slices.Clone(recent), now.Add(delay))
	return true
}

// maxMeasure is the longest time that a policy is taken at its word, so that twice of it is one, too.
const maxMeasure = 365 * 24 * time.Hour

func measure(ns uint64, otherwise time.Duration) time.Duration {
	if ns == 0 {
		return otherwise
	}
	return time.Duration(min(ns, uint64(maxMeasure)))
}

// LimitWords are the limit of restarts in words: "5 restarts within 10m0s".
func LimitWords(m *monitorv1.Backoff) string {
	restarts := " restarts within "
	if m.GetLimit() == 1 {
		restarts = " restart within "
	}
	return strconv.FormatUint(uint64(m.GetLimit()), 10) + restarts + measure(m.GetIntervalNs(), Interval).String()
}
