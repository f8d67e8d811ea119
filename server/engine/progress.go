package engine

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// GetDomainJob tells what is being done to a domain.
func (e *Engine) GetDomainJob(_ context.Context, q *davitv1.GetDomainJobRequest) (*davitv1.GetDomainJobResponse, error) {
	n, _, err := e.table.find(q.GetDomain())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	answer := &davitv1.GetDomainJobResponse{Operation: n.job, Waiting: uint32(len(n.queue))}
	if n.job != "" {
		answer.Since = timestamppb.New(n.since)
	}
	return answer, nil
}
