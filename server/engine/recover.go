package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// finding is what an earlier daemon left of a domain and nobody has looked for yet. It belongs to the domain's actor.
type finding struct {
	status store.Status
	owed   []*davitv1.Event
	begun  bool // owed is the actor's
}

// recoverJob is the first job of a domain that has a finding.
const recoverJob = "recover domain"

// look queues the job that looks for the run. It begins when the actor is roused: by [Engine.Adopt], or by whoever needs the domain
// before its turn, whose own job then comes behind it.
func (n *entry) look() *job {
	j := &job{
		name: recoverJob, entry: n, values: context.Background(), done: make(chan struct{}),
		do: func(ctx context.Context, a *actor) error {
			defer a.engine.boot.begin(ctx)()
			return a.seek(ctx)
		},
	}
	n.queue = append(n.queue, j)
	return j
}

// seek finds out what became of the run that the domain had when the daemon started, unless that is known. If the driver cannot tell, all
// stays as it is: it is asked again, by the next job or after a while.
func (a *actor) seek(ctx context.Context) error {
	f := a.found
	if f == nil {
		return nil
	}
	if !f.begun {
		f.begun = true
		a.owe(f.owed)
	}
	if f.status.Definition == nil {
		a.found = nil
		a.settleLater()
		a.tidy(a.current.Load())
		return nil
	}
	next, r := *a.current.Load(), *a.current.Load().run
	instance, err := a.engine.driver.Recover(ctx, next.spec(f.status.Definition))
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		a.log.Warn("find the run of domain", zap.Error(err))
		a.later()
		return unfound(a.name, err)
	}
	a.found, r.sought, next.run = nil, false, &r
	if err != nil {
		a.lost(next, err)
		return nil
	}
	r.instance = instance
	r.live = a.completed(instance, r.live)
	now, unknown := instance.Status(ctx)
	r.initPID = now.InitPID
	a.show(next)
	a.settleLater()
	if f.status.Revised != nil {
		a.retune(ctx, f.status)
	}
	if err = unknown; err == nil {
		err = a.rejoin(ctx, instance, now)
	}
	if err != nil {
		// The run is there and the engine cannot follow it yet: its actor tries again.
		a.log.Error("recover domain", zap.Error(err))
		a.later()
	}
	return nil
}

// unfound is the error of a domain of which it cannot be known what became of its run.
func unfound(name string, err error) error {
	if e, known := errors.AsType[*domain.Error](err); known {
		return e
	}
	return &domain.Error{
		Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL, Op: recoverJob, Subject: name,
		Message: fmt.Sprintf("it cannot be told yet whether it still runs: %v; it is tried again", err), Err: err,
	}
}

// reach gives the instance of an active domain. One that is not adopted yet is adopted ahead of its turn, and waited for.
func (e *Engine) reach(ctx context.Context, ref *davitv1.DomainRef, verb string) (driver.Instance, *snapshot, error) {
	n, _, err := e.table.find(ref)
	if err != nil {
		return nil, nil, err
	}
	s, err := n.adopted(ctx, verb)
	if err != nil {
		return nil, nil, err
	}
	instance, err := s.instance(verb)
	return instance, s, err
}

// adopted is the domain once it is known what became of the run that it had when the daemon started.
func (n *entry) adopted(ctx context.Context, verb string) (*snapshot, error) {
	waiting, cancel := turn(ctx)
	defer cancel()
	for {
		s := n.current.Load()
		if s.run == nil || !s.run.sought {
			return s, nil
		}
		if err := n.rouse(); err != nil {
			return nil, err
		}
		select {
		case <-s.changed:
		case <-waiting.Done():
			return nil, busy(s.name, verb+" domain", recoverJob)
		case <-n.engine.closing:
			return nil, shuttingDown()
		}
	}
}

// lost ends a run of which nothing is left. One whose start was told ends with an event; one that was never told of
// ends as it began.
func (a *actor) lost(next snapshot, err error) {
	a.log.Warn("run of domain is gone", zap.Error(err))
	if next.starting() {
		next.lastError = "the daemon ended while the domain was being started"
	} else {
		next.lastError = "nothing was left of the domain when the daemon started"
	}
	told := a.turnTo(&next, time.Now(), domain.FoundStopped)
	if err := a.end(next, nil, told...); err != nil {
		a.log.Error("store the end of domain", zap.Error(err))
		a.vacate(next)
	}
}

// rejoin follows the run again, which was as given: what happened meanwhile is told, and what was left half done is finished.
func (a *actor) rejoin(ctx context.Context, instance driver.Instance, now driver.Status) error {
	s := a.current.Load()
	if err := a.subscribe(instance, s.journal.sequence); err != nil {
		return err
	}
	if s.starting() {
		if err := a.until(ctx, func(s *snapshot) bool { return s.run == nil || !s.starting() }); err != nil {
			return err
		}
	}
	switch {
	case !a.current.Load().active():
		return nil
	case s.Condition == domain.Lingering && now.Running:
		return nil // all of it was killed, and nothing of it starts again
	case s.run.ending == store.EndingDestroyed && now.Running:
		err := instance.Kill(ctx)
		if errors.Is(err, driver.ErrStuck) {
			_ = a.stick(err) // its events tell of it from now on
			return nil
		}
		if err != nil {
			return err
		}
	case now.Running:
		return a.reconcile(now.Paused)
	}
	return a.until(ctx, func(s *snapshot) bool { return s.run == nil })
}

// reconcile makes the state say whether the guest is frozen: a daemon may have been killed between the act and its record.
func (a *actor) reconcile(frozen bool) error {
	s := a.current.Load()
	action := domain.Suspend
	switch {
	case frozen == (s.State == davitv1.DomainState_DOMAIN_STATE_PAUSED):
		return nil
	case !frozen:
		action = domain.Resume
	}
	to, err := s.next(action)
	if err != nil {
		return err
	}
	_, err = a.change(s, to)
	return err
}
