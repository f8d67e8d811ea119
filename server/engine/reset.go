package engine

import (
	"context"
	"errors"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ResetDomain ends a domain by force and starts it again as it ran.
func (e *Engine) ResetDomain(ctx context.Context, q *davitv1.ResetDomainRequest) (*davitv1.ResetDomainResponse, error) {
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.ResetDomainResponse, error) {
		if err := e.awaitSweep(ctx, called(q.GetDomain())); err != nil {
			return nil, err
		}
		return act(ctx, e, q.GetDomain(), "reset domain", func(ctx context.Context, a *actor) (*davitv1.ResetDomainResponse, error) {
			position, err := a.reset(ctx)
			if err != nil {
				return nil, err
			}
			return &davitv1.ResetDomainResponse{Domain: a.current.Load().info(), Position: position}, nil
		})
	})
}

// reset makes a new run of the live definition, number included.
func (a *actor) reset(ctx context.Context) (*davitv1.EventPosition, error) {
	s := a.current.Load()
	if _, err := s.instance("reset"); err != nil {
		return nil, err
	}
	return a.renew(ctx, s.run.live)
}

// renew makes a new run of a definition, in place of the one that there may be. What is to come is stored from before the end
// of the one to the start of the other, so that a daemon that is killed meanwhile leaves it to the next. Between the two a transient
// domain is there without a run; if the second does not come about, it is gone.
func (a *actor) renew(ctx context.Context, again *definition) (*davitv1.EventPosition, error) {
	def, err := again.open()
	if err != nil {
		return nil, err
	}
	defer a.bereave()
	if a.current.Load().active() {
		if err := a.destroy(again); err != nil {
			return nil, err
		}
	}
	next := *a.current.Load()
	next.last = nil
	return a.start(ctx, next, domain.Start, def, false)
}

// bereave lets go of a definition that was to be started again and was not, and of a transient domain with it.
func (a *actor) bereave() {
	s := a.current.Load()
	if s.again == nil && (s.gone || s.active() || s.persistent()) {
		return
	}
	next := *s
	next.again, next.gone = nil, s.gone || !s.active() && !s.persistent()
	if !next.gone {
		if err := a.keep(&next, nil); err != nil {
			a.log.Warn("store state", zap.Error(err)) // the next daemon tries once more
		}
	}
	a.show(next)
}

// finishResets makes the runs that earlier daemons were killed over.
func (e *Engine) finishResets(ctx context.Context) {
	var group errgroup.Group
	group.SetLimit(e.parallel)
	for _, n := range e.table.all() {
		if s := n.load(); s == nil || s.again == nil {
			continue
		}
		group.Go(func() error {
			_, err := do(ctx, n, "reset domain", func(ctx context.Context, a *actor) (*davitv1.EventPosition, error) {
				if err := a.sought(ctx); err != nil {
					return nil, err
				}
				if again := a.current.Load().again; again != nil {
					return a.renew(ctx, again)
				}
				return nil, nil //nolint:nilnil // it was done
			})
			if err != nil && !errors.Is(err, errGone) {
				e.log.Error("finish reset of domain", zap.String("uuid", n.uuid), zap.Error(err))
			}
			return nil
		})
	}
	_ = group.Wait() // each one's error was logged
}
