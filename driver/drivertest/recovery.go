package drivertest

import (
	"errors"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
)

var recoveryTests = []testcase{
	recoverRunning, recoverPaused, recoverEnded, recoverUnknown, recoverOtherGeneration, sweepKeeps, sweepRemoves, forgetUnknown,
}

// A container does not notice that the daemon went away.
func recoverRunning(s *suite) {
	l := s.start("trap 'exit 6' TERM; echo ready; sleep infinity & wait").ready()
	before := l.status()
	s.reopen()
	l.recover()
	if after := l.status(); after != before {
		s.Errorf("status %+v, was %+v", after, before)
	}
	l.ready()
	if x := l.exec(driver.ExecOptions{ID: domain.NewUUID(), Argv: []string{"sh", "-c", "exit 9"}}).rest(); x.exit.GetCode() != 9 {
		s.Errorf("exec: %v, want code 9", x.exit)
	}
	if err := l.Shutdown(s.Context(), 0, false); err != nil {
		s.Fatalf("shutdown: %v", err)
	}
	if x := l.exited(); x.Exit.GetCode() != 6 {
		s.Errorf("exit %v, want code 6", x.Exit)
	}
}

// A frozen container is still known as frozen, and can be thawed.
func recoverPaused(s *suite) {
	l := s.start(idle).ready()
	if err := l.Suspend(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.reopen()
	l.recover()
	if st := l.status(); !st.Paused {
		s.Errorf("status %+v, want it paused", st)
	}
	if err := l.Resume(s.Context()); err != nil {
		s.Fatalf("resume: %v", err)
	}
	if err := l.Shutdown(s.Context(), 0, false); err != nil {
		s.Fatal(err)
	}
	l.exited()
}

// The exit of an init that ended while no daemon ran is exact.
func recoverEnded(s *suite) {
	l := s.start("trap 'exit 0' TERM; echo ready; sleep 0.5; exit 42").ready()
	s.reopen()
	l.recover()
	x := l.exited()
	if x.Exit.GetCode() != 42 || x.Cause != driver.CausePoweroff {
		s.Errorf("exit %v by cause %d, want code 42", x.Exit, x.Cause)
	}
	l.release()
	s.gone(l.spec)
}

func recoverUnknown(s *suite) { s.gone(s.spec(idle)) }

// Another run of the same domain is another thing.
func recoverOtherGeneration(s *suite) {
	l := s.start(idle).ready()
	other := l.spec
	other.Generation = domain.NewUUID()
	s.gone(other)
	if !l.status().Running {
		s.Error("recovering another run ended this one")
	}
}

func sweepKeeps(s *suite) {
	kept := s.start(idle).ready()
	s.reopen()
	if err := s.driver.Sweep(s.Context(), []driver.Ref{kept.spec.Ref}); err != nil {
		s.Fatalf("sweep: %v", err)
	}
	kept.recover()
	if !kept.status().Running {
		s.Error("the sweep ended what was to be kept")
	}
}

func sweepRemoves(s *suite) {
	kept, lost := s.start(idle).ready(), s.start(idle).ready()
	s.reopen()
	if err := s.driver.Sweep(s.Context(), []driver.Ref{kept.spec.Ref}); err != nil {
		s.Fatalf("sweep: %v", err)
	}
	s.gone(lost.spec)
	kept.recover()
	if !kept.status().Running {
		s.Error("the sweep ended what was to be kept")
	}
	if err := kept.Signal(s.Context(), 77777, 0); !errors.Is(err, domain.ErrNotFound) {
		s.Errorf("signal to no process: %v, want NOT_FOUND", err)
	}
}

func forgetUnknown(s *suite) {
	if err := s.driver.Forget(s.Context(), domain.NewUUID()); err != nil {
		s.Errorf("forget: %v", err)
	}
}
