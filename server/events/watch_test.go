package events_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

func TestWatchBeginsWhereItIsTold(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	fill(t, j, 1, 10)
	now := watch(t, j, events.WatchOptions{})
	fill(t, j, 11, 12)
	collect(t, now, 11, 12)
	collect(t, watch(t, j, events.WatchOptions{Oldest: true}), 1, 12)
	collect(t, watch(t, j, after(j, 7)), 8, 12)
	collect(t, watch(t, j, after(j, 0)), 1, 12)
	if got := watch(t, j, after(j, 7)).Position().GetSequence(); got != 7 {
		t.Errorf("position is %d before the first event, want 7", got)
	}
	for name, at := range map[string]*davitv1.EventPosition{
		"another epoch": {Epoch: "other", Sequence: 3},
		"no epoch":      {Sequence: 3},
		"the future":    {Epoch: j.Newest().GetEpoch(), Sequence: 13},
	} {
		_, err := j.Watch(t.Context(), events.WatchOptions{After: at})
		if err == nil {
			t.Errorf("position in %s was taken", name)
			continue
		}
		_ = refused(t, err, davitv1.ErrorReason_ERROR_REASON_EVENT_HISTORY_TRUNCATED)
	}
}

// taken are the numbers of the events that a batch has when it is sent, each of which must be the one that its number says.
func taken(t *testing.T, w *events.Watcher, most int) []uint64 {
	t.Helper()
	batch := new(davitv1.EventBatch)
	w.Take(batch, most)
	sent, err := proto.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	got := new(davitv1.EventBatch)
	if err := proto.Unmarshal(sent, got); err != nil {
		t.Fatal(err)
	}
	var numbers []uint64
	for _, ev := range got.GetEvents() {
		want := event(int(ev.GetPosition().GetSequence()))
		want.Position, want.Time = ev.GetPosition(), ev.GetTime()
		if !proto.Equal(ev, want) || ev.GetTime() == nil {
			t.Fatalf("got %v, want %v", ev, want)
		}
		numbers = append(numbers, ev.GetPosition().GetSequence())
	}
	return numbers
}

// A batch has what is there and passes, in order, so much as was asked for; what follows is not lost. It does not wait and does not
// read files.
func TestTake(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	fill(t, j, 1, 3000)
	old := watch(t, j, events.WatchOptions{Oldest: true})
	if got := taken(t, old, 10); got != nil {
		t.Errorf("took %v of what is in files only", got)
	}
	collect(t, old, 1, 20)
	w, other := watch(t, j, after(j, 2990)), watch(t, j, after(j, 2990))
	for _, w := range []*events.Watcher{w, other} {
		if got := taken(t, w, 4); !slices.Equal(got, []uint64{2991, 2992, 2993, 2994}) {
			t.Errorf("took %v", got)
		}
	}
	collect(t, w, 2995, 2996)
	if got := taken(t, w, 100); !slices.Equal(got, []uint64{2997, 2998, 2999, 3000}) {
		t.Errorf("took %v", got)
	}
	if got := taken(t, w, 100); got != nil {
		t.Errorf("took %v at the end", got)
	}
	fill(t, j, 3001, 3001)
	collect(t, w, 3001, 3001)

	ooms := after(j, 2990)
	ooms.Kinds = []davitv1.EventKind{davitv1.EventKind_EVENT_KIND_OOM}
	filtered := watch(t, j, ooms)
	if got := taken(t, filtered, 3); !slices.Equal(got, []uint64{2991, 2994, 2997}) || filtered.Position().GetSequence() != 2997 {
		t.Errorf("took %v up to %v", got, filtered.Position())
	}
}

// A batch is bounded in bytes, too.
func TestTakeIsBounded(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	w := watch(t, j, events.WatchOptions{})
	for range 15 {
		if _, err := j.Append(&davitv1.Event{Name: strings.Repeat("x", 60<<10)}, events.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	batch := new(davitv1.EventBatch)
	if w.Take(batch, 256); proto.Size(batch) > 320<<10 || w.Position().GetSequence() != 5 {
		t.Errorf("a batch of %d bytes, up to %v", proto.Size(batch), w.Position())
	}
}

// A watcher that reads old events, and then nothing any more, keeps few of them.
func TestWatcherKeepsLittle(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	fill(t, j, 1, 3000)
	w := watch(t, j, events.WatchOptions{Oldest: true})
	for n := range uint64(1000) {
		ev, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := ev.GetPosition().GetSequence(); got != n+1 {
			t.Fatalf("got event %d, want %d", got, n+1)
		}
		if held := w.Held(); held > 64 {
			t.Fatalf("%d events are held after event %d", held, n+1)
		}
	}
}

func TestWatchFilters(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{})
	w := watch(t, j, events.WatchOptions{
		UUIDs: []string{uuidOf(0), uuidOf(1)},
		Kinds: []davitv1.EventKind{davitv1.EventKind_EVENT_KIND_OOM},
	})
	fill(t, j, 1, 40)
	for _, want := range []uint64{6, 15, 21, 30, 36} { // n%3 == 0 and n%5 in {0, 1}
		ev, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := ev.GetPosition().GetSequence(); got != want {
			t.Fatalf("got event %d, want %d", got, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error is %v, want a deadline", err)
	}
	if got := w.Position().GetSequence(); got != 40 {
		t.Errorf("position is %d, want 40: it moves over what is filtered", got)
	}
}

// Watchers that begin anywhere, while events are appended, get every later one once and in order, be it from the files
// or as it comes.
func TestWatchersReplayThenFollow(t *testing.T) {
	const all = 6000
	j := open(t, t.TempDir(), events.Options{MaxEvents: 100_000, MaxBytes: 1 << 20, MaxLag: all})
	fill(t, j, 1, 2000) // more than memory holds
	var group errgroup.Group
	group.Go(func() error {
		for n := 2001; n <= all; n++ {
			if _, err := j.Append(event(n), events.Origin{Generation: "g", Sequence: uint64(n)}); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 100 {
		begin := i * 30
		group.Go(func() error {
			// Those whose position is not there yet wait for it.
			for j.Newest().GetSequence() < uint64(begin) {
				runtime.Gosched()
			}
			collect(t, watch(t, j, after(j, begin)), begin+1, all)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentAppendsHaveOneOrder(t *testing.T) {
	const writers, each = 16, 100
	j := open(t, t.TempDir(), events.Options{})
	w := watch(t, j, events.WatchOptions{})
	var group errgroup.Group
	var mu sync.Mutex
	numbers := make(map[uint64]bool)
	for i := range writers {
		group.Go(func() error {
			last := uint64(0)
			for range each {
				at, err := j.Append(event(i), events.Origin{})
				if err != nil {
					return err
				}
				if at.GetSequence() <= last {
					return errors.New("numbers fall")
				}
				last = at.GetSequence()
				mu.Lock()
				numbers[last] = true
				mu.Unlock()
			}
			return nil
		})
	}
	for n := uint64(1); n <= writers*each; n++ {
		ev, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := ev.GetPosition().GetSequence(); got != n {
			t.Fatalf("got %d, want %d", got, n)
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(numbers) != writers*each {
		t.Errorf("%d numbers for %d events", len(numbers), writers*each)
	}
}

// A watcher that does not keep up is ended, with the position to resume from; the others and the writer never wait
// for it.
func TestSlowWatcherIsEnded(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{MaxLag: 50})
	slow, quick := watch(t, j, events.WatchOptions{}), watch(t, j, events.WatchOptions{})
	live(t, slow)
	live(t, quick)
	fill(t, j, 1, 10)
	collect(t, slow, 1, 10)
	for n := 11; n <= 61; n++ {
		fill(t, j, n, n)
		collect(t, quick, n-10, n-10)
	}
	_, err := slow.Next(t.Context())
	e := refused(t, err, davitv1.ErrorReason_ERROR_REASON_WATCHER_TOO_SLOW)
	if e.Detail["sequence"] != "10" || e.Detail["epoch"] != j.Newest().GetEpoch() {
		t.Errorf("detail is %v, want sequence 10", e.Detail)
	}
	if _, again := slow.Next(t.Context()); again == nil {
		t.Error("an ended watcher goes on")
	}
	sequence, err := strconv.Atoi(e.Detail["sequence"])
	if err != nil {
		t.Fatal(err)
	}
	collect(t, watch(t, j, after(j, sequence)), 11, 61)
	collect(t, quick, 52, 61)
}

// A watcher that replays is not slow however much there is to replay, unless the events it is to read are dropped.
func TestSlowReplay(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{MaxEvents: 2000, MaxLag: 10})
	fill(t, j, 1, 1900)
	w := watch(t, j, after(j, 0))
	collect(t, w, 1, 100)
	fill(t, j, 1901, 4000)
	for n := 101; ; n++ {
		ev, err := w.Next(t.Context())
		if err != nil {
			e := refused(t, err, davitv1.ErrorReason_ERROR_REASON_WATCHER_TOO_SLOW)
			if e.Detail["sequence"] != strconv.Itoa(n-1) {
				t.Errorf("ended at %v, want %d", e.Detail, n-1)
			}
			return
		}
		if got := ev.GetPosition().GetSequence(); got != uint64(n) {
			t.Fatalf("got %d, want %d", got, n)
		}
	}
}

func TestNextCanBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := open(t, t.TempDir(), events.Options{})
		w := watch(t, j, events.WatchOptions{})
		for n := 1; n <= 5; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
			fill(t, j, n, n)
			collect(t, w, n, n)
		}
	})
}

// A watcher costs no memory for events it has not read.
func TestWatchersHoldNoEvents(t *testing.T) {
	j := open(t, t.TempDir(), events.Options{MaxLag: 1 << 20})
	for range 100 {
		live(t, watch(t, j, events.WatchOptions{}))
	}
	fill(t, j, 1, 2000)
	before := heap()
	fill(t, j, 2001, 20_000)
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("18 000 unread events cost %d bytes", grown)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// live lets a watcher find that there is nothing to read.
func live(t *testing.T, w *events.Watcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
