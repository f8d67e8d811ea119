package launch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// onThread calls f on a thread of its own, which ends with it. Whatever f changes about the thread, nobody inherits.
//
// The main thread of the process is never taken: /proc/self shows what the main thread sees, and it cannot end.
func onThread[T any](f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	work := func() {
		value, err := f()
		done <- outcome{value, err}
	}
	select {
	case hand := <-ready.hands:
		hand <- work
	default:
		go apart(work)
	}
	got := <-done
	return got.value, got.err
}

// leaveHost takes the calling thread out of what it shares with the host: it gets a copy of the mount table into which
// mounts of the host still come, and out of which none goes, and a umask of its own.
func leaveHost() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts slaves: %w", err)
	}
	unix.Umask(0)
	return nil
}
