package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// journal is the server's side of a watch: events 1 to newest of an epoch, those before oldest gone.
type journal struct {
	mu             sync.Mutex
	changed        *sync.Cond
	epoch          string
	oldest, newest uint64
	requests       []*davitv1.WatchEventsRequest
	end            error // ends every stream that has sent all
}

func newJournal(epoch string, newest uint64) *journal {
	j := &journal{epoch: epoch, oldest: 1, newest: newest}
	j.changed = sync.NewCond(&j.mu)
	return j
}

func (j *journal) set(change func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
	j.changed.Broadcast()
}

func (j *journal) position(n uint64) *davitv1.EventPosition {
	return &davitv1.EventPosition{Epoch: j.epoch, Sequence: n}
}

func (j *journal) watch(r *davitv1.WatchEventsRequest, out grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests = append(j.requests, r)
	stop := context.AfterFunc(out.Context(), func() { j.set(func() {}) })
	defer stop()
	at := j.newest
	switch {
	case r.GetOldest():
		at = j.oldest - 1
	case r.GetAfter() != nil:
		at = r.GetAfter().GetSequence()
		if r.GetAfter().GetEpoch() != j.epoch || at+1 < j.oldest {
			return domain.ToStatus(&domain.Error{
				Code: codes.OutOfRange, Reason: davitv1.ErrorReason_ERROR_REASON_EVENT_HISTORY_TRUNCATED, Message: "gone",
			}).Err()
		}
	}
	if err := out.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Position{Position: j.position(at)}}); err != nil {
		return err
	}
	for out.Context().Err() == nil {
		for ; at < j.newest; at++ {
			ev := &davitv1.Event{Position: j.position(at + 1), Name: fmt.Sprint(j.epoch, at+1)}
			if err := out.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Event{Event: ev}}); err != nil {
				return err
			}
		}
		if err := j.end; err != nil {
			j.end = nil
			return err
		}
		j.changed.Wait()
	}
	return out.Context().Err()
}

// tell is a notice as text.
func tell(n client.Notice) string {
	text := ""
	if n.Resync != nil {
		text = fmt.Sprintf("resync after %s%d ", n.Resync.After.GetEpoch(), n.Resync.After.GetSequence())
	}
	if n.Event != nil {
		return text + n.Event.GetName()
	}
	return fmt.Sprintf("%sat %s%d", text, n.Position.GetEpoch(), n.Position.GetSequence())
}

// follow takes n notices in the background.
func follow(t *testing.T, c *client.Client, o client.WatchOptions) <-chan string {
	t.Helper()
	out := make(chan string, 100)
	go func() {
		defer close(out)
		for n, err := range c.Watch(t.Context(), o) {
			if err != nil {
				out <- "error " + err.Error()
				return
			}
			out <- tell(n)
		}
	}()
	return out
}

func expect(t *testing.T, got <-chan string, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case g := <-got:
			if g != w {
				t.Fatalf("the watch told %q, want %q", g, w)
			}
		case <-time.After(time.Minute):
			t.Fatalf("the watch told nothing, want %q", w)
		}
	}
}

// TestWatchResumes follows events over a restart of the daemon, a stream that ends and a watcher that was too slow:
// nothing is missing and nothing comes twice.
func TestWatchResumes(t *testing.T) {
	j := newJournal("e", 4)
	s := &stub{watch: j.watch}
	c := s.connect(t)
	got := follow(t, c, client.WatchOptions{})
	expect(t, got, "at e4")
	j.set(func() { j.newest = 6 })
	expect(t, got, "e5", "e6")
	s.stop()
	j.set(func() { j.newest = 8 })
	s.run()
	expect(t, got, "e7", "e8")
	j.set(func() {
		j.end = domain.ToStatus(&domain.Error{
			Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_WATCHER_TOO_SLOW,
		}).Err()
		j.newest = 9
	})
	expect(t, got, "e9")
	j.set(func() { j.newest = 10 })
	expect(t, got, "e10")
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, r := range j.requests {
		if after := r.GetAfter().GetSequence(); after != []uint64{0, 6, 9}[i] {
			t.Errorf("stream %d began after %d", i+1, after)
		}
	}
}

// TestWatchResumesInACrowd goes on when the daemon has too many watchers, or calls, of this caller for a while.
func TestWatchResumesInACrowd(t *testing.T) {
	j := newJournal("e", 1)
	s := &stub{watch: j.watch}
	c := s.connect(t)
	got := follow(t, c, client.WatchOptions{})
	expect(t, got, "at e1")
	for n, limit := range []string{"limits.watchers", "limits.calls_per_second"} {
		j.set(func() { j.end, j.newest = above(limit), uint64(2+2*n) })
		expect(t, got, fmt.Sprint("e", 2+2*n))
		j.set(func() { j.newest = uint64(3 + 2*n) })
		expect(t, got, fmt.Sprint("e", 3+2*n))
	}
}

// TestWatchTellsLoss reports history that is gone as a value and goes on with what is left.
func TestWatchTellsLoss(t *testing.T) {
	j := newJournal("e", 3)
	s := &stub{watch: j.watch}
	c := s.connect(t)
	got := follow(t, c, client.WatchOptions{Oldest: true})
	expect(t, got, "at e0", "e1", "e2", "e3")
	s.stop()
	j.set(func() { j.oldest, j.newest = 6, 7 })
	s.run()
	expect(t, got, "resync after e3 at e5", "e6", "e7")
	s.stop()
	j.set(func() { j.epoch, j.oldest, j.newest = "f", 1, 1 })
	s.run()
	expect(t, got, "resync after e7 at f0", "f1")

	asked := follow(t, c, client.WatchOptions{After: &davitv1.EventPosition{Epoch: "old", Sequence: 9}})
	expect(t, asked, "resync after old9 at f0", "f1")
}

// TestWatchEnds with its context, and with errors that no other stream would be spared.
func TestWatchEnds(t *testing.T) {
	j := newJournal("e", 0)
	s := &stub{watch: j.watch}
	c := s.connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for n, err := range c.Watch(ctx, client.WatchOptions{}) {
		if last = err; n.Position != nil {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the watch ended with %v, want the context's error", last)
	}

	refusing := &stub{watch: func(*davitv1.WatchEventsRequest, grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
		return status.Error(codes.PermissionDenied, "no")
	}}
	c = refusing.connect(t)
	last = nil
	for _, err := range c.Watch(t.Context(), client.WatchOptions{}) {
		last = err
	}
	if !errors.Is(last, domain.ErrPermission) {
		t.Errorf("the watch ended with %v, want PERMISSION_DENIED", last)
	}
	refusing.stop()
	last = nil
	for _, err := range c.Watch(t.Context(), client.WatchOptions{}) {
		last = err
	}
	if !errors.Is(last, domain.ErrUnavailable) {
		t.Errorf("a watch of no daemon ended with %v, want UNAVAILABLE", last)
	}
}

// TestWatchOfBatches tells the events of batches one by one, and leaves in the middle of one when the caller does; a daemon that
// knows of no batches is asked without, and one that refuses is asked no third time.
func TestWatchOfBatches(t *testing.T) {
	var mu sync.Mutex
	var asked []uint32
	refuse := func(*davitv1.WatchEventsRequest) bool { return false }
	s := &stub{watch: func(r *davitv1.WatchEventsRequest, out grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
		mu.Lock()
		asked = append(asked, r.GetBatch())
		mu.Unlock()
		if refuse(r) {
			return domain.ToStatus(&domain.Error{
				Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, Message: "unknown field 6",
			}).Err()
		}
		var batch davitv1.EventBatch
		for n := range uint64(5) {
			at := &davitv1.EventPosition{Epoch: "e", Sequence: n + 1}
			batch.Events = append(batch.Events, &davitv1.Event{Position: at, Name: fmt.Sprint("e", n+1)})
		}
		if r.GetBatch() == 0 {
			return out.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Event{Event: batch.GetEvents()[0]}})
		}
		return out.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Batch{Batch: &batch}})
	}}
	c := s.connect(t)
	watch := func(most int) (got string, last error) {
		for n, err := range c.Watch(t.Context(), client.WatchOptions{}) {
			if last = err; err != nil {
				break
			}
			got += tell(n) + " "
			if most--; most == 0 {
				break
			}
		}
		return got, last
	}
	if got, err := watch(5); got != "e1 e2 e3 e4 e5 " || err != nil {
		t.Errorf("a batch is told as %q, %v", got, err)
	}
	if got, err := watch(2); got != "e1 e2 " || err != nil {
		t.Errorf("a batch that is left is told as %q, %v", got, err)
	}
	asked, refuse = nil, func(r *davitv1.WatchEventsRequest) bool { return r.GetBatch() != 0 }
	if got, err := watch(1); got != "e1 " || err != nil || len(asked) != 2 || asked[0] <= 1 || asked[1] != 0 {
		t.Errorf("an older daemon was asked for %v and tells %q, %v", asked, got, err)
	}
	asked, refuse = nil, func(*davitv1.WatchEventsRequest) bool { return true }
	if got, err := watch(1); got != "" || !errors.Is(err, domain.ErrInvalid) || len(asked) != 2 {
		t.Errorf("one that refuses was asked for %v and tells %q, %v", asked, got, err)
	}
}

// TestWatchKeepsItsDeadline ends with the caller's deadline and never with the daemon's idea of it, which comes first.
func TestWatchKeepsItsDeadline(t *testing.T) {
	s := &stub{watch: func(_ *davitv1.WatchEventsRequest, out grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
		if limit, ok := out.Context().Deadline(); ok {
			return status.Errorf(codes.DeadlineExceeded, "the daemon was told %s", limit)
		}
		<-out.Context().Done()
		return out.Context().Err()
	}}
	c := s.connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, err := range c.Watch(ctx, client.WatchOptions{}) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the watch ended with %v, want the context's error", err)
		}
	}
}

// TestWatchLeavesSilence connects anew when the daemon says nothing for three heartbeats.
func TestWatchLeavesSilence(t *testing.T) {
	var mu sync.Mutex
	var after []uint64
	s := &stub{}
	s.watch = func(r *davitv1.WatchEventsRequest, out grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
		mu.Lock()
		after = append(after, r.GetAfter().GetSequence())
		mu.Unlock()
		n := r.GetAfter().GetSequence() + 10 // the same again if a busy client left before it read it
		ev := &davitv1.Event{Position: &davitv1.EventPosition{Epoch: "e", Sequence: n}, Name: fmt.Sprint("e", n)}
		if err := out.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Event{Event: ev}}); err != nil {
			return err
		}
		<-out.Context().Done()
		return out.Context().Err()
	}
	c := s.connect(t)
	got := follow(t, c, client.WatchOptions{Heartbeat: 100 * time.Millisecond})
	expect(t, got, "e10", "e20")
	mu.Lock()
	defer mu.Unlock()
	if after[0] != 0 || !slices.Contains(after, 10) || !slices.IsSorted(after) {
		t.Errorf("streams began after %d, want 0 and 10", after)
	}
}
