package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// The limits of a run are changed in four steps: what the live definition is to be is stored beside what it is; the driver
// makes the limits so; the new definition is stored in place of the old one; the change is told. Whoever is killed after
// the first step finds both, and makes the limits those of the one that holds.

// maskMemory is the field that a mask names for the current memory.
const maskMemory domain.Tunable = "current_memory_kib"

// immutable refuses, in libvirt's words, to change what an active domain was started with.
func immutable(s *snapshot, q *davitv1.UpdateDomainRequest, onLive bool) error {
	for _, path := range q.GetUpdateMask().GetPaths() {
		t, known := domain.ParseTunable(path)
		switch {
		case !known || !onLive || t.Live():
		case t == "memory_kib":
			return wrongState(s, "update", "cannot resize the max memory on an active domain")
		default:
			return wrongState(s, "update", "cannot change "+path+" of an active domain")
		}
	}
	return nil
}

// fits refuses more memory than there is, which a document that says so is merely corrected for.
func (r *revision) fits(def *davitv1.Domain) error {
	if slices.Contains(r.tunables(), maskMemory) && def.GetCurrentMemoryKib() > def.GetMemoryKib() {
		return invalid("definition."+string(maskMemory), "cannot set memory higher than max memory: %d KiB, the limit is %d KiB",
			def.GetCurrentMemoryKib(), def.GetMemoryKib())
	}
	return nil
}

// bound refuses, in libvirt's words, to choose other memory nodes for a running domain that is not bound to its own.
func (r *revision) bound(old, def *davitv1.Domain) error {
	if domain.BindsMemory(old) || old.GetNumatune().GetNodeset() == def.GetNumatune().GetNodeset() {
		return nil
	}
	return wrongState(r.from, "update", "change of nodeset for running domain requires strict numa mode")
}

// tuned are the tunables that differ, with the values that they have now.
func tuned(old, def *davitv1.Domain) []*davitv1.Tunable {
	var list []*davitv1.Tunable
	for _, t := range domain.Tunables() {
		if now := t.Text(def); now != t.Text(old) {
			list = append(list, &davitv1.Tunable{Field: string(t), Value: now})
		}
	}
	return list
}

// announce adds the event of a change of limits, which the driver is to make.
func (a *actor) announce(r *revision, old, def *davitv1.Domain) {
	changed := tuned(old, def)
	if len(changed) == 0 {
		return
	}
	r.live = def
	ev := a.event(r.from, time.Now())
	ev.Kind = &davitv1.Event_Tunable{Tunable: &davitv1.TunableEvent{Tunables: changed}}
	r.told = append(r.told, ev)
}

// tune has the driver change the run, and completes the change; if either fails, all is as before.
func (a *actor) tune(ctx context.Context, r *revision) (*davitv1.EventPosition, error) {
	instance, err := r.from.instance("update")
	if err != nil {
		return nil, err
	}
	if err = a.intend(r.next.run.live); err != nil {
		return nil, err
	}
	if err = instance.Update(ctx, domain.WithoutChosen(r.live)); err != nil {
		a.unintend()
		return nil, a.refused(r, err)
	}
	r.next.run.live = a.completed(instance, r.next.run.live)
	position, err := a.complete(r)
	if err != nil && a.current.Load().run.live != r.next.run.live {
		a.untune()
		a.unintend()
	}
	return position, err
}

// intend stores what the live definition is about to be; nil takes that back.
func (a *actor) intend(live *definition) error {
	next := *a.current.Load()
	r := *next.run
	r.revised = live
	next.run = &r
	if err := a.keep(&next, nil); err != nil {
		return err
	}
	a.show(next)
	return nil
}

// unintend takes it back. If that cannot be stored, the next daemon makes the limits once more what they are.
func (a *actor) unintend() {
	if err := a.intend(nil); err != nil {
		a.log.Warn("store state", zap.Error(err))
	}
}

// untune makes the limits of the run those of its definition.
func (a *actor) untune() {
	ctx, cancel := a.brief()
	defer cancel()
	run := a.current.Load().run
	def, err := run.live.open()
	if err == nil {
		err = run.instance.Update(ctx, domain.WithoutChosen(def))
	}
	if err != nil {
		a.log.Error("put the limits back", zap.Error(err))
	}
}

// revised decides which of the two definitions holds that a change of the live one left behind.
func revised(status store.Status, n *entry) store.Status {
	if status.Revised != nil && status.Pledge != nil && n != nil && *n.current.Load().promise() == *status.Pledge {
		status.Definition = status.Revised
	}
	return status
}

// retune finishes what a daemon that was killed began: the limits and devices become those of the definition that holds. Where a device
// cannot be taken back any more, because the guest uses it, what was begun holds as far as the run goes, and is told.
func (a *actor) retune(ctx context.Context, status store.Status) {
	next := *a.current.Load()
	r := *next.run
	next.run = &r
	err := r.instance.Update(ctx, domain.WithoutChosen(status.Definition))
	if err == nil {
		r.live = a.completed(r.instance, r.live)
		err = a.adopt(next)
	} else if status.Definition != status.Revised && isReason(err, davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY) {
		err = a.goOn(ctx, status)
	}
	if err != nil && !errors.Is(err, domain.ErrFailedPrecondition) {
		a.log.Error("put the limits right", zap.Error(err))
	}
}

// goOn makes what was begun the definition of the run.
func (a *actor) goOn(ctx context.Context, status store.Status) error {
	next := *a.current.Load()
	changing := *next.run
	if err := changing.instance.Update(ctx, domain.WithoutChosen(status.Revised)); err != nil {
		return err
	}
	live, err := rest(status.Revised)
	if err != nil {
		return err
	}
	changing.live = a.completed(changing.instance, live)
	told := a.deviceEvents(&next, status.Definition, status.Revised)
	next.run = &changing
	return a.adopt(next, told...)
}
