package main

import (
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	started = davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STARTED
	stopped = davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED
	running = davitv1.DomainState_DOMAIN_STATE_RUNNING
	shutoff = davitv1.DomainState_DOMAIN_STATE_SHUTOFF
)

// settled waits until a domain is in one of its resting states.
func settled(tb testing.TB, c *client.Client, name string) davitv1.DomainState {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(5 * time.Millisecond) {
		state := look(tb, c, name).GetState()
		if state == running || state == shutoff {
			return state
		}
		if time.Now().After(end) {
			tb.Fatalf("%q is %v", name, state)
		}
	}
}

// A daemon that is killed at any point of a start leaves, for the next one, a domain that runs, with its console, or
// one that is shut off with nothing left of it; what is told of it is told once and without a hole.
func TestKilledInAStart(t *testing.T) {
	for _, driver := range []string{"fake", "lxc"} {
		for _, point := range points {
			t.Run(driver+"/"+strings.ReplaceAll(point, " ", "_"), func(t *testing.T) {
				s := newSite(t, driver)
				d := s.launch(t, killVariable+"="+point)
				c := s.client(t)
				s.define(t, c, "web")
				// The last two points may be reached after the caller was answered.
				_ = startDomain(t.Context(), c, "web")
				d.died(t)

				d = s.launch(t)
				c = s.client(t)
				// Containers of the fake driver live in the daemon and end with it.
				want := running
				if driver == "fake" || point == points[0] {
					want = shutoff
				}
				if got := settled(t, c, "web"); got != want {
					t.Fatalf("the domain is %v, want %v: %s", got, want, tell(history(t, c)))
				}
				all := history(t, c)
				if want == running {
					if n := count(all, started); n != 1 || count(all, stopped) != 0 {
						t.Errorf("events are %s", tell(all))
					}
					reads(t, c, "web", "I am web")
					if got := hears(t, c, "web", "/guest/guest", "echo", "here"); got != "here\n" {
						t.Errorf("exec says %q", got)
					}
					destroy(t, c, "web")
				} else if n := count(all, started); n > 1 || n != count(all, stopped) && n == 1 {
					t.Errorf("events are %s", tell(all))
				}
				// And it is as good as ever.
				before := count(history(t, c), started)
				if err := startDomain(t.Context(), c, "web"); err != nil {
					t.Fatal(err)
				}
				destroy(t, c, "web")
				if all = history(t, c); count(all, started) != before+1 || count(all, stopped) != count(all, started) {
					t.Errorf("events are %s", tell(all))
				}
				if code := d.end(t); code != exitOK {
					t.Errorf("davitd ended with %d", code)
				}
			})
		}
	}
}

// The same for the end of a domain: whatever the point, it is shut off afterwards and its end is told once.
func TestKilledInADestroy(t *testing.T) {
	for _, point := range []string{
		"container is to be killed", "container is killed", "container is to be released", "container is released",
	} {
		t.Run(strings.ReplaceAll(point, " ", "_"), func(t *testing.T) {
			s := newSite(t, "lxc")
			d := s.launch(t, killVariable+"="+point)
			c := s.client(t)
			s.define(t, c, "web")
			if err := startDomain(t.Context(), c, "web"); err != nil {
				t.Fatal(err)
			}
			_, _ = c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByName("web")})
			d.died(t)

			d = s.launch(t)
			c = s.client(t)
			if settled(t, c, "web") == running {
				destroy(t, c, "web")
			}
			if all := history(t, c); count(all, started) != 1 || count(all, stopped) != 1 {
				t.Errorf("events are %s", tell(all))
			}
			if code := d.end(t); code != exitOK {
				t.Errorf("davitd ended with %d", code)
			}
		})
	}
}

// A daemon that is killed while it finds its domains again finds them the next time.
func TestKilledInARecovery(t *testing.T) {
	s := newSite(t, "lxc")
	d := s.launch(t)
	c := s.client(t)
	s.define(t, c, "web")
	if err := startDomain(t.Context(), c, "web"); err != nil {
		t.Fatal(err)
	}
	d.kill()
	for _, point := range []string{"run is to be found", "run is found", "rest is to be swept"} {
		d = s.command(t, killVariable+"="+point)
		if err := d.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		d.died(t)
	}
	d = s.launch(t)
	c = s.client(t)
	if got := settled(t, c, "web"); got != running {
		t.Fatalf("the domain is %v", got)
	}
	reads(t, c, "web", "I am web")
	destroy(t, c, "web")
	if all := history(t, c); count(all, started) != 1 || count(all, stopped) != 1 {
		t.Errorf("events are %s", tell(all))
	}
	d.end(t)
}

// Killed at no named point but at any time of a start, in the driver's middle too.
func TestKilledAnywhere(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	s := newSite(t, "lxc")
	d := s.launch(t)
	s.define(t, s.client(t), "web")
	for n := range rounds {
		c := s.client(t)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_ = startDomain(t.Context(), c, "web")
		}()
		time.Sleep(time.Duration(n) * testenv.Scale(time.Millisecond))
		d.kill()
		<-answered
		d = s.launch(t)
		c = s.client(t)
		if settled(t, c, "web") == running {
			reads(t, c, "web", "I am web")
			destroy(t, c, "web")
		}
		checkLives(t, history(t, c))
	}
	d.end(t)
}

// checkLives sees to it that a domain that is shut off now was never told to have started while it ran, nor to have
// stopped twice. A start that came to nothing may be told as a failure.
func checkLives(tb testing.TB, all []*davitv1.Event) {
	tb.Helper()
	on := false
	for _, ev := range all {
		kind := ev.GetLifecycle().GetType()
		if kind == started {
			if on {
				tb.Fatalf("started twice: %s", tell(all))
			}
			on = true
		}
		if kind == stopped {
			failed := ev.GetLifecycle().GetDetail() == davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_FAILED
			if !on && !failed {
				tb.Fatalf("stopped twice: %s", tell(all))
			}
			on = false
		}
	}
	if on {
		tb.Fatalf("never stopped: %s", tell(all))
	}
}
