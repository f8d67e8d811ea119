package drivertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var failureTests = []testcase{
	startWithoutInit, startWithoutSource, startCancelled, startWithDeadline, startTwice, startManyAtOnce, planIsTheSame, checkTells,
}

// refused starts and wants the error that tells what could not be done, and nothing left.
func (s *suite) refused(spec driver.Spec, object string) {
	s.Helper()
	_, err := s.driver.Start(s.Context(), spec)
	var e *domain.Error
	if !errors.As(err, &e) {
		s.Fatalf("start: %v, want a *domain.Error", err)
	}
	if e.Reason != davitv1.ErrorReason_ERROR_REASON_START_FAILED || !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("start: code %v, reason %v, want FAILED_PRECONDITION and START_FAILED", e.Code, e.Reason)
	}
	what := e.Detail["operation"] + " " + e.Detail["object"]
	if e.Detail["operation"] == "" || e.Detail["object"] == "" || !strings.Contains(what, object) || e.Detail["errno"] != "ENOENT" {
		s.Errorf("start: detail %v, want operation and object with %q, and errno ENOENT", e.Detail, object)
	}
	if !strings.Contains(err.Error(), object) {
		s.Errorf("start: %v, want %q named", err, object)
	}
	s.gone(spec)
}

// gone checks that nothing is left of a start.
func (s *suite) gone(spec driver.Spec) {
	s.Helper()
	if _, err := s.driver.Recover(s.Context(), spec); !errors.Is(err, domain.ErrNotFound) {
		s.Errorf("recover: %v, want NOT_FOUND", err)
	}
}

// A program that does not exist is named, nothing is left, and the domain can be started once it is put right.
func startWithoutInit(s *suite) {
	spec := s.spec(idle)
	init := spec.Definition.GetOs().GetInit()
	spec.Definition.Os.Init = "/nonexistent/init"
	s.refused(spec, "/nonexistent/init")

	spec.Definition.Os.Init, spec.Generation = init, domain.NewUUID()
	s.startSpec(spec).ready()
}

// A source that does not exist is named; it is never made.
func startWithoutSource(s *suite) {
	s.refused(s.spec(idle, func(def *davitv1.Domain) {
		def.Devices.Filesystem = append(def.Devices.Filesystem, &davitv1.Filesystem{
			Type:      davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT,
			SourceDir: "/nonexistent/data", TargetDir: "/mnt",
		})
	}), "/nonexistent/data")
}

func startCancelled(s *suite) {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	spec := s.spec(idle)
	if _, err := s.driver.Start(ctx, spec); !errors.Is(err, context.Canceled) {
		s.Errorf("start: %v, want it cancelled", err)
	}
	s.gone(spec)
}

// Whenever the caller's time is over, the container either runs or has left nothing.
func startWithDeadline(s *suite) {
	for limit := 50 * time.Microsecond; limit < time.Second; limit *= 2 {
		spec := s.spec(idle)
		ctx, cancel := context.WithTimeout(s.Context(), limit)
		i, err := s.driver.Start(ctx, spec)
		cancel()
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				s.Errorf("start within %v: %v, want the deadline exceeded", limit, err)
			}
			s.gone(spec)
			continue
		}
		l := &life{s: s, spec: spec, Instance: i}
		s.lives = append(s.lives, l)
		l.ready()
		l.kill()
		l.release()
	}
}

// A domain has one run at a time.
func startTwice(s *suite) {
	l := s.start(idle).ready()
	again := l.spec
	again.Generation = domain.NewUUID()
	if _, err := s.driver.Start(s.Context(), again); !errors.Is(err, domain.ErrFailedPrecondition) {
		s.Errorf("start again: %v, want FAILED_PRECONDITION", err)
	}
	if !l.status().Running {
		s.Error("the refused start ended the run before it")
	}
}

func startManyAtOnce(s *suite) {
	const n = 8
	specs := make([]driver.Spec, n)
	for i := range specs {
		specs[i] = s.spec(idle)
	}
	instances, errs := make([]driver.Instance, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range specs {
		wg.Go(func() { instances[i], errs[i] = s.driver.Start(s.Context(), specs[i]) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			s.Errorf("start %d: %v", i, err)
			continue
		}
		l := &life{s: s, spec: specs[i], Instance: instances[i]}
		s.lives = append(s.lives, l)
		l.ready()
	}
	for i := range instances {
		if instances[i] != nil {
			wg.Go(func() { errs[i] = instances[i].Kill(s.Context()) })
		}
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		s.Error(err)
	}
}

// Who plans gives the same plan each time, and touches nothing.
func planIsTheSame(s *suite) {
	p, ok := s.driver.(driver.Planner)
	if !ok {
		s.Skip("the driver does not plan")
	}
	spec := s.spec(idle)
	first, err := p.Plan(s.Context(), spec.Definition, false)
	if err != nil {
		s.Fatal(err)
	}
	second, err := p.Plan(s.Context(), spec.Definition, false)
	if err != nil {
		s.Fatal(err)
	}
	if first == "" || first != second {
		s.Errorf("plans differ or say nothing:\n%s\n%s", first, second)
	}
	s.gone(spec)
}

func checkTells(s *suite) {
	if _, err := s.driver.Check(s.Context(), s.spec(idle).Definition); err != nil {
		s.Errorf("check: %v", err)
	}
	c, err := s.driver.Capabilities(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if c.Name == "" || c.Instance == "" || c.Cgroup == "" {
		s.Errorf("capabilities %+v lack name, instance or cgroup", c)
	}
}
