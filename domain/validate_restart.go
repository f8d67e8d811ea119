package domain

import davitv1 "github.com/davitd/davit/proto/davit/v1"

// What restarts may be held back by, and counted in. The default is the monitor's.
const (
	maxDelayMS, defaultDelayMS = 3600000, 100
	maxRestarts                = 1000
	maxIntervalS               = 604800
)

// restart refuses measures of restarts that no restart could follow.
func (v *validator) restart(r *davitv1.Restart) {
	if r == nil {
		return
	}
	v.within("restart.delay_ms", r.DelayMs, maxDelayMS)
	v.within("restart.max_delay_ms", r.MaxDelayMs, maxDelayMS)
	v.within("restart.limit", r.Limit, maxRestarts)
	v.within("restart.interval_s", r.IntervalS, maxIntervalS)
	delay := uint32(defaultDelayMS)
	if r.DelayMs != nil {
		delay = r.GetDelayMs()
	}
	if most := r.GetMaxDelayMs(); most > 0 && most < delay {
		v.fault("restart.max_delay_ms", "the longest delay, %d ms, is below the first, %d ms", most, delay)
	}
	if r.IntervalS != nil && r.Limit == nil {
		v.fault("restart.interval_s", "an interval counts restarts for a limit, and there is none")
	}
}

// within refuses a number that is there and not from 1 to a greatest.
func (v *validator) within(field string, n *uint32, most uint32) {
	if n != nil && (*n < 1 || *n > most) {
		v.fault(field, "%d is not in the range 1 to %d", *n, most)
	}
}
