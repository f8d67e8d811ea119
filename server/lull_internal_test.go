package server

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Memory is given back once after calls, not between them, and not for a little.
func TestLull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spare, given atomic.Uint64
		spare.Store(lullBytes)
		l := &lull{after: lullTime, spare: spare.Load, give: func() { given.Add(1) }}
		defer l.close()
		for range 20 {
			l.disturb()
			time.Sleep(lullTime / 2)
		}
		if given.Load() != 0 {
			t.Errorf("memory was given back %d times between calls", given.Load())
		}
		time.Sleep(time.Hour)
		if given.Load() != 1 {
			t.Errorf("memory was given back %d times after the last call, want once", given.Load())
		}
		spare.Store(lullBytes - 1)
		l.disturb()
		time.Sleep(time.Hour)
		if given.Load() != 1 {
			t.Error("memory was given back for less than it is worth")
		}
		spare.Store(lullBytes)
		l.disturb()
		l.close()
		l.disturb()
		time.Sleep(time.Hour)
		if given.Load() != 1 {
			t.Error("memory was given back after the end")
		}
	})
}

// What a burst leaves counts as to be had, and is not any more once it was given back.
func TestSpareMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const burst = 64 << 20
	debug.FreeOSMemory()
	before := spareMemory()
	func() {
		garbage := make([][]byte, burst>>12)
		for i := range garbage {
			garbage[i] = make([]byte, 1<<12)
		}
		if got := spareMemory(); got < before+burst/2 {
			t.Errorf("%d bytes are to be had, and %d after %d were allocated", before, got, burst)
		}
		runtime.KeepAlive(garbage)
	}()
	debug.FreeOSMemory()
	if got := spareMemory(); got > before+burst/2 {
		t.Errorf("%d bytes are to be had, and %d after %d were freed", before, got, burst)
	}
}
