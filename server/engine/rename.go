package engine

import (
	"context"
	"errors"
	"time"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// RenameDomain gives an inactive domain another name.
func (e *Engine) RenameDomain(ctx context.Context, q *davitv1.RenameDomainRequest) (*davitv1.RenameDomainResponse, error) {
	if err := domain.ValidateName(q.GetNewName()); err != nil {
		return nil, invalid("new_name", "%v", err)
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.RenameDomainResponse, error) {
		for {
			r, err := act(ctx, e, q.GetDomain(), "rename domain", func(_ context.Context, a *actor) (*davitv1.RenameDomainResponse, error) {
				position, err := a.rename(q.GetNewName(), q.GetEtag())
				if err != nil {
					return nil, err
				}
				return &davitv1.RenameDomainResponse{Domain: a.current.Load().info(), Position: position}, nil
			})
			open, undecided := errors.AsType[*undecidedError](err)
			if !undecided {
				return r, err
			}
			if err := e.await(ctx, open.outcome, "rename domain", q.GetNewName()); err != nil {
				return nil, err
			}
		}
	})
}

// undecidedError is the end of a job that has to be done again once it is decided who has a name. The caller waits for that, and
// not the domain's actor.
type undecidedError struct{ outcome <-chan struct{} }

func (*undecidedError) Error() string { return "it is not decided yet who has the name" }

// rename stores the definition under its new name. Until that is done the domain has both, so that nobody takes either.
func (a *actor) rename(name, etag string) (*davitv1.EventPosition, error) {
	s := a.current.Load()
	switch {
	case s.active():
		return nil, wrongState(s, "rename", "cannot rename active domain")
	case etag != "" && etag != s.etag():
		return nil, changed(s.name, etag, s.etag())
	}
	def, err := s.stored.open()
	if err != nil {
		return nil, err
	}
	def.Name = name
	if err = domain.Validate(def); err != nil {
		return nil, err
	}
	next := *s
	next.name = name
	if next.stored, err = rest(def); err != nil {
		return nil, err
	}
	if rival := a.engine.table.reserve(a.entry, name); rival != nil {
		outcome, err := a.engine.table.stands(rival, "", name)
		if err != nil {
			return nil, err
		}
		return nil, &undecidedError{outcome}
	}
	defer func() { // whatever comes: who else wants one of the names waits for it
		if a.called() == name {
			a.engine.table.rename(a.entry, name, s.name)
		} else {
			a.engine.table.rename(a.entry, s.name, name)
		}
	}()
	return a.rewrite(next, a.renamed(s, name),
		func() error { return a.engine.store.Put(def) },
		func() error { return a.putBack(s) })
}

// renamed are the events of a new name: the old one is told first.
func (a *actor) renamed(s *snapshot, name string) []*davitv1.Event {
	told := a.lifecycle(s, time.Now(), []*davitv1.LifecycleEvent{
		{
			Type:   davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_UNDEFINED,
			Detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_UNDEFINED_RENAMED,
			State:  s.State, Reason: s.Reason,
		},
		{
			Type:   davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_DEFINED,
			Detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_DEFINED_RENAMED,
			State:  s.State, Reason: s.Reason,
		},
	})
	told[1].Name = name
	return told
}
