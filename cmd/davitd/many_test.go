package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// atOnce is how many calls the tests make at once.
const atOnce = 8

// startMany defines and starts domains and gives their names.
func (s *site) startMany(tb testing.TB, c *client.Client, n int) []string {
	tb.Helper()
	names := make([]string, n)
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range names {
		names[i] = fmt.Sprintf("domain-%03d", i)
		group.Go(func() error {
			_, err := c.DefineDomain(tb.Context(), &davitv1.DefineDomainRequest{Source: client.XML(s.document(names[i]))})
			if err != nil {
				return err
			}
			return startDomain(tb.Context(), c, names[i])
		})
	}
	if err := group.Wait(); err != nil {
		tb.Fatal(err)
	}
	return names
}

func destroyMany(tb testing.TB, c *client.Client, names []string) {
	tb.Helper()
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, name := range names {
		group.Go(func() error {
			destroy(tb, c, name)
			return nil
		})
	}
	_ = group.Wait()
}

// watcher collects events in the background, over whatever becomes of the daemon.
type watcher struct {
	mu     sync.Mutex
	events []*davitv1.Event
	fault  error
	end    context.CancelFunc
	ended  sync.WaitGroup
}

func (s *site) watch(tb testing.TB) *watcher {
	tb.Helper()
	ctx, end := context.WithCancel(context.Background())
	w := &watcher{end: end}
	c := s.client(tb, client.WithRetry(testenv.Scale(time.Minute)))
	w.ended.Go(func() {
		for notice, err := range c.Watch(ctx, client.WatchOptions{Oldest: true}) {
			if !w.take(notice, err) {
				return
			}
		}
	})
	tb.Cleanup(func() { end(); w.ended.Wait() })
	return w
}

// take keeps what the client tells, and what it must never tell.
func (w *watcher) take(n client.Notice, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.fault = err
	case n.Resync != nil:
		w.fault = fmt.Errorf("events were lost before %v", n.Position)
	case n.Event != nil:
		if got := n.Event.GetPosition().GetSequence(); got != uint64(len(w.events)+1) {
			w.fault = fmt.Errorf("event %d is followed by %d", len(w.events), got)
		}
		w.events = append(w.events, n.Event)
	}
	return w.fault == nil
}

// until waits until so many events of a type were told, and gives all.
func (w *watcher) until(tb testing.TB, kind davitv1.LifecycleEventType, n int) []*davitv1.Event {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(2 * time.Minute)); ; time.Sleep(10 * time.Millisecond) {
		w.mu.Lock()
		all, fault := slices.Clip(w.events), w.fault
		w.mu.Unlock()
		if fault != nil {
			tb.Fatalf("watch: %v", fault)
		}
		if count(all, kind) >= n {
			return all
		}
		if time.Now().After(end) {
			tb.Fatalf("%d events of %v, want %d", count(all, kind), kind, n)
		}
	}
}

// Two hundred domains run, davitd is killed under a watch, some domains die meanwhile, and davitd is started again: every
// domain, number, console and event is there, and what happened without it is told as it was.
func TestTwoHundredDomainsOutliveTheDaemon(t *testing.T) {
	n := 200
	if testing.Short() {
		n = 20
	}
	const dying = 5
	s := newSite(t, "lxc")
	d := s.launch(t)
	w := s.watch(t)
	c := s.client(t)
	names := s.startMany(t, c, n)
	w.until(t, started, n)
	before := make(map[string]*davitv1.DomainInfo, n)
	for _, name := range names {
		before[name] = look(t, c, name)
		reads(t, c, name, "I am "+name) // it has come so far
	}

	d.kill()
	for _, name := range names[:dying] {
		if err := unix.Kill(int(before[name].GetInitPid()), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	d = s.launch(t)
	t.Logf("davitd answers %v after it was started with %d domains", time.Since(begun), n)

	all := w.until(t, stopped, dying)
	if got := count(all, started); got != n {
		t.Errorf("%d events of a start for %d domains", got, n)
	}
	c = s.client(t)
	for i, name := range names {
		now := look(t, c, name)
		if i < dying {
			if now.GetState() == running || now.GetExit().GetSignal() != uint32(unix.SIGKILL) {
				t.Errorf("%s was killed and is %v, exit %v", name, now.GetState(), now.GetExit())
			}
			continue
		}
		was := before[name]
		if now.GetState() != running || now.GetId() != was.GetId() || now.GetInitPid() != was.GetInitPid() {
			t.Errorf("%s is %v, number %d, process %d; was number %d, process %d",
				name, now.GetState(), now.GetId(), now.GetInitPid(), was.GetId(), was.GetInitPid())
		}
		reads(t, c, name, "I am "+name)
	}
	for _, name := range []string{names[dying], names[n/2], names[n-1]} {
		if got := hears(t, c, name, "/guest/guest", "echo", "here"); got != "here\n" {
			t.Errorf("%s: command says %q", name, got)
		}
	}
	destroyMany(t, c, names[dying:])
	if all = w.until(t, stopped, n); count(all, started) != n || count(all, stopped) != n {
		t.Errorf("%d starts and %d ends of %d domains", count(all, started), count(all, stopped), n)
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}

// A daemon that is told to end leaves its domains running too.
func TestDomainsOutliveTheEnd(t *testing.T) {
	s := newSite(t, "lxc")
	d := s.launch(t)
	w := s.watch(t)
	names := s.startMany(t, s.client(t), 3)
	for range 3 {
		if code := d.end(t); code != exitOK {
			t.Errorf("davitd ended with %d", code)
		}
		d = s.launch(t)
		for _, name := range names {
			if got := look(t, s.client(t), name).GetState(); got != running {
				t.Errorf("%s is %v", name, got)
			}
		}
	}
	destroyMany(t, s.client(t), names)
	if all := w.until(t, stopped, 3); count(all, started) != 3 {
		t.Errorf("events are %s", tell(all))
	}
	d.end(t)
}
