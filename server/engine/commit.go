package engine

import (
	"errors"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/store"
)

// commit makes next the domain's state and tells the events: stored, shown, journalled. If it is not stored nothing has
// changed. If it is, but the journal refuses the events, the error says so; they are owed, and come later, before any
// other of the domain.
func (a *actor) commit(next snapshot, told ...*davitv1.Event) (*davitv1.EventPosition, error) {
	if err := a.keep(&next, told); err != nil {
		return nil, err
	}
	a.show(next)
	return a.settle()
}

// keep stores a state and what it owes.
func (a *actor) keep(next *snapshot, told []*davitv1.Event) error { return a.pledge(next, told, nil) }

// pledge stores a state and what it will owe once the stored definition is as the pledge says.
func (a *actor) pledge(next *snapshot, told []*davitv1.Event, pledge *store.Pledge) error {
	next.journal.mark += uint64(len(told))
	owed := append(slices.Clip(a.owed), told...)
	status, err := next.status(owed)
	if err != nil {
		return err
	}
	status.Pledge = pledge
	if err := a.engine.store.PutStatus(status); err != nil {
		return storeFault(a.name, err)
	}
	a.owe(owed)
	a.kept = next.journal.sequence
	return nil
}

// show puts a snapshot in the place of the last one.
func (a *actor) show(next snapshot) {
	last := a.current.Load()
	next.changed = make(chan struct{})
	before := uint32(0)
	if last != nil {
		before = last.id()
	}
	a.engine.table.renumber(a.entry, before, next.id())
	a.current.Store(&next)
	if last == nil {
		close(a.settled)
	} else {
		close(last.changed)
	}
}

// settle gives the journal what it is owed. The position is that of the last event, or the newest if there was none.
func (a *actor) settle() (*davitv1.EventPosition, error) {
	position := a.engine.journal.Newest()
	for len(a.owed) > 0 {
		marks := a.current.Load().journal
		origin := events.Origin{Generation: marks.generation, Sequence: marks.mark - uint64(len(a.owed)) + 1}
		at, err := a.engine.tell(a.owed[0], origin)
		if err != nil {
			a.log.Warn("journal event", zap.Error(err), zap.Int("owed", len(a.owed)))
			a.later()
			return nil, err
		}
		position, a.told = at, at
		a.owe(a.owed[1:])
	}
	a.acknowledge()
	return position, nil
}

// acknowledge lets the driver forget the events that are stored and told.
func (a *actor) acknowledge() {
	s := a.current.Load()
	if s == nil || s.run == nil || s.run.instance == nil || a.kept <= a.acked {
		return
	}
	ctx, cancel := a.brief()
	defer cancel()
	if err := s.run.instance.Acknowledge(ctx, a.kept); err != nil {
		// It sends them again at the next start of the daemon, and they are passed over then.
		a.log.Debug("acknowledge events", zap.Error(err))
		return
	}
	a.acked = a.kept
}

// event makes an event of the domain.
func (a *actor) event(s *snapshot, at time.Time) *davitv1.Event {
	return &davitv1.Event{Time: timestamppb.New(at), Uuid: a.uuid, Name: a.name, Id: s.id()}
}

// lifecycle makes events of what the machine says.
func (a *actor) lifecycle(s *snapshot, at time.Time, told []*davitv1.LifecycleEvent) []*davitv1.Event {
	list := make([]*davitv1.Event, len(told))
	for i, t := range told {
		list[i] = a.event(s, at)
		list[i].Kind = &davitv1.Event_Lifecycle{Lifecycle: t}
	}
	return list
}

// status is the snapshot as the store keeps it.
func (s *snapshot) status(owed []*davitv1.Event) (store.Status, error) {
	status := store.Status{
		UUID: s.uuid, Generation: s.journal.generation, State: s.State, Reason: s.Reason, Since: s.since,
		Exit: s.exit, LastError: s.lastError, StartDuration: s.took,
		Sequence: s.journal.sequence, Mark: s.journal.mark, Owed: owed,
	}
	var err error
	if s.again != nil {
		if status.Again, err = s.again.open(); err != nil {
			return store.Status{}, err
		}
	}
	if r := s.run; r != nil {
		def, err := r.live.open()
		if err != nil {
			return store.Status{}, err
		}
		status.Definition, status.ID, status.Paused, status.Ending = def, r.id, r.paused, r.ending
		status.Reboots, status.OOMKills = r.reboots, r.oomKills
		if r.revised != nil {
			if status.Revised, err = r.revised.open(); err != nil {
				return store.Status{}, err
			}
		}
	}
	return status, nil
}

// storeFault makes an error of the store one that a caller can act on.
func storeFault(name string, err error) error {
	if _, known := errors.AsType[*domain.Error](err); known {
		return err
	}
	e := &domain.Error{
		Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL,
		Op: "store domain", Subject: name, Err: err,
	}
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			e.Code, e.Reason = codes.ResourceExhausted, davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
		}
	}
	return e
}
