package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/store"
)

// Recover finds everything again after a start of the daemon: definitions, the runs that went on without it, what they
// did meanwhile, and what was left half done. It is called once, before the first other call, and ends with the sweep
// of what belongs to nobody.
func (e *Engine) Recover(ctx context.Context) error {
	defs, quarantined, err := e.store.Load()
	if err != nil {
		return fmt.Errorf("recover domains: %w", err)
	}
	for _, reason := range quarantined {
		e.log.Error("definition cannot be read", zap.String("file", reason))
	}
	statuses, err := e.store.Statuses()
	if err != nil {
		return fmt.Errorf("recover domains: %w", err)
	}
	byUUID := make(map[string]store.Status, len(statuses))
	for _, status := range statuses {
		byUUID[status.UUID] = status
	}
	for _, def := range defs {
		if err = e.load(def, byUUID); err != nil {
			return fmt.Errorf("recover domain %q: %w", def.Def.GetName(), err)
		}
	}
	keep, err := e.recoverRuns(ctx, byUUID)
	if err != nil {
		return err
	}
	if err := e.recoverRequests(); err != nil {
		return fmt.Errorf("recover requests: %w", err)
	}
	refs := slices.Clone(keep)
	for _, def := range defs {
		refs = append(refs, driver.Ref{UUID: def.Def.GetUuid()})
	}
	if err := e.driver.Sweep(ctx, refs); err != nil {
		e.log.Error("sweep what nobody owns", zap.Error(err))
	}
	e.reserveAll(ctx, defs)
	e.finishResets(ctx) // not before the sweep, which knows the runs only that there were
	e.log.Info("domains recovered", zap.Int("defined", len(defs)), zap.Int("active", len(keep)))
	return nil
}

// load makes an entry of a stored definition, as it was when it ran last.
func (e *Engine) load(def store.Definition, byUUID map[string]store.Status) error {
	resting, err := rest(asleep(def.Def))
	if err != nil {
		return err
	}
	s := snapshot{uuid: def.Def.GetUuid(), name: def.Def.GetName(), stored: resting, autostart: def.Autostart}
	to, err := s.next(domain.Define)
	if err != nil {
		return err
	}
	s.Condition = to.To
	if status, ok := byUUID[s.uuid]; ok && status.Definition == nil {
		if err := s.recall(status); err != nil {
			return err
		}
	}
	return e.enrol(s)
}

// enrol puts a domain that was found in the table.
func (e *Engine) enrol(s snapshot) error {
	n, rival := e.table.claim(e, s.uuid, s.name)
	switch {
	case n != nil:
		newActor(n).show(s)
		return nil
	case rival != nil:
		return rival.refuse(s.uuid, s.name)
	}
	return shuttingDown()
}

// recall takes what a status says of the last run, or of this one.
func (s *snapshot) recall(status store.Status) error {
	if status.Again != nil {
		again, err := rest(status.Again)
		if err != nil {
			return err
		}
		s.again = again
	}
	s.Condition = domain.Condition{State: status.State, Reason: status.Reason}
	s.since, s.exit, s.lastError, s.took = status.Since, status.Exit, status.LastError, status.StartDuration
	s.journal = marks{generation: status.Generation, sequence: status.Sequence, mark: status.Mark}
	return nil
}

// recoverRuns recovers what was active or owes events, many at once, and tells which runs go on.
func (e *Engine) recoverRuns(ctx context.Context, byUUID map[string]store.Status) ([]driver.Ref, error) {
	var mu sync.Mutex
	var keep []driver.Ref
	var group errgroup.Group
	group.SetLimit(e.parallel)
	for _, status := range byUUID {
		group.Go(func() error {
			alive, err := e.recoverRun(ctx, status)
			if err != nil {
				e.log.Error("recover domain", zap.String("uuid", status.UUID), zap.Error(err))
				alive = true // what is not known to be dead is not swept
			}
			if alive {
				mu.Lock()
				defer mu.Unlock()
				keep = append(keep, driver.Ref{UUID: status.UUID, Generation: status.Generation})
			}
			return nil
		})
	}
	_ = group.Wait() // each one's error was logged
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("recover domains: %w", err)
	}
	return keep, nil
}

// recoverRun recovers the run of a status, and tells whether it goes on.
func (e *Engine) recoverRun(ctx context.Context, status store.Status) (bool, error) {
	n := e.table.lookup(status.UUID)
	owed := e.missing(status, n)
	status = revised(status, n)
	switch {
	case n == nil && status.Definition == nil && status.Again == nil:
		return false, e.bury(status, owed)
	case n == nil:
		var err error
		if n, err = e.transient(status); err != nil {
			return false, err
		}
	}
	return do(ctx, n, "recover domain", func(ctx context.Context, a *actor) (bool, error) {
		a.owe(owed)
		if status.Definition == nil {
			a.settleLater()
			a.tidy(a.current.Load())
			return false, nil
		}
		return a.recover(ctx, status)
	})
}

// transient makes an entry of a domain that has no stored definition, for its run to be found, or to be made again.
func (e *Engine) transient(status store.Status) (*entry, error) {
	def := status.Definition
	if def == nil {
		def = status.Again
	}
	live, err := rest(def)
	if err != nil {
		return nil, err
	}
	to, err := domain.Next(domain.Absent, domain.Define)
	if err != nil {
		return nil, err
	}
	s := snapshot{Condition: to.To, uuid: def.GetUuid(), name: def.GetName(), last: live}
	if status.Definition == nil {
		if err := s.recall(status); err != nil {
			return nil, err
		}
	}
	if err := e.enrol(s); err != nil {
		return nil, err
	}
	return e.table.lookup(s.uuid), nil
}

// missing are the events that a state owes and the journal does not have. What was to be told of a stored definition
// that is not there was not done.
func (e *Engine) missing(status store.Status, n *entry) []*davitv1.Event {
	if status.Pledge != nil {
		found := &store.Pledge{}
		if n != nil {
			found = n.current.Load().promise()
		}
		if *found != *status.Pledge {
			return nil
		}
	}
	last, known := e.journal.Origin(status.UUID)
	if !known || last.Generation != status.Generation {
		return status.Owed
	}
	first := status.Mark - uint64(len(status.Owed)) + 1
	for i := range status.Owed {
		if first+uint64(i) > last.Sequence {
			return status.Owed[i:]
		}
	}
	return nil
}

// bury tells the end of a transient domain that is gone, and removes its state.
func (e *Engine) bury(status store.Status, owed []*davitv1.Event) error {
	for i, ev := range owed {
		origin := events.Origin{Generation: status.Generation, Sequence: status.Mark - uint64(len(owed)-i) + 1}
		if _, err := e.tell(ev, origin); err != nil {
			return err
		}
	}
	return e.store.DeleteStatus(status.UUID)
}

// recover makes the domain what its status says, then what the driver says.
func (a *actor) recover(ctx context.Context, status store.Status) (alive bool, err error) {
	next, err := a.remember(status)
	if err != nil {
		return false, err
	}
	spec := next.spec(status.Definition)
	instance, err := a.find(ctx, spec)
	if err != nil {
		a.lost(next, err)
		return false, nil
	}
	next.run.instance = instance
	next.run.live = a.completed(instance, next.run.live)
	if now, err := instance.Status(ctx); err == nil {
		next.run.initPID = now.InitPID
	}
	a.show(next)
	a.settleLater()
	if status.Revised != nil {
		a.retune(ctx, status)
	}
	if err := a.rejoin(ctx, instance); err != nil {
		// The run is there and the engine cannot follow it yet: its actor tries again.
		a.log.Error("recover domain", zap.Error(err))
		a.later()
	}
	return a.current.Load().active(), nil
}

// remember is the domain as its status has it, before it is known what became of the run.
func (a *actor) remember(status store.Status) (snapshot, error) {
	next := *a.current.Load()
	domain.NameDevices(status.Definition) // an older davit named fewer
	live, err := rest(status.Definition)
	if err != nil {
		return next, err
	}
	next.last = nil
	if err := next.recall(status); err != nil {
		return next, err
	}
	next.run = &run{
		id: status.ID, live: live, paused: status.Paused, reboots: status.Reboots,
		oomKills: status.OOMKills, oomBase: status.OOMKills, ending: status.Ending,
	}
	return next, nil
}

// find asks the driver for the run; a driver that cannot tell is asked again.
func (a *actor) find(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	const tries = 3
	for try := 1; ; try++ {
		instance, err := a.engine.driver.Recover(ctx, spec)
		if err == nil || errors.Is(err, domain.ErrNotFound) || try == tries {
			return instance, err
		}
		a.log.Warn("find the run of domain", zap.Int("try", try), zap.Error(err))
		a.later()
		select {
		case <-a.retry.C:
		case <-ctx.Done():
			return nil, ctx.Err()
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

// rejoin follows the run again: what happened meanwhile is told, and what was left half done is finished.
func (a *actor) rejoin(ctx context.Context, instance driver.Instance) error {
	s := a.current.Load()
	now, err := instance.Status(ctx)
	if err != nil {
		return err
	}
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
