package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// StartDomain starts a defined domain, or tells what that would do.
func (e *Engine) StartDomain(ctx context.Context, q *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
	if q.GetDryRun() {
		return e.plan(ctx, q)
	}
	return once(arrived(ctx), e, q, func(ctx context.Context) (*davitv1.StartDomainResponse, error) {
		if err := e.awaitSweep(ctx, called(q.GetDomain())); err != nil {
			return nil, err
		}
		return act(ctx, e, q.GetDomain(), "start domain", func(ctx context.Context, a *actor) (*davitv1.StartDomainResponse, error) {
			position, err := a.startStored(ctx, q.GetPaused())
			if err != nil {
				return nil, err
			}
			return &davitv1.StartDomainResponse{Domain: a.current.Load().info(), Position: position, Phases: a.tellPhases()}, nil
		})
	})
}

// plan is a start that touches nothing.
func (e *Engine) plan(ctx context.Context, q *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
	_, s, err := e.table.find(q.GetDomain())
	if err != nil {
		return nil, err
	}
	planner, ok := e.driver.(driver.Planner)
	if !ok {
		return nil, unsupported("plan a start")
	}
	def, err := s.inactive().open()
	if err != nil {
		return nil, err
	}
	text, err := planner.Plan(ctx, live(asleep(def), s.id()), q.GetVerbose())
	if err != nil {
		return nil, startFailed(s.name, err)
	}
	return &davitv1.StartDomainResponse{Domain: s.info(), Plan: text, Position: e.journal.Newest()}, nil
}

// CreateDomain starts a domain that is gone when it stops. A domain that is defined already is started with the given
// definition for this run.
func (e *Engine) CreateDomain(ctx context.Context, q *davitv1.CreateDomainRequest) (*davitv1.CreateDomainResponse, error) {
	return once(arrived(ctx), e, q, func(ctx context.Context) (*davitv1.CreateDomainResponse, error) {
		def, warnings, err := e.admit(ctx, q.GetSource(), q.GetStrict())
		if err != nil {
			return nil, err
		}
		if err := e.awaitSweep(ctx, def.GetName()); err != nil {
			return nil, err
		}
		return claimed(ctx, e, def, "create domain", func(ctx context.Context, a *actor) (*davitv1.CreateDomainResponse, error) {
			base, action := a.current.Load(), domain.Create
			if err := keepSecrets(base, def); err != nil {
				return nil, err
			}
			if base == nil {
				base = &snapshot{uuid: a.uuid, name: a.name}
			} else if !base.active() {
				action = domain.Start
			}
			position, err := a.start(ctx, *base, action, def, q.GetPaused())
			if err != nil {
				return nil, err
			}
			return &davitv1.CreateDomainResponse{
				Domain: a.current.Load().info(), Warnings: warnings, Position: position, Phases: a.tellPhases(),
			}, nil
		})
	})
}

// startStored starts the domain by its stored definition.
func (a *actor) startStored(ctx context.Context, paused bool) (*davitv1.EventPosition, error) {
	s := a.current.Load()
	if s.active() {
		_, err := s.next(domain.Start)
		return nil, err
	}
	def, err := s.stored.open()
	if err != nil {
		return nil, err
	}
	return a.start(ctx, *s, domain.Start, def, paused)
}

// start makes a run. What is about to be done is stored first, so that a daemon that is killed meanwhile can look for
// it; the event is told when the driver's own event comes.
func (a *actor) start(ctx context.Context, next snapshot, action domain.Action, def *davitv1.Domain, paused bool) (*davitv1.EventPosition, error) {
	phases := newPhases(ctx)
	to, err := next.next(action)
	if err != nil {
		return nil, err
	}
	if err = a.engine.awaitSweep(ctx, a.name); err != nil {
		return nil, err
	}
	if _, err = a.settle(); err != nil {
		return nil, err
	}
	spec, err := a.prepare(&next, def, paused)
	if err != nil {
		return nil, err
	}
	next.Condition, next.since, next.lastError = to.To, time.Now(), ""
	if err = a.keep(&next, nil); err != nil {
		return nil, err
	}
	a.show(next)
	ctx, over := a.interruptible(ctx)
	defer over()
	phases.end(phasePrepare)
	instance, err := a.engine.driver.Start(ctx, spec)
	if err != nil {
		return nil, a.fail(startFailed(a.name, whole(ctx, err)))
	}
	phases.started(instance)
	a.attach(instance)
	if err := a.launched(ctx, instance); err != nil {
		return nil, a.fail(startFailed(a.name, a.abandon(instance, whole(ctx, err))))
	}
	if s := a.current.Load(); s.gone || s.lastError != "" {
		return nil, startFailed(a.name, errors.New(s.lastError))
	}
	if _, err := a.settle(); err != nil {
		return nil, err
	}
	a.outran()
	phases.end(phaseAnswer)
	if phases.asked {
		a.phases = phases.list
	}
	a.engine.observe(phases)
	return a.told, nil
}

// whole is why a start failed: that it was ended from outside, if it was, rather than what the driver makes of that.
func whole(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return errInterrupted
	}
	return err
}

// prepare numbers the run. A definition that is live already keeps its number.
func (a *actor) prepare(next *snapshot, def *davitv1.Domain, paused bool) (driver.Spec, error) {
	id := def.GetId()
	if id == 0 {
		var err error
		if id, err = a.engine.store.NextID(); err != nil {
			return driver.Spec{}, storeFault(a.name, err)
		}
	}
	def = live(def, id)
	resting, err := rest(def)
	if err != nil {
		return driver.Spec{}, err
	}
	next.journal = marks{generation: domain.NewUUID()}
	next.run = &run{id: id, live: resting, paused: paused}
	return next.spec(def), nil
}

// spec is the run as the driver knows it. The names that the driver chose are its own affair: it is told none of them.
func (s *snapshot) spec(def *davitv1.Domain) driver.Spec {
	return driver.Spec{
		Ref:        driver.Ref{UUID: s.uuid, Generation: s.journal.generation},
		Definition: domain.WithoutChosen(def), Paused: s.run.paused,
	}
}

// attach shows whom to ask about the run.
func (a *actor) attach(instance driver.Instance) {
	next := *a.current.Load()
	r := *next.run
	r.instance = instance
	next.run = &r
	a.show(next)
}

// launched follows the run until it is told that it started, or that it stopped.
func (a *actor) launched(ctx context.Context, instance driver.Instance) error {
	if err := a.subscribe(instance, a.current.Load().journal.sequence); err != nil {
		return err
	}
	return a.until(ctx, func(s *snapshot) bool { return s.run == nil || !s.starting() })
}

// starting tells that the start of a run was not told yet.
func (s *snapshot) starting() bool { return s.Condition == domain.Starting }

// abandon ends a run that cannot be followed.
//

func (a *actor) abandon(instance driver.Instance, err error) error {
	a.unsubscribe()
	ctx, cancel := a.brief()
	defer cancel()
	if kill := instance.Kill(ctx); kill != nil {
		err = errors.Join(err, fmt.Errorf("end the run: %w", kill))
	}
	a.release(instance)
	return err
}

// fail ends a start that came to nothing. The error is kept for those who ask later, and given back.
func (a *actor) fail(err error) error {
	next := *a.current.Load()
	if next.run == nil {
		return err
	}
	r := *next.run
	next.run, next.again = &r, nil
	next.lastError = err.Error()
	a.turnTo(&next, time.Now(), domain.StartFailed)
	if e := a.end(next, nil); e != nil {
		// The store says that it is starting; a daemon that reads that finds nothing and comes to the same end.
		a.log.Warn("store failed start", zap.Error(e))
		a.vacate(next)
	}
	return err
}
