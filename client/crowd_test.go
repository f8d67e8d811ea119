package client_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// above is what a daemon says of a limit that a caller is above.
func above(limit string) error {
	return domain.ToStatus(&domain.Error{
		Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_LIMIT_REACHED, Op: "call",
		Message: "256 calls of this client are in flight", Detail: map[string]string{"limit": limit, "value": "256"},
	}).Err()
}

// A call that the daemon did not begin because of others of this caller is made again when these have ended: one that looks,
// and one that changes something, with the same request id.
func TestCrowdIsWaitedFor(t *testing.T) {
	for _, limit := range []string{"limits.calls", "limits.calls_per_second"} {
		var lists, starts atomic.Int32
		ids := make(chan string, 10)
		s := &stub{
			list: func(context.Context, *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error) {
				if lists.Add(1) < 4 {
					return nil, above(limit)
				}
				return &davitv1.ListDomainsResponse{}, nil
			},
			start: func(_ context.Context, q *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
				ids <- q.GetRequestId()
				if starts.Add(1) < 3 {
					return nil, above(limit)
				}
				return &davitv1.StartDomainResponse{}, nil
			},
		}
		c := s.connect(t, client.WithRetry(time.Minute))
		if _, err := c.ListDomains(t.Context(), &davitv1.ListDomainsRequest{}); err != nil || lists.Load() != 4 {
			t.Errorf("%s: list: %v after %d calls, want 4", limit, err, lists.Load())
		}
		if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{}); err != nil || starts.Load() != 3 {
			t.Errorf("%s: start: %v after %d calls, want 3", limit, err, starts.Load())
		}
		if first := <-ids; first == "" || first != <-ids || first != <-ids {
			t.Errorf("%s: the calls have other request ids", limit)
		}
	}
}

// The wait ends with the window and with the caller's context; a limit that waiting does not mend is told at once.
func TestCrowdIsNotWaitedForWithoutEnd(t *testing.T) {
	for _, tt := range []struct {
		name, limit      string
		window, deadline time.Duration
		least, most      int32
	}{
		{"window", "limits.calls", 300 * time.Millisecond, time.Minute, 2, 50},
		{"deadline", "limits.calls", time.Hour, 300 * time.Millisecond, 0, 50},
		{"no window", "limits.calls", 0, time.Minute, 1, 1},
		{"connections", "socket.max_connections", time.Minute, time.Minute, 1, 1},
		{"unknown limit", "", time.Minute, time.Minute, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			s := &stub{list: func(context.Context, *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error) {
				calls.Add(1)
				return nil, above(tt.limit)
			}}
			c := s.connect(t, client.WithRetry(tt.window))
			ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
			defer cancel()
			_, err := c.ListDomains(ctx, &davitv1.ListDomainsRequest{})
			e, ok := errors.AsType[*domain.Error](err)
			if n := calls.Load(); n < tt.least || n > tt.most {
				t.Errorf("%d calls, want %d to %d", n, tt.least, tt.most)
			}
			if ok && e.Reason == davitv1.ErrorReason_ERROR_REASON_LIMIT_REACHED && e.Detail["limit"] == tt.limit {
				return
			}
			if tt.name != "deadline" || ctx.Err() == nil { // which may pass while a call is under way
				t.Errorf("error is %v", err)
			}
		})
	}
}
