package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause waits between attempts, longer each time: from 20 ms to a second, and no longer than window in all. A window
// below 0 has no end.
type pause struct {
	window time.Duration
	wait   time.Duration
	since  time.Time
}

// next waits and tells whether there is to be another attempt.
func (p *pause) next(ctx context.Context) bool {
	now := time.Now()
	if p.since.IsZero() {
		p.since = now
	}
	if p.window >= 0 && now.Sub(p.since) >= p.window {
		return false
	}
	p.wait = min(max(2*p.wait, minReconnect), maxReconnect)
	timer := time.NewTimer(p.wait/2 + rand.N(p.wait/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// reset begins anew, after a success.
func (p *pause) reset() { p.wait, p.since = 0, time.Time{} }
