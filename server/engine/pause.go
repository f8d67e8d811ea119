package engine

import (
	"context"

	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// SuspendDomain freezes all processes of a domain.
func (e *Engine) SuspendDomain(ctx context.Context, q *davitv1.SuspendDomainRequest) (*davitv1.SuspendDomainResponse, error) {
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.SuspendDomainResponse, error) {
		return act(ctx, e, q.GetDomain(), "suspend domain", func(ctx context.Context, a *actor) (*davitv1.SuspendDomainResponse, error) {
			position, err := a.turn(ctx, "suspend", domain.Suspend, (*actor).freeze, (*actor).thaw)
			if err != nil {
				return nil, err
			}
			return &davitv1.SuspendDomainResponse{Position: position}, nil
		})
	})
}

// ResumeDomain lets a paused domain run on.
func (e *Engine) ResumeDomain(ctx context.Context, q *davitv1.ResumeDomainRequest) (*davitv1.ResumeDomainResponse, error) {
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.ResumeDomainResponse, error) {
		return act(ctx, e, q.GetDomain(), "resume domain", func(ctx context.Context, a *actor) (*davitv1.ResumeDomainResponse, error) {
			position, err := a.turn(ctx, "resume", domain.Resume, (*actor).thaw, (*actor).freeze)
			if err != nil {
				return nil, err
			}
			return &davitv1.ResumeDomainResponse{Position: position}, nil
		})
	})
}

func (a *actor) freeze(ctx context.Context) error { return a.current.Load().run.instance.Suspend(ctx) }

func (a *actor) thaw(ctx context.Context) error { return a.current.Load().run.instance.Resume(ctx) }

// turn does what the machine allows, and undoes it if the new state cannot be stored.
func (a *actor) turn(ctx context.Context, verb string, action domain.Action, there, back func(*actor, context.Context) error) (*davitv1.EventPosition, error) {
	s := a.current.Load()
	to, err := s.next(action)
	if err != nil {
		return nil, err
	}
	if s.Condition == to.To && len(to.Events) == 0 {
		return a.settle()
	}
	if err = there(a, ctx); err != nil {
		return nil, err
	}
	position, err := a.change(s, to)
	if err != nil && a.current.Load().Condition == s.Condition {
		if undo := back(a, ctx); undo != nil {
			a.log.Error("undo "+verb, zap.Error(undo))
		}
	}
	return position, err
}
