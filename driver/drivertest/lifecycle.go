package drivertest

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var lifeTests = []testcase{
	startRuns, initExits, initIsSignalled, initCrashes, killEnds, killOfRestartingInit, suspendHolds, startPaused,
	shutdownAsks, shutdownOfDeafInit, shutdownReboots, shutdownOverridesReboot, shutdownOverridesDeafReboot, rebootAfterShutdown,
	killOverridesReboot, guestReboots, guestPowersOff, crashRestarts, policyOfReboot,
	stoppedRefuses, releaseTwice, releaseOfRunning,
}

func startRuns(s *suite) {
	l := s.start(idle).ready()
	st := l.status()
	if !st.Running || st.Paused || st.InitPID == 0 || st.Restarts != 0 {
		s.Errorf("status %+v, want it running with a process id", st)
	}
	started, ev := want[driver.Started](l)
	if ev.Sequence != 1 || started.InitPID != st.InitPID || started.Duration < 0 {
		s.Errorf("event %d %+v, want number 1 with init %d", ev.Sequence, started, st.InitPID)
	}
	if age := time.Since(ev.Time); age < 0 || age > s.patience {
		s.Errorf("the start was %v ago", age)
	}
	if l.Ref() != l.spec.Ref {
		s.Errorf("ref %v, want %v", l.Ref(), l.spec.Ref)
	}
}

// exited wants the end of init, and that nothing follows.
func (l *life) exited() driver.Exited {
	l.s.Helper()
	want[driver.Started](l)
	x, _ := want[driver.Exited](l)
	if x.Restart {
		l.s.Errorf("exited %+v, want no restart", x)
	}
	if stopped := l.over(); stopped.Err != nil {
		l.s.Errorf("stopped: %v", stopped.Err)
	}
	if l.status().Running {
		l.s.Error("status says that it runs")
	}
	if x.Exit.GetTime().AsTime().IsZero() {
		l.s.Error("the exit has no time")
	}
	return x
}

func initExits(s *suite) {
	for script, code := range map[string]uint32{"exit 0": 0, "sleep 0.1; exit 7": 7, "exit 255": 255} {
		x := s.start(script).exited()
		how, ok := x.Exit.GetHow().(*davitv1.Exit_Code)
		if !ok || how.Code != code || x.Cause != driver.CausePoweroff {
			s.Errorf("%q: exit %v by cause %d, want code %d by %d", script, x.Exit, x.Cause, code, driver.CausePoweroff)
		}
	}
}

func initIsSignalled(s *suite) {
	l := s.start("trap 'exit 5' USR1; echo ready; sleep infinity & wait").ready()
	if err := l.Signal(s.Context(), 1, int(syscall.SIGUSR1)); err != nil {
		s.Fatalf("signal: %v", err)
	}
	if x := l.exited(); x.Exit.GetCode() != 5 {
		s.Errorf("exit %v, want code 5", x.Exit)
	}
}

func initCrashes(s *suite) {
	l := s.start(idle).ready()
	if err := l.Signal(s.Context(), 1, int(syscall.SIGKILL)); err != nil {
		s.Fatalf("signal: %v", err)
	}
	x := l.exited()
	if x.Exit.GetSignal() != uint32(syscall.SIGKILL) || x.Cause != driver.CauseCrash || x.Exit.GetOomKilled() {
		s.Errorf("exit %v by cause %d, want signal 9 by a crash", x.Exit, x.Cause)
	}
}

// Kill returns when nothing runs, whatever the policy, and tells it once.
func killEnds(s *suite) {
	l := s.start(idle, restartOn(poweroff), restartOn(crash)).ready()
	l.kill()
	if l.status().Running {
		s.Error("status says that it runs")
	}
	x := l.exited()
	if x.Exit.GetSignal() != uint32(syscall.SIGKILL) {
		s.Errorf("exit %v, want signal 9", x.Exit)
	}
	l.kill()
}

// A container whose init is being started again and again can be ended at any moment.
func killOfRestartingInit(s *suite) {
	for i := range 5 {
		l := s.start("exit 1", restartOn(poweroff))
		want[driver.Started](l)
		want[driver.Exited](l)
		<-time.After(time.Duration(i) * 7 * time.Millisecond)
		l.kill()
		for {
			if _, ok := l.next().Kind.(driver.Stopped); ok {
				break
			}
		}
		if l.status().Running {
			s.Error("status says that it runs")
		}
		l.release()
	}
}

// Nothing happens in a frozen container; what was due happens when it is thawed.
func suspendHolds(s *suite) {
	l := s.start("echo ready; sleep 0.3; echo later; sleep infinity").ready()
	for range 2 {
		if err := l.Suspend(s.Context()); err != nil {
			s.Fatalf("suspend: %v", err)
		}
	}
	if st := l.status(); !st.Paused || !st.Running {
		s.Errorf("status %+v, want it paused", st)
	}
	<-time.After(600 * time.Millisecond)
	c := l.console(driver.ConsoleOptions{ReadOnly: true, Scrollback: true})
	c.until("ready")
	select {
	case o := <-c.outputs:
		if string(o.Data) != "\n" && string(o.Data) != "\r\n" {
			s.Errorf("a frozen container wrote %q", o.Data)
		}
	default:
	}
	if err := l.Resume(s.Context()); err != nil {
		s.Fatalf("resume: %v", err)
	}
	c.until("later")
	if st := l.status(); st.Paused {
		s.Errorf("status %+v, want it running", st)
	}
	if err := l.Suspend(s.Context()); err != nil {
		s.Fatalf("suspend: %v", err)
	}
	l.kill()
	l.exited()
}

func startPaused(s *suite) {
	spec := s.spec(idle)
	spec.Paused = true
	l := s.startSpec(spec)
	if st := l.status(); !st.Paused || !st.Running {
		s.Errorf("status %+v, want it paused", st)
	}
	if err := l.Resume(s.Context()); err != nil {
		s.Fatalf("resume: %v", err)
	}
	l.ready()
}

func shutdownAsks(s *suite) {
	for _, mode := range []davitv1.ShutdownMode{
		davitv1.ShutdownMode_SHUTDOWN_MODE_UNSPECIFIED, davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL,
	} {
		l := s.start("trap 'exit 3' TERM; echo ready; sleep infinity & wait").ready()
		if err := l.Shutdown(s.Context(), mode, false); err != nil {
			s.Fatalf("shutdown by %v: %v", mode, err)
		}
		if x := l.exited(); x.Exit.GetCode() != 3 || x.Cause != driver.CausePoweroff {
			s.Errorf("exit %v by cause %d, want code 3", x.Exit, x.Cause)
		}
	}
}

// A request that would do nothing is an error, not a success.
func shutdownOfDeafInit(s *suite) {
	l := s.start(untrapped).ready()
	for _, mode := range []davitv1.ShutdownMode{
		davitv1.ShutdownMode_SHUTDOWN_MODE_UNSPECIFIED, davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL,
		davitv1.ShutdownMode_SHUTDOWN_MODE_INITCTL,
	} {
		for _, reboot := range []bool{false, true} {
			if err := l.Shutdown(s.Context(), mode, reboot); !errors.Is(err, domain.ErrFailedPrecondition) {
				s.Errorf("shutdown by %v, to reboot: %t: %v, want FAILED_PRECONDITION", mode, reboot, err)
			}
		}
	}
	// What to do instead is said.
	for word, reboot := range map[string]bool{"destroy ends": false, "reset starts": true} {
		err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, reboot)
		if err == nil || !strings.Contains(err.Error(), word) {
			s.Errorf("shutdown, to reboot: %t: %v, want %q in it", reboot, err, word)
		}
	}
	if !l.status().Running {
		s.Error("it does not run")
	}
}

// A guest that is asked to reboot comes back, however it ends but by a crash.
func shutdownReboots(s *suite) {
	for _, does := range []string{"/guest/reboot -f", "/guest/poweroff -f", "exit 0", "exit 3"} {
		l := s.start("trap '" + does + "' HUP; echo ready; sleep infinity & wait").ready()
		if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); err != nil {
			s.Fatalf("reboot: %v", err)
		}
		l.rebooted()
	}
}

// endsRebooting wants an init that reboots, and that nothing follows.
func (l *life) endsRebooting() {
	l.s.Helper()
	if x := l.exited(); x.Exit.GetSignal() != uint32(syscall.SIGHUP) {
		l.s.Errorf("exited %+v, want a reboot that is the end", x)
	}
}

// A guest that is asked to end while it reboots has ended then, whoever began the reboot.
func shutdownOverridesReboot(s *suite) {
	for _, test := range []struct {
		script string
		asked  bool // to reboot, before
	}{
		{"trap true TERM; trap 'sleep 0.3; /guest/reboot -f' HUP; echo ready; sleep infinity & wait; wait", true},
		{"trap '/guest/reboot -f' TERM; echo ready; sleep infinity & wait", false},
	} {
		l := s.start(test.script).ready()
		if test.asked {
			if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); err != nil {
				s.Fatalf("reboot: %v", err)
			}
		}
		if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, false); err != nil {
			s.Fatalf("shutdown: %v", err)
		}
		l.endsRebooting()
	}
}

// One that reboots already need not hear it.
func shutdownOverridesDeafReboot(s *suite) {
	l := s.start("trap 'sleep 0.5; /guest/reboot -f' HUP; echo ready; sleep infinity & wait").ready()
	if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); err != nil {
		s.Fatalf("reboot: %v", err)
	}
	if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, false); err != nil {
		s.Fatalf("shutdown: %v", err)
	}
	l.endsRebooting()
}

// A guest that was asked to end is not asked to reboot, which it might take for nothing. After a new daemon that holds as well.
func rebootAfterShutdown(s *suite) {
	l := s.start("trap true TERM; trap true HUP; echo ready; sleep infinity & wait; sleep infinity & wait; sleep infinity & wait").ready()
	if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, false); err != nil {
		s.Fatalf("shutdown: %v", err)
	}
	s.reopen()
	l.recover()
	if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("reboot: %v, want FAILED_PRECONDITION", err)
	}
	if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, false); err != nil {
		s.Errorf("shutdown again: %v", err)
	}
	if !l.status().Running {
		s.Error("it does not run")
	}
}

// A guest that is killed while it reboots does not come back.
func killOverridesReboot(s *suite) {
	l := s.start("trap 'sleep 0.1; /guest/reboot -f' HUP; echo ready; sleep infinity & wait").ready()
	if err := l.Shutdown(s.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); err != nil {
		s.Fatalf("reboot: %v", err)
	}
	l.kill()
	l.exited()
}

// rebooted wants a reboot and a new init.
func (l *life) rebooted() {
	l.s.Helper()
	started, _ := want[driver.Started](l)
	x, _ := want[driver.Exited](l)
	if x.Cause != driver.CauseReboot || !x.Restart {
		l.s.Errorf("exited %+v, want a reboot", x)
	}
	again, _ := want[driver.Restarted](l)
	st := l.status()
	if again.Count != 1 || again.Cause != driver.CauseReboot || again.InitPID == started.InitPID {
		l.s.Errorf("restarted %+v after init %d", again, started.InitPID)
	}
	if st.Restarts != 1 || !st.Running {
		l.s.Errorf("status %+v, want one restart", st)
	}
}

func guestReboots(s *suite) {
	l := s.start("trap 'exit 0' TERM; echo ready; sleep 0.1; /guest/reboot -f; sleep infinity")
	l.rebooted()
	l.kill()
}

func guestPowersOff(s *suite) {
	x := s.start("/guest/poweroff -f; sleep infinity").exited()
	if x.Cause != driver.CausePoweroff {
		s.Errorf("exited %+v, want a power-off", x)
	}
}

func crashRestarts(s *suite) {
	l := s.start(idle, restartOn(crash)).ready()
	want[driver.Started](l)
	for n := uint32(1); n <= 2; n++ {
		if err := l.Signal(s.Context(), 1, int(syscall.SIGKILL)); err != nil {
			s.Fatalf("signal: %v", err)
		}
		x, _ := want[driver.Exited](l)
		again, _ := want[driver.Restarted](l)
		if x.Cause != driver.CauseCrash || !x.Restart || again.Count != n || again.Cause != driver.CauseCrash {
			s.Errorf("exited %+v, restarted %+v, want restart %d after a crash", x, again, n)
		}
	}
}

func policyOfReboot(s *suite) {
	x := s.start("/guest/reboot -f; sleep infinity", func(def *davitv1.Domain) {
		def.OnReboot = davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY
	}).exited()
	if x.Cause != driver.CauseReboot {
		s.Errorf("exited %+v, want a reboot", x)
	}
}

// What needs a running container says so once it has stopped.
func stoppedRefuses(s *suite) {
	l := s.start(idle).ready()
	l.kill()
	ctx := s.Context()
	for name, call := range map[string]func() error{
		"signal":   func() error { return l.Signal(ctx, 1, int(syscall.SIGTERM)) },
		"suspend":  func() error { return l.Suspend(ctx) },
		"resume":   func() error { return l.Resume(ctx) },
		"shutdown": func() error { return l.Shutdown(ctx, 0, false) },
		"stats":    func() error { _, err := l.Stats(ctx); return err },
		"list":     func() error { _, err := l.Processes(ctx); return err },
		"console":  func() error { _, err := l.OpenConsole(ctx, driver.ConsoleOptions{}); return err },
		"exec": func() error {
			_, err := l.Exec(ctx, driver.ExecOptions{ID: "a", Argv: []string{"true"}})
			return err
		},
	} {
		if err := call(); !errors.Is(err, domain.ErrFailedPrecondition) {
			s.Errorf("%s: %v, want FAILED_PRECONDITION", name, err)
		}
	}
}

func releaseTwice(s *suite) {
	l := s.start(idle).ready()
	l.kill()
	l.release()
	l.release()
	s.gone(l.spec)
	next := l.spec
	next.Generation = domain.NewUUID()
	s.startSpec(next).ready()
}

func releaseOfRunning(s *suite) {
	l := s.start(idle).ready()
	ctx, cancel := context.WithTimeout(s.Context(), s.patience)
	defer cancel()
	if err := l.Release(ctx); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("release: %v, want FAILED_PRECONDITION", err)
	}
	if !l.status().Running {
		s.Error("the refused release ended it")
	}
}
