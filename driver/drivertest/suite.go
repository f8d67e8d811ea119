// Package drivertest is the contract of package driver as a test suite: what it says here, every driver does.
//
// A driver's own test calls [Run] with a [Factory]. The suite writes definitions whose init is a script of /bin/sh, the
// factory adds the root in which that shell is, and gives drivers that all work on one state, so that closing one and
// opening the next is a restart of the daemon.
//
// The scripts use sh, echo, cat, env, exit, kill, sleep, trap, true, tty and wait, and /guest/reboot and /guest/poweroff,
// which call reboot(2).
package drivertest

import (
	"context"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Factory makes what a test works on.
type Factory interface {
	// Open gives a driver on the state of the test. The one before it was closed.
	Open(t *testing.T) driver.Driver
	// Complete adds to a definition what the driver needs to find the programs of the scripts.
	Complete(t *testing.T, def *davitv1.Domain)
}

// Partial is a factory whose drivers cannot be held to all of the contract, because something stands between: names of
// tests that are left out, with the reason.
type Partial interface {
	Omit() map[string]string
}

// Patient is a factory for a host that is slower than others, as an emulated one is.
type Patient interface {
	// Patience is how long anything may take.
	Patience() time.Duration
}

// patience is how long anything may take where the factory does not say.
const patience = time.Minute

// Run runs the suite; make is called once for each test.
func Run(t *testing.T, make func(t *testing.T) Factory) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name(), func(t *testing.T) {
			f := make(t)
			if p, ok := f.(Partial); ok {
				if why, omitted := p.Omit()[test.name()]; omitted {
					t.Skip(why)
				}
			}
			s := &suite{T: t, factory: f, patience: patience}
			if p, ok := f.(Patient); ok {
				s.patience = p.Patience()
			}
			s.driver = f.Open(t)
			t.Cleanup(s.close)
			test(s)
		})
	}
}

// testcase is a test, known by the name of its function.
type testcase func(*suite)

func (c testcase) name() string {
	name := runtime.FuncForPC(reflect.ValueOf(c).Pointer()).Name()
	name = name[strings.LastIndexByte(name, '.')+1:]
	return strings.ToUpper(name[:1]) + name[1:]
}

var tests = slices.Concat(lifeTests, failureTests, eventTests, recoveryTests, consoleTests, execTests, processTests,
	updateTests, deviceTests)

// suite is a test under way.
type suite struct {
	*testing.T
	factory  Factory
	driver   driver.Driver
	lives    []*life
	patience time.Duration
}

// close ends what the test left running.
func (s *suite) close() {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	for _, l := range s.lives {
		if l.released {
			continue
		}
		i, err := s.driver.Recover(ctx, l.spec)
		if err != nil {
			continue
		}
		if err := i.Kill(ctx); err != nil {
			s.Errorf("kill %s: %v", l.spec.Definition.GetName(), err)
		}
		if err := i.Release(ctx); err != nil {
			s.Errorf("release %s: %v", l.spec.Definition.GetName(), err)
		}
	}
	if err := s.driver.Close(); err != nil {
		s.Errorf("close: %v", err)
	}
}

// reopen is a restart of the daemon.
func (s *suite) reopen() {
	s.Helper()
	if err := s.driver.Close(); err != nil {
		s.Fatalf("close: %v", err)
	}
	s.driver = s.factory.Open(s.T)
}

// spec makes a spec for an init that runs a script.
func (s *suite) spec(script string, change ...func(*davitv1.Domain)) driver.Spec {
	s.Helper()
	id := domain.NewUUID()
	def := &davitv1.Domain{
		Type: davitv1.DomainType_DOMAIN_TYPE_LXC, Name: "test-" + id[:8], Uuid: id,
		MemoryKib: 256 << 10, CurrentMemoryKib: 256 << 10, Vcpu: &davitv1.Vcpu{Count: 1},
		Os:         &davitv1.Os{Type: "exe", Init: "/bin/sh", Initarg: []string{"-c", script}},
		OnPoweroff: davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY,
		OnReboot:   davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART,
		OnCrash:    davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY,
		Devices:    &davitv1.Devices{Console: []*davitv1.Console{{}}},
		// Of those that are shut in only a system may reboot itself.
		Profile: &davitv1.Profile{Name: davitv1.ProfileName_PROFILE_NAME_SYSTEM},
	}
	s.factory.Complete(s.T, def)
	for _, c := range change {
		c(def)
	}
	return driver.Spec{Ref: driver.Ref{UUID: id, Generation: domain.NewUUID()}, Definition: def}
}

// start starts an init that runs a script.
func (s *suite) start(script string, change ...func(*davitv1.Domain)) *life {
	s.Helper()
	return s.startSpec(s.spec(script, change...))
}

func (s *suite) startSpec(spec driver.Spec) *life {
	s.Helper()
	i, err := s.driver.Start(s.Context(), spec)
	if err != nil {
		s.Fatalf("start: %v", err)
	}
	l := &life{s: s, spec: spec, Instance: i}
	s.lives = append(s.lives, l)
	return l
}

// restartOn makes an action a restart.
func restartOn(field func(*davitv1.Domain) *davitv1.LifecycleAction) func(*davitv1.Domain) {
	return func(def *davitv1.Domain) { *field(def) = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART }
}

func poweroff(def *davitv1.Domain) *davitv1.LifecycleAction { return &def.OnPoweroff }
func crash(def *davitv1.Domain) *davitv1.LifecycleAction    { return &def.OnCrash }
