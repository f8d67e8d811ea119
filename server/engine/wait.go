package engine

import (
	"context"
	"slices"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// WaitDomain returns when the domain is in one of the states, or gone, and the journal has the events that tell it.
func (e *Engine) WaitDomain(ctx context.Context, q *davitv1.WaitDomainRequest) (*davitv1.WaitDomainResponse, error) {
	states := q.GetStates()
	if err := knownStates("states", states); err != nil {
		return nil, err
	}
	if len(states) == 0 {
		states = []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_SHUTOFF, davitv1.DomainState_DOMAIN_STATE_CRASHED}
	}
	n, s, err := e.table.find(q.GetDomain())
	if err != nil {
		return nil, err
	}
	for {
		next := (<-chan struct{})(s.changed)
		there := s.gone || slices.Contains(states, s.State)
		if there {
			if next = n.debt.settlement(); next == nil {
				return &davitv1.WaitDomainResponse{Domain: e.told(ctx, s), Gone: s.gone}, nil
			}
		}
		select {
		case <-next:
			if !there {
				s = n.current.Load()
			}
		case <-ctx.Done():
			return nil, expired(ctx, "wait for domain", s.name, "it is still "+s.Condition.String())
		case <-e.closing:
			return nil, shuttingDown()
		}
	}
}
