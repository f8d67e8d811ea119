// Package processor measures what work costs, for tests that bound it.
package processor

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Time is the processor time that f takes on the caller's goroutine: what a bound on its work is held to, since the time on
// the wall depends on what else the host does.
func Time(tb testing.TB, f func()) time.Duration {
	tb.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := spent(tb)
	f()
	return spent(tb) - before
}

// spent is the processor time of this thread.
func spent(tb testing.TB) time.Duration {
	tb.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &use); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
