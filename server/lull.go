package server

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// lullTime without a call is when a daemon takes a breath. A console that starts a domain every second never lets it.
	lullTime = 3 * time.Second
	// lullBytes is what must be to be had: less is worth no collection, and is used again at once.
	lullBytes = 8 << 20
)

// lull gives the memory back that calls have used, once there are none for a while: a burst of a thousand starts leaves garbage of as much
// as what lives, and the runtime looks for it only when more is asked for. It uses no time while nothing is called.
type lull struct {
	after time.Duration
	spare func() uint64 // how much there is to give back
	give  func()

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func newLull() *lull { return &lull{after: lullTime, spare: spareMemory, give: debug.FreeOSMemory} }

// disturb tells that something is done, and puts off the giving.
func (l *lull) disturb() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
	case l.timer == nil:
		l.timer = time.AfterFunc(l.after, l.breathe)
	default:
		l.timer.Reset(l.after)
	}
}

func (l *lull) breathe() {
	if l.spare() >= lullBytes {
		l.give()
	}
}

// close ends it.
func (l *lull) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// spareMemory is what a collection and the kernel could have: what was made since the last collection, and what is free and not given back.
func spareMemory() uint64 {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	objects, live, free := s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64()
	return objects - min(objects, live) + free
}
