package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// crowd is many domains that things are done to while their daemon is killed and started again in a loop.
type crowd struct {
	site    *site
	calls   *client.Client // waits for a daemon that is away, and asks it again
	members []*member

	heard map[string][]string // what the first audience was told of each UUID; guarded by its mutex
	first *audience           // hears what is told of whom
	other []*audience         // hear all the same
}

// newCrowd makes a site with members that are not defined yet, and the audiences that watch it from the first event on.
func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	s := newSite(t, "lxc")
	s.program = testenv.Binary(t, "davitd")
	for _, dir := range []string{"dev", "etc", "proc", "run", "sys", "tmp"} {
		if err := os.Mkdir(filepath.Join(s.guest, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := &crowd{site: s, calls: s.client(t, client.WithRetry(testenv.Scale(10*time.Minute))), heard: map[string][]string{}}
	for i := range n {
		c.members = append(c.members, &member{name: fmt.Sprintf("crowd-%04d", i), uuid: domain.NewUUID(), state: absent})
	}
	return c
}

// watch begins to watch, once there was a daemon: by a client that takes events together, by calls that get one at a time, and by a
// client that goes away again and again and comes back with the position that it had.
func (c *crowd) watch(t *testing.T) {
	t.Helper()
	c.first = newAudience()
	c.first.hear = func(ev *davitv1.Event) error {
		c.heard[ev.GetUuid()] = append(c.heard[ev.GetUuid()], word(ev))
		return nil
	}
	c.first.attend(t, c.site.together(t))
	for _, watch := range []watch{c.site.oneByOne(t), c.site.comeAndGo(t)} {
		a := newAudience()
		a.hear = func(*davitv1.Event) error { return nil }
		a.attend(t, watch)
		c.other = append(c.other, a)
	}
	// A client waits for a daemon that went away, not for one that it never reached.
	if err := c.calls.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.calls.EventPosition(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range append(c.other, c.first) {
		a.until(t, "the watch has begun", func(map[string]*tale) bool { return a.begun })
	}
}

// word is an event in short, with all that is told of how init ended.
func word(ev *davitv1.Event) string {
	l := ev.GetLifecycle()
	if l == nil {
		return fmt.Sprintf("%T", ev.GetKind())
	}
	kind, detail := domain.EventWords(l)
	w := fmt.Sprintf("%s %s", kind, detail)
	if x := l.GetExit(); x != nil {
		switch x.GetHow().(type) {
		case *davitv1.Exit_Code:
			w += fmt.Sprintf(", code %d", x.GetCode())
		case *davitv1.Exit_Signal:
			w += fmt.Sprintf(", signal %d", x.GetSignal())
		default:
			w += ", unknown"
		}
	}
	return w
}

// told waits until all was told of a member that is due, and says what else was told of it.
func (c *crowd) told(m *member) error {
	late := time.After(testenv.Scale(5 * time.Minute))
	for {
		c.first.mu.Lock()
		heard, fault, moved := slices.Clip(c.heard[m.uuid]), c.first.fault, c.first.moved
		c.first.mu.Unlock()
		if fault != nil {
			return fault
		}
		done, right := follows(heard, m.due)
		if !right {
			return fmt.Errorf("what is told of it is %s; want %s", tail(heard), tail(m.due))
		}
		if done {
			return nil
		}
		select {
		case <-moved:
		case <-late:
			return fmt.Errorf("what is told of it is only %s; want %s", tail(heard), tail(m.due))
		}
	}
}

// tail is the end of a history.
func tail(words []string) string {
	const most = 12
	text := strings.Join(words[max(len(words)-most, 0):], "; ")
	if len(words) > most {
		text = fmt.Sprintf("(%d before) %s", len(words)-most, text)
	}
	return text
}

// perhaps marks what is told only if a daemon lived long enough to see it.
const perhaps = "perhaps "

// follows tells whether what was heard can be the beginning of what is due, and whether it is all of it.
func follows(heard, due []string) (done, right bool) {
	for _, want := range due {
		maybe := strings.HasPrefix(want, perhaps)
		switch {
		case len(heard) > 0 && heard[0] == strings.TrimPrefix(want, perhaps):
			heard = heard[1:]
		case maybe:
		case len(heard) == 0:
			return false, true
		default:
			return false, false
		}
	}
	return true, len(heard) == 0
}

// A history that lacks something, has something twice or in another order is none that was due.
func TestFollows(t *testing.T) {
	due := []string{"a", perhaps + "b", "c"}
	for heard, want := range map[string][2]bool{
		"": {false, true}, "a": {false, true}, "a b": {false, true}, "a c": {true, true}, "a b c": {true, true},
		"b": {false, false}, "c": {false, false}, "a a": {false, false}, "a b b": {false, false}, "a c b": {true, false}, "a c c": {true, false},
	} {
		if done, right := follows(strings.Fields(heard), due); done != want[0] || right != want[1] {
			t.Errorf("%q: done %v, right %v, want %v", heard, done, right, want)
		}
	}
}

// each does something with all members, some at a time.
func (c *crowd) each(do func(m *member) error) error {
	group, failed := errgroup.WithContext(context.Background())
	group.SetLimit(atOnce)
	for _, m := range c.members {
		group.Go(func() error {
			m.mu.Lock()
			defer m.mu.Unlock()
			if failed.Err() != nil {
				return nil
			}
			if err := do(m); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// gather has all defined and started.
func (c *crowd) gather(ctx context.Context) error {
	return c.each(func(m *member) error { return c.stint(ctx, m) })
}

// bustle does things to members at random for a while. Whoever something was done to runs afterwards.
func (c *crowd) bustle(ctx context.Context, duration time.Duration) error {
	over, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var group errgroup.Group
	for range min(atOnce, (len(c.members)+1)/2) {
		group.Go(func() error {
			for over.Err() == nil {
				m := c.members[rand.IntN(len(c.members))]
				if !m.mu.TryLock() {
					continue
				}
				err := c.stint(ctx, m)
				m.mu.Unlock()
				if err != nil {
					cancel()
					return fmt.Errorf("%s: %w", m.name, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// dismiss ends all and undefines them.
func (c *crowd) dismiss(ctx context.Context) error {
	return c.each(func(m *member) error {
		return errors.Join(c.act(ctx, m, destroyed), c.act(ctx, m, undefined))
	})
}

// agree sees to it that all were told the same, to the last event that there is.
func (c *crowd) agree(t *testing.T) {
	t.Helper()
	c.first.compare(t, c.calls)
	for n, a := range c.other {
		a.until(t, "nothing is missing", func(map[string]*tale) bool { return len(a.sums) >= c.first.count() })
		a.mu.Lock()
		if !slices.Equal(a.sums, c.first.sums) {
			t.Errorf("watcher %d was told otherwise than the first", n+1)
		}
		a.mu.Unlock()
	}
	if t.Failed() {
		return
	}
	if err := c.each(c.told); err != nil {
		t.Error(err)
	}
}

// under has something done while daemons are killed at random moments, none of which lives longer than given once it has its domains, and
// gives the one that lives at the end with how many died.
func (c *crowd) under(t *testing.T, d *daemon, longest time.Duration, do func() error) (*daemon, int) {
	t.Helper()
	done := make(chan error, 1)
	var doing sync.WaitGroup
	doing.Go(func() { done <- do() })
	defer doing.Wait()
	for deaths := 0; ; deaths++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return d, deaths
		case <-time.After(rand.N(longest)):
		}
		d.kill()
		d = c.revive(t)
	}
}

// revive starts a daemon: some die at once, some while they look for their domains, most live for a while after that.
func (c *crowd) revive(t *testing.T) *daemon {
	t.Helper()
	for {
		d := c.site.command(t)
		switch rand.IntN(6) {
		case 0:
			if err := d.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rand.N(300 * time.Millisecond))
			d.kill()
		case 1:
			return c.site.await(t, d)
		default:
			c.site.await(t, d)
			c.site.awaitAdoption(t)
			return d
		}
	}
}

// Every event of every domain arrives exactly once, in order and as it was done, at clients that watch all along, while a davitd is
// killed and started again in a loop and real containers are started, stopped, suspended, resumed, killed from outside, undefined and
// defined anew; and all run at the end that ought to, by the same init as before. make thousand does it with a thousand for
// minutes, and tells what a restart takes.
func TestCrowdOutlivesTheDaemon(t *testing.T) {
	n, duration, restarts := number(t, "DAVIT_TEST_CROWD", 20), 3*time.Second, 1
	if text := os.Getenv("DAVIT_TEST_CROWD_TIME"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("DAVIT_TEST_CROWD_TIME: %v", err)
		}
		restarts = 5
	}
	c := newCrowd(t, n)
	d := c.site.launch(t)
	c.watch(t)
	begun, longest := time.Now(), time.Second+time.Duration(n)*4*time.Millisecond
	d, deaths := c.under(t, d, 4*longest, func() error { return c.gather(t.Context()) })
	t.Logf("%d run after %v, davitd was killed %d times", n, time.Since(begun).Round(time.Second), deaths)
	d, more := c.under(t, d, longest, func() error { return c.bustle(t.Context(), duration) })
	t.Logf("%v later it was killed %d times more; %d events", duration, more, c.first.count())
	c.site.awaitAdoption(t)
	c.check(t)
	c.listen(t)
	d = c.measure(t, d, restarts)
	if err := c.dismiss(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.agree(t)
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}
