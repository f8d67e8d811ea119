package client

import (
	"context"
	"iter"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Measure measures domains: those that are named, or all, and of them those that the filter chooses; nil chooses all. They
// come in order of name. An error ends it.
func (c *Client) Measure(ctx context.Context, filter *davitv1.DomainFilter, domains ...*davitv1.DomainRef) iter.Seq2[*davitv1.DomainMeasurement, error] {
	return func(yield func(*davitv1.DomainMeasurement, error) bool) {
		req := &davitv1.ListDomainStatsRequest{Domains: domains, Filter: filter, PageSize: pageSize}
		for {
			resp, err := c.ListDomainStats(ctx, req)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, m := range resp.GetMeasurements() {
				if !yield(m, nil) {
					return
				}
			}
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				return
			}
		}
	}
}
