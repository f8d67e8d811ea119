package events_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// open opens a journal that is closed with the test.
func open(tb testing.TB, dir string, o events.Options) *events.Journal {
	tb.Helper()
	j, err := events.Open(dir, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := j.Close(); err != nil {
			tb.Error(err)
		}
	})
	return j
}

// event makes the n-th event of a test: every third is an OOM, the rest lifecycle.
func event(n int) *davitv1.Event {
	ev := &davitv1.Event{Uuid: uuidOf(n % 5), Name: fmt.Sprintf("domain-%d", n), Id: uint32(n)}
	if n%3 == 0 {
		ev.Kind = &davitv1.Event_Oom{Oom: &davitv1.OomEvent{Count: uint64(n)}}
	} else {
		ev.Kind = &davitv1.Event_Lifecycle{Lifecycle: &davitv1.LifecycleEvent{
			Type: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STARTED,
		}}
	}
	return ev
}

func uuidOf(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// fill appends events from number first to last; the n-th has origin (gen-uuid, n).
func fill(tb testing.TB, j *events.Journal, first, last int) {
	tb.Helper()
	for n := first; n <= last; n++ {
		at, err := j.Append(event(n), events.Origin{Generation: "gen-" + uuidOf(n%5), Sequence: uint64(n)})
		if err != nil {
			tb.Fatalf("append %d: %v", n, err)
		}
		if at.GetSequence() != uint64(n) {
			tb.Fatalf("event %d got number %d", n, at.GetSequence())
		}
	}
}

// collect reads what a watcher gives up to event last, and sees to it that events come one after the other and each is
// the one that its number says.
func collect(tb testing.TB, w *events.Watcher, first, last int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for n := first; n <= last; n++ {
		ev, err := w.Next(ctx)
		if err != nil {
			tb.Fatalf("event %d: %v", n, err)
		}
		if got := ev.GetPosition().GetSequence(); got != uint64(n) || ev.GetName() != fmt.Sprintf("domain-%d", n) {
			tb.Fatalf("got event %d of %q, want event %d", got, ev.GetName(), n)
		}
	}
}

func watch(tb testing.TB, j *events.Journal, o events.WatchOptions) *events.Watcher {
	tb.Helper()
	w, err := j.Watch(context.Background(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// refused checks an error's reason and gives it.
func refused(tb testing.TB, err error, reason davitv1.ErrorReason) *domain.Error {
	tb.Helper()
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || e.Reason != reason {
		tb.Fatalf("error is %v, want reason %v", err, reason)
	}
	return e
}

// after is the position after event n.
func after(j *events.Journal, n int) events.WatchOptions {
	return events.WatchOptions{After: &davitv1.EventPosition{Epoch: j.Newest().GetEpoch(), Sequence: uint64(n)}}
}

// copyDir copies a folder of files, as the disk is at an instant.
func copyDir(tb testing.TB, from string) string {
	tb.Helper()
	to := filepath.Join(tb.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
	return to
}

// segments lists the paths of the segments, oldest first.
func segments(tb testing.TB, dir string) []string {
	tb.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil {
		tb.Fatal(err)
	}
	slices.SortFunc(all, strings.Compare)
	return all
}
