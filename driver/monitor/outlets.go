package monitor

import (
	"sync"
	"time"
)

// outlets are the streams that say what consoles and commands say. A monitor that quits lets them come to their end: whoever reads them is
// told that it is the end, and not left with a connection that broke.
type outlets struct {
	mu    sync.Mutex
	count int
	none  chan struct{} // closed when there is none; nil while nobody waits for that
}

// open counts one more, until the function that it gives is called.
func (o *outlets) open() (end func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.count--
		if o.count == 0 && o.none != nil {
			close(o.none)
			o.none = nil
		}
	}
}

// drain waits until there is none, for so long at most: a reader may have stopped reading.
func (o *outlets) drain(limit time.Duration) {
	o.mu.Lock()
	if o.count == 0 {
		o.mu.Unlock()
		return
	}
	none := make(chan struct{})
	o.none = none
	o.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	}
}
