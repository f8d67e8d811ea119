package engine

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// measureLimit is how long one domain of many may take to be measured. One that takes longer is told without numbers.
const measureLimit = 2 * time.Second

// ListDomainStats measures the domains that pass the filter, many at once, in order of name.
func (e *Engine) ListDomainStats(ctx context.Context, q *davitv1.ListDomainStatsRequest) (*davitv1.ListDomainStatsResponse, error) {
	page := &davitv1.ListDomainsRequest{Filter: q.GetFilter(), PageSize: q.GetPageSize(), PageToken: q.GetPageToken()}
	if err := checkList(page); err != nil {
		return nil, err
	}
	after, err := readToken(q.GetPageToken())
	if err != nil {
		return nil, err
	}
	chosen, err := e.chosen(q.GetDomains(), after)
	if err != nil {
		return nil, err
	}
	list, more := e.page(page, after, chosen)
	measured, err := e.measureAll(ctx, list, q.GetFilter())
	if err != nil {
		return nil, err
	}
	answer := &davitv1.ListDomainStatsResponse{}
	weight := 0
	for i, m := range measured {
		if weight > pageBytes {
			answer.NextPageToken = token(list[i-1].name)
			return answer, nil
		}
		if m != nil { // it is still what was asked for
			weight += proto.Size(m)
			answer.Measurements = append(answer.Measurements, m)
		}
	}
	if more {
		answer.NextPageToken = token(list[len(list)-1].name)
	}
	return answer, nil
}

// chosen are the domains that were named; nil are all. One that is none is an error, unless it may have gone since the page
// before.
func (e *Engine) chosen(refs []*davitv1.DomainRef, after string) (map[*entry]bool, error) {
	if len(refs) > maxWatched {
		return nil, invalid("domains", "%d domains, the limit is %d; all are measured when none is named", len(refs), maxWatched)
	}
	var set map[*entry]bool
	for _, ref := range refs {
		if set == nil {
			set = map[*entry]bool{}
		}
		n, _, err := e.table.find(ref)
		switch {
		case err == nil:
			set[n] = true
		case after == "" || !errors.Is(err, domain.ErrNotFound):
			return nil, err
		}
	}
	return set, nil
}

// page takes the next domains, and tells whether there are more.
func (e *Engine) page(q *davitv1.ListDomainsRequest, after string, chosen map[*entry]bool) (list []named, more bool) {
	size := int(q.GetPageSize())
	if size == 0 {
		size = defaultPage
	}
	for s := range e.table.from(after) {
		n := e.table.lookup(s.uuid)
		if n == nil || chosen != nil && !chosen[n] || !passes(q.GetFilter(), s) {
			continue
		}
		if len(list) == size {
			return list, true
		}
		list = append(list, named{s.name, n})
	}
	return list, false
}

// measureAll measures domains, many at once. One that is gone, or does not pass the filter any more, is nil.
func (e *Engine) measureAll(ctx context.Context, list []named, filter *davitv1.DomainFilter) ([]*davitv1.DomainMeasurement, error) {
	measured := make([]*davitv1.DomainMeasurement, len(list))
	var group errgroup.Group
	group.SetLimit(e.parallel)
	for i, n := range list {
		group.Go(func() error {
			var stats *davitv1.DomainStats
			_ = e.guard("measure domain", func() error { // logs what is wrong with it
				stats = n.measure(ctx)
				return nil
			})
			s := n.load()
			if s == nil || !passes(filter, s) {
				return nil
			}
			if !s.active() {
				stats = nil
			}
			measured[i] = &davitv1.DomainMeasurement{
				Domain: e.told(ctx, s), Stats: stats, MaximumMemoryKib: s.effective().memory,
			}
			return nil
		})
	}
	_ = group.Wait() // nothing of it fails
	if ctx.Err() != nil {
		return nil, expired(ctx, "measure domains", "", "the caller no longer waits")
	}
	return measured, nil
}

// measure gives the numbers of a domain, nil if it has none. Where the driver says that it has stopped, the engine is given
// the time to see that, too.
func (n *entry) measure(ctx context.Context) *davitv1.DomainStats {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	for ctx.Err() == nil {
		if n.load() == nil {
			return nil
		}
		s, err := n.adopted(ctx, "measure")
		if err != nil || s.gone {
			return nil
		}
		instance, err := s.instance("measure")
		if err != nil {
			return nil
		}
		stats, err := instance.Stats(ctx)
		if err == nil {
			return stats
		}
		if !errors.Is(err, domain.ErrFailedPrecondition) {
			return nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
		}
	}
	return nil
}
