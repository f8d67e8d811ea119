package launch_test

import (
	"os"
	"testing"
)

// setSlack sets the timer slack of all threads there are, and so of those that they make. One that ends meanwhile needs none.
func setSlack(t *testing.T, ns string) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		_ = os.WriteFile("/proc/"+thread.Name()+"/timerslack_ns", []byte(ns), 0)
	}
}

// Init and commands have the timer slack that the kernel gives by default, whatever the thread has that makes them.
func TestTimerSlackIsTheDefault(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		setSlack(t, "2000000")
		defer setSlack(t, "50000")
		const want = `/proc/self/timerslack_ns "50000\n"`
		out, _ := run(t, plan("cat", "/proc/self/timerslack_ns"))
		out.compare(t, "cat", want)
		guest := start(t, plan("pause"))
		out, _ = join(t, guest, command("cat", "/proc/self/timerslack_ns"))
		out.compare(t, "cat", want)
	})
}
