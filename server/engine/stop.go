package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// maxGrace is the longest time that a guest may be given to end before force is used.
const maxGrace = time.Hour

// ShutdownDomain asks the guest to end.
func (e *Engine) ShutdownDomain(ctx context.Context, q *davitv1.ShutdownDomainRequest) (*davitv1.ShutdownDomainResponse, error) {
	if err := knownMode(q.GetMode()); err != nil {
		return nil, err
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.ShutdownDomainResponse, error) {
		return act(ctx, e, q.GetDomain(), "shut down domain", func(ctx context.Context, a *actor) (*davitv1.ShutdownDomainResponse, error) {
			position, err := a.shutdown(ctx, q.GetMode())
			if err != nil {
				return nil, err
			}
			return &davitv1.ShutdownDomainResponse{Position: position}, nil
		})
	})
}

// shutdown asks the guest to end, and tells that it was asked.
func (a *actor) shutdown(ctx context.Context, mode davitv1.ShutdownMode) (*davitv1.EventPosition, error) {
	s := a.current.Load()
	to, err := s.next(domain.Shutdown)
	if err != nil {
		return nil, err
	}
	if err := s.run.instance.Shutdown(ctx, mode, false); err != nil {
		return nil, err
	}
	return a.change(s, to)
}

// change commits what a user's action led to.
func (a *actor) change(s *snapshot, to domain.Transition) (*davitv1.EventPosition, error) {
	if s.Condition == to.To && len(to.Events) == 0 {
		return a.settle()
	}
	next := *s
	if next.Condition != to.To {
		next.Condition, next.since = to.To, time.Now()
	}
	return a.commit(next, a.lifecycle(&next, time.Now(), to.Events)...)
}

// RebootDomain asks the guest to reboot. That it did is told by an event.
func (e *Engine) RebootDomain(ctx context.Context, q *davitv1.RebootDomainRequest) (*davitv1.RebootDomainResponse, error) {
	if err := knownMode(q.GetMode()); err != nil {
		return nil, err
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.RebootDomainResponse, error) {
		return act(ctx, e, q.GetDomain(), "reboot domain", func(ctx context.Context, a *actor) (*davitv1.RebootDomainResponse, error) {
			s := a.current.Load()
			to, err := s.next(domain.Reboot)
			if err == nil {
				err = s.run.instance.Shutdown(ctx, q.GetMode(), true)
			}
			if err != nil {
				return nil, err
			}
			position, err := a.change(s, to)
			if err != nil {
				return nil, err
			}
			return &davitv1.RebootDomainResponse{Position: position}, nil
		})
	})
}

// DestroyDomain ends a domain by force, after a grace if one is given, and returns when nothing of it is left. A start
// that is under way is ended at once.
func (e *Engine) DestroyDomain(ctx context.Context, q *davitv1.DestroyDomainRequest) (*davitv1.DestroyDomainResponse, error) {
	grace := q.GetGrace().AsDuration()
	if grace < 0 || grace > maxGrace {
		return nil, invalid("grace", "%v, it must be 0 to %v", grace, maxGrace)
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.DestroyDomainResponse, error) {
		return act(ctx, e, q.GetDomain(), destroyJob, func(ctx context.Context, a *actor) (*davitv1.DestroyDomainResponse, error) {
			if a.interrupted() && !a.current.Load().active() {
				return &davitv1.DestroyDomainResponse{Position: e.journal.Newest()}, nil
			}
			if _, err := a.current.Load().next(domain.Destroy); err != nil {
				return nil, err
			}
			if !a.yields(ctx, grace) {
				if err := a.destroy(nil); err != nil {
					return nil, err
				}
			}
			if _, err := a.settle(); err != nil {
				return nil, err
			}
			return &davitv1.DestroyDomainResponse{Position: a.told}, nil
		})
	})
}

// destroyJob is the name of the job that cuts a grace short.
const destroyJob = "destroy domain"

// yields asks the guest to end, waits for it, and tells whether it did. The wait is over when somebody else wants the
// domain destroyed.
func (a *actor) yields(ctx context.Context, grace time.Duration) bool {
	if grace == 0 {
		return false
	}
	if _, err := a.shutdown(ctx, davitv1.ShutdownMode_SHUTDOWN_MODE_UNSPECIFIED); err != nil {
		a.log.Info("guest cannot be asked to end", zap.Error(err))
		return false
	}
	waiting, cancel := context.WithTimeout(a.engine.aborted, grace)
	defer cancel()
	for a.current.Load().active() && waiting.Err() == nil && !a.pressed() {
		a.attend(waiting.Done(), a.wake)
	}
	return !a.current.Load().active()
}

// pressed tells whether another destroy waits for its turn.
func (a *actor) pressed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.queue, (*job).destroys)
}

// destroy ends the run. That it is the doing of a user is stored before anything is done, because afterwards nobody
// could tell it from a crash; with it what is to be started then, if anything is.
func (a *actor) destroy(again *definition) error {
	ctx, cancel := context.WithTimeout(a.engine.aborted, a.engine.jobLimit) // a grace may have used the job's time up
	defer cancel()
	s := a.current.Load()
	if err := a.mark(store.EndingDestroyed, again); err != nil {
		return err
	}
	if err := s.run.instance.Kill(ctx); err != nil {
		if errors.Is(err, driver.ErrStuck) {
			return a.stick(err)
		}
		a.unmark(s.run.ending)
		return err
	}
	return a.until(ctx, func(s *snapshot) bool { return s.run == nil })
}

// stick tells of a run that was killed and cannot end yet. That it is the doing of a user stays noted: whenever the driver tells of the end,
// that is what it was. What was to be started then is not, for whoever asked for it is told that it came to nothing.
func (a *actor) stick(err error) error {
	a.drain()
	next := *a.current.Load()
	if !next.active() {
		return nil // it could after all
	}
	next.lastError, next.again = err.Error(), nil
	told := a.turnTo(&next, time.Now(), domain.Stuck)
	if failed := a.adopt(next, told...); failed != nil {
		a.log.Warn("store state", zap.Error(failed))
	}
	return err
}

// mark notes how the run will have ended, and what follows.
func (a *actor) mark(ending store.Ending, again *definition) error {
	next := *a.current.Load()
	r := *next.run
	r.ending = ending
	next.run, next.again = &r, again
	if err := a.keep(&next, nil); err != nil {
		return err
	}
	a.show(next)
	return nil
}

// unmark takes the note back after a kill that did not succeed.
func (a *actor) unmark(ending store.Ending) {
	if !a.current.Load().active() {
		return
	}
	if err := a.mark(ending, nil); err != nil {
		a.log.Warn("store state", zap.Error(err))
	}
}

// knownMode refuses ways to end that there are not.
func knownMode(mode davitv1.ShutdownMode) error {
	if _, ok := davitv1.ShutdownMode_name[int32(mode)]; !ok {
		return invalid("mode", "%d is not known", mode)
	}
	return nil
}
