package testenv

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Netns makes a network namespace of its own, which ends with the test and whatever else holds it.
func Netns(tb testing.TB) *os.File {
	tb.Helper()
	var ns *os.File
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with its namespace
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ns.Close() })
	return ns
}
