package slack_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/slack"
	"github.com/davitd/davit/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// threads are those of this process, in the order in which they were made.
func threads(t *testing.T) []string {
	t.Helper()
	folder, err := os.Open("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	names, err := folder.Readdirnames(0)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// slackOf is the slack of a thread; ok is false if that is gone.
func slackOf(t *testing.T, thread string) (d time.Duration, ok bool) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + thread + "/timerslack_ns")
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n), true
}

// The thread that sleeps again and again while this test works is the first one with the slack; the main thread has the usual one. A
// thread that the watcher made between two looks may have its slack, too.
func TestWiden(t *testing.T) {
	testenv.Require(t, testenv.Root)
	const many = 12
	if err := slack.Widen(many); err != nil {
		t.Fatal(err)
	}
	all := threads(t)
	if len(all) < many {
		t.Errorf("there are %d threads, not %d", len(all), many)
	}
	watcher := ""
	for _, thread := range all {
		if d, ok := slackOf(t, thread); ok && d == slack.Watcher && watcher == "" {
			watcher = thread
		}
	}
	if watcher == "" || watcher == strconv.Itoa(os.Getpid()) {
		t.Fatalf("thread %q has the slack of the one that watches; threads are %q", watcher, all)
	}
	sleeps := strconv.Itoa(unix.SYS_NANOSLEEP) + " "
	for begun := time.Now(); ; {
		call, err := os.ReadFile("/proc/self/task/" + watcher + "/syscall")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(call), sleeps) {
			return
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("thread %s never sleeps for a moment, it is in %q", watcher, call)
		}
	}
}

// Who may not do it is none the worse for it.
func TestWidenWithoutRight(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may")
	}
	before := threads(t)
	if err := slack.Widen(0); err != nil {
		t.Fatal(err)
	}
	for _, thread := range before {
		if d, ok := slackOf(t, thread); ok && d == slack.Watcher {
			t.Errorf("thread %s has the slack of the one that watches; threads are %q", thread, before)
		}
	}
}
