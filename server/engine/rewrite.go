package engine

import (
	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// rewrite changes what is stored of a domain beside its state, its definition and autostart, and tells it: what will be
// owed is stored first, with what the live definition will be, and with the pledge by which a daemon that is killed
// meanwhile sees whether the change was made. What changes of the run comes last. If anything cannot be stored, or the change not be told, all is as before.
func (a *actor) rewrite(next snapshot, told []*davitv1.Event, write, undo func() error) (*davitv1.EventPosition, error) {
	if _, err := a.settle(); err != nil {
		return nil, err
	}
	last := a.current.Load()
	if !next.active() {
		next.journal = marks{generation: domain.NewUUID()}
	}
	pledged := next
	if last != nil {
		pledged.run = last.run
	}
	if next.active() && next.run.live != last.run.live {
		changing := *last.run
		changing.revised = next.run.live
		pledged.run = &changing
	}
	if err := a.pledge(&pledged, told, next.promise()); err != nil {
		return nil, err
	}
	next.journal = pledged.journal
	err := write()
	if err == nil && next.run != pledged.run {
		err = a.keep(&next, nil)
	}
	if err != nil {
		a.retract(last, undo)
		return nil, storeFault(a.name, err)
	}
	a.show(next)
	position, err := a.settle()
	switch {
	case err == nil:
		a.reserve(last)
		a.tidy(&next)
		a.log.Info("domain changed", zap.Bool("persistent", next.persistent()), zap.Bool("gone", next.gone))
		return position, nil
	case len(a.owed) == len(told):
		a.retract(last, undo)
	}
	return nil, err
}

// promise is how the stored definition will be.
func (s *snapshot) promise() *store.Pledge {
	if !s.persistent() {
		return &store.Pledge{}
	}
	return &store.Pledge{Etag: s.stored.etag, Autostart: s.autostart}
}

// retract makes a domain what it was; nil is one that was none.
func (a *actor) retract(last *snapshot, undo func() error) {
	a.owe(nil)
	if err := undo(); err != nil {
		a.log.Error("put the definition back", zap.Error(err))
	}
	if last == nil {
		gone := snapshot{uuid: a.uuid, name: a.name, gone: true, last: &definition{}}
		if now := a.current.Load(); now != nil {
			gone.last = now.effective()
		}
		a.show(gone)
		return
	}
	back := *last
	if err := a.keep(&back, nil); err != nil {
		a.log.Error("put the state back", zap.Error(err))
	}
	if a.current.Load() != last {
		a.show(back)
	}
	a.tidy(&back)
}

// tidy removes the stored state of a domain of which there is nothing to say: one that never ran.
func (a *actor) tidy(s *snapshot) {
	if s.active() || s.gone || s.again != nil || s.exit != nil || s.lastError != "" || s.journal.sequence != 0 || len(a.owed) > 0 {
		return
	}
	if s.Reason == davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_UNKNOWN {
		_ = a.discard() // was logged
	}
}
