package engine

import (
	"fmt"
	"runtime"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/store"
)

// Load reads what earlier daemons left: definitions, the runs that went on without them, what they were asked. It looks at nothing but
// the store, so it is quick however many domains run, and from then on questions are answered. It is called once, before the first
// other call; [Engine.Adopt] follows.
func (e *Engine) Load() error {
	defs, quarantined, err := e.store.Load()
	if err != nil {
		return fmt.Errorf("load domains: %w", err)
	}
	for _, reason := range quarantined {
		e.log.Error("definition cannot be read", zap.String("file", reason))
	}
	statuses, err := e.store.Statuses()
	if err != nil {
		return fmt.Errorf("load domains: %w", err)
	}
	loaded, err := laidDown(defs)
	if err != nil {
		return err
	}
	for _, s := range loaded {
		if err = e.enrol(s); err != nil {
			return fmt.Errorf("load domain %q: %w", s.name, err)
		}
	}
	for _, status := range statuses {
		if err = e.loadStatus(status); err != nil {
			e.log.Error("load domain", zap.String("uuid", status.UUID), zap.Error(err))
			e.boot.unread = append(e.boot.unread, driver.Ref{UUID: status.UUID, Generation: status.Generation})
		}
	}
	if err := e.recoverRequests(); err != nil {
		return fmt.Errorf("load requests: %w", err)
	}
	return nil
}

// laidDown are stored definitions as domains that never ran, in their order. They are encoded by as many at once as there are processors.
func laidDown(defs []store.Definition) ([]snapshot, error) {
	all := make([]snapshot, len(defs))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, def := range defs {
		group.Go(func() (err error) {
			if all[i], err = laid(def); err != nil {
				return fmt.Errorf("load domain %q: %w", def.Def.GetName(), err)
			}
			return nil
		})
	}
	return all, group.Wait()
}

func laid(def store.Definition) (snapshot, error) {
	resting, err := rest(asleep(def.Def))
	if err != nil {
		return snapshot{}, err
	}
	s := snapshot{uuid: def.Def.GetUuid(), name: def.Def.GetName(), stored: resting, autostart: def.Autostart}
	to, err := s.next(domain.Define)
	s.Condition = to.To
	return s, err
}

// loadStatus shows a domain as it was told last. What became of a run since is found out later, by the first job of its actor.
func (e *Engine) loadStatus(status store.Status) error {
	n := e.table.lookup(status.UUID)
	owed := e.missing(status, n)
	status = revised(status, n)
	switch {
	case n == nil && status.Definition == nil && status.Again == nil:
		return e.bury(status, owed)
	case n == nil:
		var err error
		if n, err = e.transient(status); err != nil {
			return err
		}
	}
	a := newActor(n)
	a.log = e.log.With(zap.String("domain", n.name), zap.String("uuid", n.uuid))
	next, err := a.remember(status)
	if err != nil {
		return err
	}
	n.debt.set(len(owed) > 0)
	a.show(next)
	if status.Definition == nil && len(owed) == 0 {
		a.tidy(&next)
		return nil
	}
	n.found = &finding{status: status, owed: owed}
	e.boot.found = append(e.boot.found, n.look())
	return nil
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

// remember is the domain as its status has it, before it is known what became of the run.
func (a *actor) remember(status store.Status) (snapshot, error) {
	next := *a.current.Load()
	if status.Definition == nil {
		return next, next.recall(status)
	}
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
		oomKills: status.OOMKills, oomBase: status.OOMKills, ending: status.Ending, sought: true,
	}
	return next, nil
}
