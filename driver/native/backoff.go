package native

import (
	"time"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// backoff is how restarts are held back, in a monitor's words; nil where the definition leaves that to it.
func backoff(r *davitv1.Restart) *monitorv1.Backoff {
	if r == nil {
		return nil
	}
	ns := func(n uint32, unit time.Duration) uint64 { return uint64(n) * uint64(unit) }
	return &monitorv1.Backoff{
		DelayNs: ns(r.GetDelayMs(), time.Millisecond), MaxDelayNs: ns(r.GetMaxDelayMs(), time.Millisecond),
		Limit: r.GetLimit(), IntervalNs: ns(r.GetIntervalS(), time.Second),
	}
}
