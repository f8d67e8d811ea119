package engine

import (
	"context"
	"errors"
	"maps"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// act has a job done on the domain that a reference names.
func act[R any](ctx context.Context, e *Engine, ref *davitv1.DomainRef, name string, work func(context.Context, *actor) (R, error)) (R, error) {
	var none R
	for {
		n, err := e.named(ctx, ref, name)
		if err != nil {
			return none, err
		}
		result, err := do(ctx, n, name, func(ctx context.Context, a *actor) (R, error) {
			if lost := a.sought(ctx); lost != nil {
				return none, lost
			}
			switch r := ref.GetRef().(type) {
			case *davitv1.DomainRef_Id:
				if a.current.Load().id() != r.Id {
					return none, notFound("id", formatID(r.Id)) // it was restarted while the job waited
				}
			case *davitv1.DomainRef_Name:
				if a.name != r.Name {
					return none, notFound("name", r.Name) // it was renamed while the job waited
				}
			}
			return work(ctx, a)
		})
		if !errors.Is(err, errGone) {
			return result, err
		}
	}
}

// named is the entry that a reference names. What another call is about to define is waited for: its caller may have been answered that its
// time is over, and what it does next to the domain comes behind.
func (e *Engine) named(ctx context.Context, ref *davitv1.DomainRef, op string) (*entry, error) {
	for {
		// Before it is looked for: what was being made when the call came is then found, or is not going to be there.
		claimed := e.table.claimed(ref)
		if claimed == nil {
			n, _, err := e.table.find(ref)
			return n, err
		}
		if err := e.await(ctx, claimed.settled, op, claimed.first); err != nil {
			return nil, err
		}
	}
}

// sought is seek for a job that follows: it fails with [errGone] where nothing is left of the domain.
func (a *actor) sought(ctx context.Context) error {
	if err := a.seek(ctx); err != nil {
		return err
	}
	if a.left() {
		return errGone
	}
	return nil
}

// claimed has a job done on the domain of a definition, which need not be one yet.
func claimed[R any](ctx context.Context, e *Engine, def *davitv1.Domain, name string, work func(context.Context, *actor) (R, error)) (R, error) {
	var none R
	for {
		n, err := e.claim(ctx, def.GetUuid(), def.GetName())
		if err != nil {
			return none, err
		}
		result, err := do(ctx, n, name, func(ctx context.Context, a *actor) (R, error) {
			if lost := a.sought(ctx); lost != nil {
				return none, lost
			}
			if a.name != def.GetName() {
				return none, errRenamed
			}
			return work(ctx, a)
		})
		if errors.Is(err, errRenamed) {
			continue
		}
		if !errors.Is(err, errGone) {
			return result, err
		}
		select {
		case <-n.removed:
		case <-ctx.Done():
			return none, unwaited(ctx, name, def.GetName())
		}
	}
}

// errRenamed is the end of a job whose domain was given another name before its turn came.
var errRenamed = errors.New("the domain was renamed")

// next asks the machine whether an action is allowed, and names the domain in its refusal.
func (s *snapshot) next(action domain.Action) (domain.Transition, error) {
	to, err := domain.Next(s.Condition, action)
	var refusal *domain.Error
	if !errors.As(err, &refusal) {
		return to, err
	}
	named := *refusal
	named.Subject, named.Detail = s.name, maps.Clone(refusal.Detail)
	named.Detail["domain"] = s.name
	return to, &named
}

// asleep is a definition without what only a running domain has.
func asleep(def *davitv1.Domain) *davitv1.Domain {
	domain.Inactive(def)
	return def
}
