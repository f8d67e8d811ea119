package monitor_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/monitor"
	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/journal"
	"github.com/davitd/davit/driver/monitor/policy"
	"github.com/davitd/davit/driver/monitor/session"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// script is a launcher whose inits live for as long, and end as, the test says.
type script struct {
	t testing.TB
	// run says how long the nth init runs and how it ends, or why it is not made.
	run      func(n int) (lives time.Duration, exit *monitorv1.Exit, err error)
	launched []time.Time
	memory   []uint64 // that each launch minded
	begun    time.Time
}

func (s *script) Launch(plan *monitorv1.Plan, _ monitor.Cgroups) (monitor.Guest, error) {
	s.memory = append(s.memory, plan.GetMemoryLimitBytes())
	lives, exit, err := s.run(len(s.launched))
	s.launched = append(s.launched, time.Now())
	if err != nil {
		return nil, err
	}
	pidfd, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	return &actor{pidfd: pidfd, lives: lives, exit: exit, killed: make(chan syscall.Signal, 1)}, nil
}

// Adopt has an actor play what was begun by another.
func (s *script) Adopt(*monitorv1.Plan, monitor.Cgroups, monitor.Orphan) monitor.Guest {
	s.t.Error("a script adopts nobody")
	return nil
}

// actor is an init that a script directs. It dies of SIGKILL.
type actor struct {
	pidfd  *os.File
	lives  time.Duration
	exit   *monitorv1.Exit
	killed chan syscall.Signal
}

func (a *actor) PID() int             { return 42 }
func (a *actor) Pidfd() *os.File      { return a.pidfd }
func (a *actor) Consoles() []*os.File { return nil }
func (a *actor) Close() error         { return a.pidfd.Close() }

func (a *actor) Revise(*monitorv1.Revise, []*os.File) error { return nil }

func (a *actor) Signal(signal syscall.Signal) error {
	if signal == syscall.SIGKILL {
		select {
		case a.killed <- signal:
		default:
		}
	}
	return nil
}

func (a *actor) Wait() (*monitorv1.Exit, error) {
	select {
	case <-time.After(a.lives):
		return a.exit, nil
	case signal := <-a.killed:
		return &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(signal)}}, nil
	}
}

func (a *actor) Run(*monitorv1.Process, session.Stdio) (session.Command, error) {
	return nil, errors.New("actors run no commands")
}

// nobody keeps nothing.
type nobody struct{}

func (nobody) Deposit(client.Deposit)           {}
func (nobody) Update(func(*client.Deposit))     {}
func (nobody) Hold(held, namespaces []*os.File) {}

// thief closes the pidfd that it is to keep.
type thief struct{ nobody }

func (thief) Deposit(run client.Deposit) { _ = run.Pidfd.Close() }

// A container that was made and cannot be handed over is at its end, so that the monitor can be told to quit.
func TestStartThatCannotBeToldEnds(t *testing.T) {
	s := &script{t: t, run: func(int) (time.Duration, *monitorv1.Exit, error) { return time.Hour, nil, nil }}
	c := monitor.NewContainer(s, thief{}, nil)
	if _, _, err := c.Start(&monitorv1.Plan{}, monitor.Cgroups{}, nil); err == nil {
		t.Error("it was started")
	}
	select {
	case <-c.Ended():
	default:
		t.Error("it has not ended")
	}
	if !c.Idle() {
		t.Error("it is not idle")
	}
}

func rebooted() *monitorv1.Exit {
	return &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(syscall.SIGHUP)}}
}

func poweredOff() *monitorv1.Exit {
	return &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(syscall.SIGINT)}}
}

func crashed() *monitorv1.Exit {
	return &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(syscall.SIGKILL)}}
}

func exits() *monitorv1.Exit { return &monitorv1.Exit{How: &monitorv1.Exit_Code{}} }

// perform starts a container of a script.
func perform(t *testing.T, s *script, p *monitorv1.Policy) *monitor.Container {
	t.Helper()
	s.begun = time.Now()
	c := monitor.NewContainer(s, nobody{}, nil)
	_, pidfd, err := c.Start(&monitorv1.Plan{Policy: p}, monitor.Cgroups{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = pidfd.Close()
	return c
}

// drain reads all events so far, as words.
func drain(t *testing.T, c *monitor.Container) (words []string) {
	t.Helper()
	for after := uint64(0); ; after++ {
		event, _, err := c.Journal().Next(after)
		if err != nil {
			t.Fatal(err)
		}
		if event == nil {
			return words
		}
		words = append(words, say(event))
	}
}

var onReboot = &monitorv1.Policy{OnReboot: monitorv1.Action_ACTION_RESTART}

// A container that reboots in a loop is slowed down to one restart in half a minute; one that ran for a minute is not.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(n int) (time.Duration, *monitorv1.Exit, error) {
			if n == 14 {
				return policy.Stable, rebooted(), nil
			}
			return time.Second, rebooted(), nil
		}}
		c := perform(t, s, onReboot)
		time.Sleep(8 * time.Minute)
		c.Kill()
		<-c.Ended()
		var delays []time.Duration
		for i := 1; i < len(s.launched) && i < 18; i++ {
			lived := time.Second
			if i == 15 {
				lived = policy.Stable
			}
			delays = append(delays, s.launched[i].Sub(s.launched[i-1])-lived)
		}
		ms, max := time.Millisecond, policy.MaxDelay
		want := []time.Duration{
			0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, max, max,
			max, max, 0, 100 * ms, 200 * ms,
		}
		if diff := cmp.Diff(want, delays); diff != "" {
			t.Errorf("delays (-want +got):\n%s", diff)
		}
	})
}

// A loop that the policy limits ends, and that is told as any end is.
func TestRestartLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(int) (time.Duration, *monitorv1.Exit, error) { return time.Second, rebooted(), nil }}
		limited := plain.Clone(onReboot)
		limited.Backoff = &monitorv1.Backoff{DelayNs: uint64(time.Second), MaxDelayNs: uint64(time.Second), Limit: 2}
		c := perform(t, s, limited)
		<-c.Ended()
		want := []string{
			"1 started", "2 exited signal 1 reboot restart 0s", "3 restarted 1", "4 exited signal 1 reboot restart 1s",
			"5 restarted 2", "6 exited signal 1 reboot destroy 0s",
		}
		if diff := cmp.Diff(want, drain(t, c)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// Events are numbered without holes, each end is followed by a restart or nothing, and the last is the end.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := []*monitorv1.Exit{
			rebooted(), rebooted(), {How: &monitorv1.Exit_Code{Code: 3}},
		}
		s := &script{t: t, run: func(n int) (time.Duration, *monitorv1.Exit, error) { return time.Second, ends[n], nil }}
		c := perform(t, s, onReboot)
		<-c.Ended()
		want := []string{
			"1 started", "2 exited signal 1 reboot restart 0s", "3 restarted 1", "4 exited signal 1 reboot restart 100ms",
			"5 restarted 2", "6 exited code 3 poweroff destroy 0s",
		}
		if diff := cmp.Diff(want, drain(t, c)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		state, pidfd, err := c.State()
		if err != nil || pidfd != nil || state.GetRestarts() != 2 || state.GetPhase() != monitorv1.Phase_PHASE_ENDED {
			t.Errorf("state %v, %v", state, err)
		}
	})
}

// A restart that cannot be made is told, with the reason, and is the end.
func TestRestartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(n int) (time.Duration, *monitorv1.Exit, error) {
			if n == 1 {
				return 0, nil, &wire.Error{Operation: "mount proc", Message: "the disk is gone"}
			}
			return time.Second, rebooted(), nil
		}}
		c := perform(t, s, onReboot)
		<-c.Ended()
		words := drain(t, c)
		if got := words[len(words)-1]; got != "3 failed: the disk is gone" || len(words) != 3 {
			t.Errorf("events %q", words)
		}
	})
}

// Disarming calls off a restart that is held back, and those of later ends.
func TestDisarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(n int) (time.Duration, *monitorv1.Exit, error) { return time.Millisecond, rebooted(), nil }}
		c := perform(t, s, onReboot)
		for state, _, _ := c.State(); state.GetRestarts() < 9; state, _, _ = c.State() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second) // now the tenth is held back for 25.6 s
		before := time.Now()
		c.Disarm()
		c.Disarm()
		<-c.Ended()
		if waited := time.Since(before); waited != 0 {
			t.Errorf("it ended %v after it was called off", waited)
		}
		words := drain(t, c)
		if got := words[len(words)-1]; !strings.HasSuffix(got, "failed: it was called off") {
			t.Errorf("last event %q", got)
		}
	})
}

// The policy of the last word is what counts when init ends, and what was decided stays.
func TestSetPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(n int) (time.Duration, *monitorv1.Exit, error) { return time.Second, rebooted(), nil }}
		c := perform(t, s, &monitorv1.Policy{})
		if err := c.SetPolicy(nil, nil); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
			t.Errorf("no policy: %v, want invalid", err)
		}
		if err := c.SetPolicy(onReboot, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2050 * time.Millisecond) // the second restart is held back for 100 ms
		if state, _, _ := c.State(); state.GetPhase() != monitorv1.Phase_PHASE_WAITING {
			t.Fatalf("it is %v", state)
		}
		if err := c.SetPolicy(&monitorv1.Policy{}, nil); err != nil {
			t.Fatal(err)
		}
		<-c.Ended()
		if state, _, _ := c.State(); state.GetRestarts() != 2 {
			t.Errorf("%d restarts, want 2", state.GetRestarts())
		}
		if err := c.SetPolicy(onReboot, nil); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
			t.Errorf("policy of what has ended: %v, want state", err)
		}
		drain(t, c)
	})
}

// A launch minds the limit of memory that holds then, not the one that held when the container was made.
func TestLimitsOfRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(n int) (time.Duration, *monitorv1.Exit, error) { return time.Minute, rebooted(), nil }}
		c := perform(t, s, onReboot)
		for _, limits := range []*monitorv1.Limits{{MemoryBytes: 8 << 20}, nil, {}} {
			if err := c.SetPolicy(onReboot, limits); err != nil {
				t.Fatal(err)
			}
			time.Sleep(61 * time.Second)
		}
		c.Kill()
		<-c.Ended()
		if want := []uint64{0, 8 << 20, 8 << 20, 0}; !slices.Equal(s.memory, want) {
			t.Errorf("launches minded limits of %d bytes, want %d", s.memory, want)
		}
	})
}

// An init that was asked to end and reboots has ended; one that was asked to reboot and exits or powers off, or whose request was
// taken back, is started again unless it crashed, and what the init before it was asked is nothing to it.
func TestIntend(t *testing.T) {
	const poweroff, reboot = monitorv1.Intent_INTENT_POWEROFF, monitorv1.Intent_INTENT_REBOOT
	for _, test := range []struct {
		asked    []monitorv1.Intent
		ends     func() *monitorv1.Exit
		policy   *monitorv1.Policy
		restarts uint32
		cause    string // that is told of the first
	}{
		{[]monitorv1.Intent{poweroff}, rebooted, onReboot, 0, "signal 1 reboot destroy"},
		{[]monitorv1.Intent{reboot, poweroff}, rebooted, onReboot, 0, "signal 1 reboot destroy"},
		{[]monitorv1.Intent{reboot}, rebooted, onReboot, 1, "signal 1 reboot restart"},
		{[]monitorv1.Intent{poweroff, 0}, rebooted, onReboot, 1, "signal 1 reboot restart"},
		{[]monitorv1.Intent{poweroff}, rebooted, &monitorv1.Policy{OnPoweroff: monitorv1.Action_ACTION_RESTART}, 1, "signal 1 reboot restart"},
		{[]monitorv1.Intent{reboot}, exits, onReboot, 1, "code 0 reboot restart"},
		{[]monitorv1.Intent{reboot}, poweredOff, onReboot, 1, "signal 2 reboot restart"},
		{[]monitorv1.Intent{reboot}, exits, &monitorv1.Policy{OnPoweroff: monitorv1.Action_ACTION_RESTART}, 0, "code 0 reboot destroy"},
		{[]monitorv1.Intent{reboot}, crashed, onReboot, 0, "signal 9 crash destroy"},
		{[]monitorv1.Intent{reboot, poweroff}, exits, onReboot, 0, "code 0 poweroff destroy"},
		{nil, exits, onReboot, 0, "code 0 poweroff destroy"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{t: t, run: func(n int) (time.Duration, *monitorv1.Exit, error) { return time.Minute, test.ends(), nil }}
			c := perform(t, s, test.policy)
			for _, intent := range test.asked {
				if err := c.Intend(intent, 42); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Intend(poweroff, 41); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
				t.Errorf("intent of another init: %v, want state", err)
			}
			time.Sleep(90 * time.Second)
			state, _, _ := c.State()
			if state.GetRestarts() != test.restarts || state.GetIntent() != 0 {
				t.Errorf("asked %v: %v, want %d restarts", test.asked, state, test.restarts)
			}
			c.Kill()
			<-c.Ended()
			if err := c.Intend(poweroff, 42); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
				t.Errorf("intent of what has ended: %v, want state", err)
			}
			if got := drain(t, c); !strings.HasPrefix(got[1], "2 exited "+test.cause) {
				t.Errorf("asked %v: events %q, want %q", test.asked, got, test.cause)
			}
		})
	}
}

// Kill ends a container that runs, and one that is about to run.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(int) (time.Duration, *monitorv1.Exit, error) { return time.Hour, rebooted(), nil }}
		c := perform(t, s, onReboot)
		c.Kill()
		<-c.Ended()
		if got := drain(t, c); !slices.Contains(got, "2 exited signal 9 crash destroy 0s") || len(got) != 2 {
			t.Errorf("events %q", got)
		}
		var slow *monitor.Container
		s = &script{t: t, run: func(int) (time.Duration, *monitorv1.Exit, error) {
			slow.Kill() // while it is being made
			return time.Hour, rebooted(), nil
		}}
		slow = monitor.NewContainer(s, nobody{}, nil)
		_, pidfd, err := slow.Start(&monitorv1.Plan{Policy: onReboot}, monitor.Cgroups{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = pidfd.Close()
		<-slow.Ended()
		if time.Since(s.launched[0]) != 0 {
			t.Error("a container that was killed while it was being made lived on")
		}
	})
}

// A loop that nobody listens to for days loses no event: when the journal is full the next restart waits for davitd.
func TestFullJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, run: func(int) (time.Duration, *monitorv1.Exit, error) { return 0, rebooted(), nil }}
		c := perform(t, s, onReboot)
		time.Sleep(10 * 24 * time.Hour)
		words := drain(t, c)
		if n := len(words); n < journal.Capacity-20 || n > journal.Capacity {
			t.Errorf("%d events are kept after ten days, of %d", n, journal.Capacity)
		}
		if last := s.launched[len(s.launched)-1].Sub(s.begun); last < 60*time.Hour {
			t.Errorf("the last restart came after %v, want days", last)
		}
		state, _, _ := c.State()
		restarts := state.GetRestarts()
		if err := c.Journal().Acknowledge(state.GetSequence()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if state, _, _ = c.State(); state.GetRestarts() <= restarts {
			t.Error("it is not restarted once there is room")
		}
		c.Kill()
		<-c.Ended()
	})
}
