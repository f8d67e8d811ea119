package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// number is what the environment says, or otherwise.
func number(tb testing.TB, variable string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s is %q, want a number above 0", variable, text)
	}
	return n
}

// restless is a domain whose init ends by itself after a time and is started again each time, which is told as a reboot with
// its count: it shows whether an event of it is missing, or came twice.
func (s *site) restless(name string, after time.Duration) string {
	init, mount := "<init>/bin/sleep</init>", ""
	if s.driver == "lxc" {
		init = "<init>/guest/guest</init><initarg>sleep</initarg>"
		mount = fmt.Sprintf("<filesystem type='mount'><source dir='%s'/><target dir='/guest'/><readonly/></filesystem>", s.guest)
	}
	return fmt.Sprintf(`<domain type='lxc' xmlns:davit='%s'><name>%s</name><memory unit='MiB'>64</memory>
<resource><partition>%s</partition></resource><os><type>exe</type>%s<initarg>%.3f</initarg></os><on_poweroff>restart</on_poweroff>
<devices>%s<console type='pty'/></devices><davit:restart delay_ms='1' max_delay_ms='1'/></domain>`,
		ownNamespace, name, s.partition, init, after.Seconds(), mount)
}

// ownNamespace is that of davit's own elements.
const ownNamespace = "https://github.com/davitd/davit/schemas/domain/1.0"

// tale is what was told of a domain so far.
type tale struct {
	defined, on bool
	reboots     uint32 // of this run
	starts      int
	ends        int
}

// take says what is wrong with the next event of the domain, if anything is.
func (l *tale) take(ev *davitv1.Event) error {
	was := *l
	switch k := ev.GetKind().(type) {
	case *davitv1.Event_Reboot:
		l.reboots++
		if got := k.Reboot.GetCount(); !l.on || got != l.reboots {
			return fmt.Errorf("reboot %d comes after %+v", got, was)
		}
		return nil
	case *davitv1.Event_Lifecycle:
		kind, detail := domain.EventWords(k.Lifecycle)
		right := false
		switch kind + " " + detail {
		case "Defined Added":
			right, l.defined = !l.defined, true
		case "Started Booted":
			right, l.on, l.reboots = !l.on, true, 0
			l.starts++
		case "Stopped Destroyed", "Stopped Failed":
			right, l.on = l.on, false
			l.ends++
		}
		if !right {
			return fmt.Errorf("%s %s comes after %+v", kind, detail, was)
		}
		return nil
	}
	return fmt.Errorf("%T comes after %+v", ev.GetKind(), was)
}

// audience watches all along and holds what it is told to what can have happened.
type audience struct {
	hear func(*davitv1.Event) error // told each event, in order; says what is wrong with it

	mu    sync.Mutex
	tales map[string]*tale // by UUID
	sums  []uint64         // of the events, by number
	fault error
	begun bool          // the watch was told where it is
	moved chan struct{} // closed when more was told
}

// seed of the sums of all audiences, so that they can be compared.
var seed = maphash.MakeSeed()

// newAudience makes one that hears the tale of each domain.
func newAudience() *audience {
	a := &audience{tales: map[string]*tale{}, moved: make(chan struct{})}
	a.hear = func(ev *davitv1.Event) error {
		l := a.tales[ev.GetUuid()]
		if l == nil {
			l = &tale{}
			a.tales[ev.GetUuid()] = l
		}
		return l.take(ev)
	}
	return a
}

// attendAll watches from the first event on, over whatever becomes of the daemon.
func (s *site) attendAll(tb testing.TB) *audience {
	tb.Helper()
	a := newAudience()
	c := s.client(tb, client.WithRetry(testenv.Scale(5*time.Minute)))
	a.attend(tb, func(ctx context.Context) iter.Seq2[client.Notice, error] {
		return c.Watch(ctx, client.WatchOptions{Oldest: true})
	})
	return a
}

// attend has the audience hear a watch until the test ends.
func (a *audience) attend(tb testing.TB, watch func(context.Context) iter.Seq2[client.Notice, error]) {
	tb.Helper()
	ctx, end := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for notice, err := range watch(ctx) {
			if !a.take(notice, err) {
				return
			}
		}
	})
	tb.Cleanup(func() { end(); watching.Wait() })
}

// take holds the next thing that the client tells to what was told before.
func (a *audience) take(n client.Notice, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		a.fault = fmt.Errorf("the watch ended: %w", err)
	case n.Resync != nil:
		a.fault = fmt.Errorf("events were lost before %v", n.Position)
	case n.Event == nil:
		a.begun = true
	default:
		if got := n.Event.GetPosition().GetSequence(); got != uint64(len(a.sums)+1) {
			a.fault = fmt.Errorf("event %d is followed by %d", len(a.sums), got)
			break
		}
		a.sums = append(a.sums, sum(n.Event))
		if err := a.hear(n.Event); err != nil {
			a.fault = fmt.Errorf("event %d, of %s: %w", len(a.sums), n.Event.GetName(), err)
		}
	}
	close(a.moved)
	a.moved = make(chan struct{})
	return a.fault == nil
}

// sum is an event in few bytes.
func sum(ev *davitv1.Event) uint64 {
	wire, _ := proto.MarshalOptions{Deterministic: true}.Marshal(ev) // what was received can be sent
	return maphash.Bytes(seed, wire)
}

// until waits until a condition of all that was told holds.
func (a *audience) until(tb testing.TB, what string, holds func(tales map[string]*tale) bool) {
	tb.Helper()
	late := time.After(testenv.Scale(5 * time.Minute))
	for {
		a.mu.Lock()
		fault, there, moved, count := a.fault, holds(a.tales), a.moved, len(a.sums)
		a.mu.Unlock()
		if fault != nil {
			tb.Fatal(fault)
		}
		if there {
			return
		}
		select {
		case <-moved:
		case <-late:
			tb.Fatalf("of %d events none tells that %s", count, what)
		}
	}
}

// all tells whether something holds of so many domains.
func all(n int, holds func(*tale) bool) func(map[string]*tale) bool {
	return func(tales map[string]*tale) bool {
		for _, l := range tales {
			if holds(l) {
				n--
			}
		}
		return n <= 0
	}
}

// Every event of every domain arrives exactly once and in order at a client that watches all along, while davitd is killed and
// started again in a loop and the domains go on: containers live on, and those of the fake driver, which end with the daemon,
// are told as ended and started anew. make watch-soak does it with a thousand.
func TestEveryEventArrivesOnce(t *testing.T) {
	for name, size := range map[string]int{"fake": 50, "lxc": 12} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, name)
			n, restarts := number(t, "DAVIT_TEST_DOMAINS", size), number(t, "DAVIT_TEST_RESTARTS", 5)
			d := s.launch(t)
			a := s.attendAll(t)
			names := s.defineRestless(t, n)
			for round := range restarts {
				starting := s.startAgain(t, names)
				within := 1500*time.Millisecond + time.Duration(n)*10*time.Millisecond
				time.Sleep(time.Duration(rand.Int64N(int64(within)))) // at any time, while they start or once they run
				d.kill()
				<-starting
				d = s.launch(t)
				t.Logf("restart %d: %d events", round+1, a.count())
			}
			<-s.startAgain(t, names)
			a.until(t, "all run and have rebooted", all(n, func(l *tale) bool { return l.on && l.reboots > 1 }))
			destroyMany(t, s.client(t), names)
			a.until(t, "all were destroyed", all(n, func(l *tale) bool { return !l.on && l.starts == l.ends && l.starts > 0 }))
			if name == "lxc" {
				a.until(t, "each lived on", all(n, func(l *tale) bool { return l.starts == 1 }))
			}
			a.compare(t, s.client(t))
			if code := d.end(t); code != exitOK {
				t.Errorf("davitd ended with %d", code)
			}
		})
	}
}

// What may not be told is noticed.
func TestAudienceNotices(t *testing.T) {
	lifecycle := func(kind davitv1.LifecycleEventType, detail davitv1.LifecycleEventDetail) *davitv1.Event {
		return &davitv1.Event{Kind: &davitv1.Event_Lifecycle{Lifecycle: &davitv1.LifecycleEvent{Type: kind, Detail: detail}}}
	}
	reboot := func(n uint32) *davitv1.Event {
		return &davitv1.Event{Kind: &davitv1.Event_Reboot{Reboot: &davitv1.RebootEvent{Count: n}}}
	}
	added := lifecycle(davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_DEFINED, davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_DEFINED_ADDED)
	booted := lifecycle(started, davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STARTED_BOOTED)
	failed := lifecycle(stopped, davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_FAILED)
	for name, c := range map[string]struct {
		events []*davitv1.Event
		skip   uint64 // this number is left out
		right  bool
	}{
		"two lives":           {[]*davitv1.Event{added, booted, reboot(1), reboot(2), failed, booted, reboot(1)}, 0, true},
		"a start comes twice": {[]*davitv1.Event{added, booted, booted}, 0, false},
		"an end comes twice":  {[]*davitv1.Event{added, booted, failed, failed}, 0, false},
		"a reboot twice":      {[]*davitv1.Event{added, booted, reboot(1), reboot(1)}, 0, false},
		"a reboot is missing": {[]*davitv1.Event{added, booted, reboot(1), reboot(3)}, 0, false},
		"it reboots when off": {[]*davitv1.Event{added, booted, failed, reboot(1)}, 0, false},
		"a number is missing": {[]*davitv1.Event{added, booted}, 2, false},
	} {
		a := newAudience()
		sequence, right := uint64(0), true
		for _, ev := range c.events {
			if sequence++; sequence == c.skip {
				sequence++
			}
			ev, _ = proto.Clone(ev).(*davitv1.Event)
			ev.Position = &davitv1.EventPosition{Sequence: sequence}
			right = right && a.take(client.Notice{Event: ev, Position: ev.GetPosition()}, nil)
		}
		if right != c.right {
			t.Errorf("%s: %v", name, a.fault)
		}
	}
}

func (a *audience) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.sums)
}

// defineRestless defines domains and gives their names. The more there are, the less often each ends, so that the host has
// time for all.
func (s *site) defineRestless(tb testing.TB, n int) []string {
	tb.Helper()
	c := s.client(tb)
	names := make([]string, n)
	var group errgroup.Group
	group.SetLimit(atOnce)
	pace := 10 * time.Millisecond
	if s.driver == "lxc" {
		pace = 60 * time.Millisecond
	}
	for i := range names {
		names[i] = fmt.Sprintf("restless-%04d", i)
		after := 200*time.Millisecond + time.Duration(n)*pace + time.Duration(i%10)*20*time.Millisecond
		group.Go(func() error {
			_, err := c.DefineDomain(tb.Context(), &davitv1.DefineDomainRequest{Source: client.XML(s.restless(names[i], after))})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		tb.Fatal(err)
	}
	return names
}

// startAgain begins to start all that do not run. That the daemon dies meanwhile is no fault of it.
func (s *site) startAgain(tb testing.TB, names []string) <-chan struct{} {
	tb.Helper()
	c := s.client(tb)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var group errgroup.Group
		group.SetLimit(atOnce)
		for _, name := range names {
			group.Go(func() error {
				err := startDomain(context.Background(), c, name)
				if err != nil && !errors.Is(err, domain.ErrUnavailable) && !errors.Is(err, domain.ErrFailedPrecondition) {
					tb.Errorf("start %s: %v", name, err)
				}
				return nil
			})
		}
		_ = group.Wait()
	}()
	return done
}

// compare holds what was told to what the journal has kept of it.
func (a *audience) compare(tb testing.TB, c *client.Client) {
	tb.Helper()
	position, err := c.EventPosition(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	a.until(tb, "nothing is missing", func(map[string]*tale) bool { return uint64(len(a.sums)) >= position.GetNewest().GetSequence() })
	kept := 0
	for notice, err := range c.Watch(tb.Context(), client.WatchOptions{Oldest: true}) {
		if err != nil {
			tb.Fatal(err)
		}
		if ev := notice.Event; ev != nil {
			kept++
			a.mu.Lock()
			same := a.sums[ev.GetPosition().GetSequence()-1] == sum(ev)
			a.mu.Unlock()
			if !same {
				tb.Fatalf("event %d was told otherwise before: it is %v", ev.GetPosition().GetSequence(), ev)
			}
		}
		if notice.Position.GetSequence() >= position.GetNewest().GetSequence() {
			break
		}
	}
	tb.Logf("%d events were told, %d are kept", a.count(), kept)
}
