package engine

import (
	"context"
	"time"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// DefineDomain stores a definition. An active domain takes it at its next start; a transient one becomes persistent.
func (e *Engine) DefineDomain(ctx context.Context, q *davitv1.DefineDomainRequest) (*davitv1.DefineDomainResponse, error) {
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.DefineDomainResponse, error) {
		def, warnings, err := e.admit(ctx, q.GetSource(), q.GetStrict())
		if err != nil {
			return nil, err
		}
		if q.GetValidateOnly() {
			return e.validate(ctx, def, warnings, q.GetEtag())
		}
		if again(ctx) {
			// What an earlier daemon stored would be told once more, as a change that nobody asked for.
			if s := e.defined(q); s != nil {
				return &davitv1.DefineDomainResponse{Domain: s.info(), Warnings: warnings, Position: e.journal.Newest()}, nil
			}
		}
		return claimed(ctx, e, def, "define domain", func(_ context.Context, a *actor) (*davitv1.DefineDomainResponse, error) {
			position, err := a.define(def, q.GetEtag())
			if err != nil {
				return nil, err
			}
			return &davitv1.DefineDomainResponse{
				Domain: a.current.Load().info(), Warnings: warnings, Position: position,
			}, nil
		})
	})
}

// validate tells what a define would give, and stores nothing.
func (e *Engine) validate(ctx context.Context, def *davitv1.Domain, warnings []*davitv1.Warning, etag string) (*davitv1.DefineDomainResponse, error) {
	s, err := e.table.rival(def.GetUuid(), def.GetName())
	if err != nil {
		return nil, err
	}
	next, err := define(s, def, etag)
	if err != nil {
		return nil, err
	}
	r := &davitv1.DefineDomainResponse{Domain: next.info(), Warnings: warnings, Position: e.journal.Newest(), WouldCreate: s == nil}
	if s == nil {
		return r, nil
	}
	from, err := s.inactive().open()
	if err != nil {
		return nil, err
	}
	r.Changes = e.changes(ctx, from, def, domain.DiffOptions{})
	return r, nil
}

// define is what a domain, nil if there is none, would be with a stored definition. Its condition is left to the machine.
func define(s *snapshot, def *davitv1.Domain, etag string) (*snapshot, error) {
	if err := keepSecrets(s, def); err != nil {
		return nil, err
	}
	resting, err := rest(def)
	if err != nil {
		return nil, err
	}
	next := &snapshot{uuid: def.GetUuid(), name: def.GetName(), since: time.Now()}
	have := ""
	if s != nil {
		*next, have = *s, s.etag()
	}
	if etag != "" && etag != have {
		return nil, changed(def.GetName(), etag, have)
	}
	to, err := next.next(defining(s))
	if err != nil {
		return nil, err
	}
	next.stored, next.Condition = resting, to.To
	return next, nil
}

// defining is the machine's name for a define.
func defining(s *snapshot) domain.Action {
	if s != nil && s.persistent() {
		return domain.Redefine
	}
	return domain.Define
}

// define stores a definition and tells it.
func (a *actor) define(def *davitv1.Domain, etag string) (*davitv1.EventPosition, error) {
	s := a.current.Load()
	next, err := define(s, def, etag)
	if err != nil {
		return nil, err
	}
	told, err := a.verdict(s, defining(s))
	if err != nil {
		return nil, err
	}
	return a.rewrite(*next, told,
		func() error { return a.engine.store.Put(def) },
		func() error { return a.putBack(s) })
}

// verdict makes events of what the machine says of a change of the stored definition.
func (a *actor) verdict(s *snapshot, action domain.Action) ([]*davitv1.Event, error) {
	if s == nil {
		s = &snapshot{uuid: a.uuid, name: a.name}
	}
	to, err := s.next(action)
	if err != nil {
		return nil, err
	}
	return a.lifecycle(s, time.Now(), to.Events), nil
}

// UndefineDomain removes a definition. What is active runs on, transient.
func (e *Engine) UndefineDomain(ctx context.Context, q *davitv1.UndefineDomainRequest) (*davitv1.UndefineDomainResponse, error) {
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.UndefineDomainResponse, error) {
		return act(ctx, e, q.GetDomain(), "undefine domain", func(ctx context.Context, a *actor) (*davitv1.UndefineDomainResponse, error) {
			s := a.current.Load()
			switch {
			case !s.persistent():
				return nil, wrongState(s, "undefine", "cannot undefine transient domain")
			case q.GetEtag() != "" && q.GetEtag() != s.etag():
				return nil, changed(s.name, q.GetEtag(), s.etag())
			case q.GetRemoveStorage() && s.active():
				return nil, wrongState(s, "undefine", "cannot remove the storage of an active domain")
			}
			position, err := a.undefine(s)
			if err != nil {
				return nil, err
			}
			if q.GetRemoveStorage() {
				if err := e.driver.Forget(ctx, s.uuid); err != nil {
					return nil, err
				}
			}
			return &davitv1.UndefineDomainResponse{Position: position}, nil
		})
	})
}

// undefine removes the definition and tells it.
func (a *actor) undefine(s *snapshot) (*davitv1.EventPosition, error) {
	told, err := a.verdict(s, domain.Undefine)
	if err != nil {
		return nil, err
	}
	next := *s
	next.stored, next.autostart = nil, false
	if !s.active() {
		next.gone, next.last = true, s.stored
	}
	return a.rewrite(next, told,
		func() error { return a.engine.store.Delete(s.uuid) },
		func() error { return a.putBack(s) })
}

// putBack stores the definition of a domain as it was; nil is a domain that had none.
func (a *actor) putBack(s *snapshot) error {
	if s == nil || !s.persistent() {
		return a.engine.store.Delete(a.uuid)
	}
	def, err := s.stored.open()
	if err != nil {
		return err
	}
	if err := a.engine.store.Put(def); err != nil {
		return err
	}
	return a.engine.store.SetAutostart(a.uuid, s.autostart)
}
