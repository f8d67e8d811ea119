package fake

import (
	"slices"
	"time"
)

// What holds restarts back where the definition has a <davit:restart> that does not say it.
const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 30 * time.Second
	interval   = 10 * time.Minute
	stable     = time.Minute // an init that ran for so long begins anew
)

// delay tells how long the restart is held back that follows an init that ran that long. Without <davit:restart> that is what
// the options say, always.
func (c *container) delay(ran time.Duration) time.Duration {
	r := c.def.GetRestart()
	if r == nil {
		c.nextDelay = 0
		return c.d.opts.Backoff
	}
	first, most := firstDelay, maxDelay
	if r.DelayMs != nil {
		first = time.Duration(r.GetDelayMs()) * time.Millisecond
	}
	if r.MaxDelayMs != nil {
		most = time.Duration(r.GetMaxDelayMs()) * time.Millisecond
	}
	most = max(most, first)
	if ran >= stable {
		c.nextDelay = 0
	}
	delay := min(c.nextDelay, most)
	c.nextDelay = min(max(2*delay, first), most)
	return delay
}

// count counts a restart that is held back, and tells whether there may be it.
func (c *container) count(delay time.Duration) bool {
	limit, within := int(c.def.GetRestart().GetLimit()), interval
	if limit == 0 {
		c.counted = nil
		return true
	}
	if s := c.def.GetRestart().GetIntervalS(); s > 0 {
		within = time.Duration(s) * time.Second
	}
	now := time.Now()
	c.counted = slices.DeleteFunc(c.counted, func(at time.Time) bool { return !at.After(now.Add(-within)) })
	if len(c.counted) >= limit {
		return false
	}
	c.counted = append(c.counted, now.Add(delay))
	return true
}
