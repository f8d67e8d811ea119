package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestErrorsAreTheDaemons gets the same domain.Error that the daemon made.
func TestErrorsAreTheDaemons(t *testing.T) {
	made := &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE, Op: "start domain",
		Subject: "web", Message: "domain is already running", Detail: map[string]string{"state": "running"},
	}
	s := &stub{start: func(context.Context, *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
		return nil, domain.ToStatus(made).Err()
	}}
	c := s.connect(t)
	_, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("web")})
	if !errors.Is(err, domain.ErrFailedPrecondition) || errors.Is(err, domain.ErrNotFound) {
		t.Errorf("StartDomain: %v has not the daemon's code", err)
	}
	var got *domain.Error
	if !errors.As(err, &got) || got.Reason != made.Reason || got.Detail["state"] != "running" {
		t.Errorf("StartDomain: %#v, want %#v", err, made)
	}
}

// TestDeadlineIsTold tells a call that ran out of time as such, also when the daemon saw it first and cancelled the call.
func TestDeadlineIsTold(t *testing.T) {
	s := &stub{start: func(context.Context, *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
		return nil, status.Error(codes.Canceled, "stream terminated")
	}}
	c := s.connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: client.ByName("web")}); status.Code(err) != codes.DeadlineExceeded &&
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("StartDomain: %v, want that the deadline is exceeded", err)
	}
	long, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := c.StartDomain(long, &davitv1.StartDomainRequest{Domain: client.ByName("web")}); err == nil || long.Err() != nil {
		t.Errorf("StartDomain: %v, want that it was cancelled, at once", err)
	}
}

// goingDown is what a daemon says that is about to end.
func goingDown() error {
	return domain.ToStatus(&domain.Error{
		Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN, Message: "the daemon is shutting down",
	}).Err()
}

// TestRetryActsOnce makes a call again with the same request id when the daemon goes away under it, and never alters
// the caller's message.
func TestRetryActsOnce(t *testing.T) {
	var ids []string
	s := &stub{}
	s.start = func(_ context.Context, r *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
		ids = append(ids, r.GetRequestId())
		if len(ids) < 3 {
			return nil, goingDown()
		}
		return &davitv1.StartDomainResponse{}, nil
	}
	c := s.connect(t)
	req := &davitv1.StartDomainRequest{Domain: client.ByName("web")}
	if _, err := c.StartDomain(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 3 || ids[0] == "" || ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("request ids of three attempts: %q, want one id", ids)
	}
	if req.GetRequestId() != "" {
		t.Errorf("the caller's request has got id %q", req.GetRequestId())
	}
	if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{RequestId: "mine"}); err != nil || ids[3] != "mine" {
		t.Errorf("request ids %q, want the caller's own last (%v)", ids, err)
	}
}

// TestRetryEnds gives up after the window, at the caller's deadline, and never tries again what would be in vain.
func TestRetryEnds(t *testing.T) {
	lost := domain.ToStatus(&domain.Error{
		Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST, Message: "monitor does not answer",
	}).Err()
	drained := domain.ToStatus(&domain.Error{
		Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_DAEMON_DRAINING, Message: "the daemon is being drained",
	}).Err()
	tests := []struct {
		name   string
		answer error
		window time.Duration
		limit  time.Duration
		most   int32

		answered bool // the daemon was reached before
	}{
		{"window", goingDown(), 60 * time.Millisecond, time.Minute, 5, true},
		{"deadline", goingDown(), time.Minute, 60 * time.Millisecond, 5, true},
		{"no window", goingDown(), 0, time.Minute, 1, true},
		{"drained", drained, time.Minute, time.Minute, 1, true},
		{"monitor lost", lost, time.Minute, time.Minute, 1, true},
		{"never answered", status.Error(codes.Unavailable, "connection refused"), time.Minute, time.Minute, 1, false},
		{"other error", status.Error(codes.NotFound, "none"), time.Minute, time.Minute, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32 // the last may come when the client has given up
			s := &stub{start: func(context.Context, *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
				calls.Add(1)
				return nil, tt.answer
			}}
			c := s.connect(t, client.WithRetry(tt.window))
			if tt.answered {
				if err := c.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			if _, err := c.StartDomain(ctx, &davitv1.StartDomainRequest{}); err == nil || calls.Load() > tt.most {
				t.Errorf("%d calls and error %v, want at most %d and an error", calls.Load(), err, tt.most)
			}
		})
	}
}

// TestRetryOfWhatMayBeDoneTwice makes a call again whose connection broke if it looks, or has a request id, and no other: that may
// have been done.
func TestRetryOfWhatMayBeDoneTwice(t *testing.T) {
	var looks, starts, updates int
	broken := status.Error(codes.Unavailable, "the connection broke")
	s := &stub{}
	s.get = func(context.Context, *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error) {
		if looks++; looks < 2 {
			return nil, broken
		}
		return &davitv1.GetDomainResponse{}, nil
	}
	s.start = func(context.Context, *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
		if starts++; starts < 2 {
			return nil, broken
		}
		return &davitv1.StartDomainResponse{}, nil
	}
	s.update = func(context.Context, *davitv1.UpdateHostRequest) (*davitv1.UpdateHostResponse, error) {
		if updates++; updates < 2 {
			return nil, broken
		}
		return &davitv1.UpdateHostResponse{}, nil
	}
	c := s.connect(t, client.WithRetry(time.Minute))
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetVersion(t.Context(), &davitv1.GetVersionRequest{}); err != nil { // now it has answered
		t.Fatal(err)
	}
	if _, err := c.UpdateHost(t.Context(), &davitv1.UpdateHostRequest{}); !errors.Is(err, domain.ErrUnavailable) || updates != 1 {
		t.Errorf("UpdateHost: %v after %d calls", err, updates)
	}
	if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{}); err != nil || starts != 2 {
		t.Errorf("StartDomain: %v after %d calls", err, starts)
	}
	if _, err := c.GetDomain(t.Context(), &davitv1.GetDomainRequest{}); err != nil || looks != 2 {
		t.Errorf("GetDomain: %v after %d calls", err, looks)
	}
}

// TestRetryWaitsForRestart makes a call while the daemon is away; it succeeds when the daemon is back.
func TestRetryWaitsForRestart(t *testing.T) {
	s := &stub{}
	c := s.connect(t)
	if _, err := c.GetVersion(t.Context(), &davitv1.GetVersionRequest{}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	time.AfterFunc(100*time.Millisecond, func() { s.run() })
	if _, err := c.GetVersion(t.Context(), &davitv1.GetVersionRequest{}); err != nil {
		t.Errorf("GetVersion across a restart: %v", err)
	}
}

func TestLookup(t *testing.T) {
	uuid := "6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a001"
	domains := map[string]*davitv1.DomainInfo{
		"id 7": {Name: "seven"}, "name 7": {Name: "7"}, "name 8": {Name: "8"}, "uuid " + uuid: {Name: "by uuid"}, "name web": {Name: "web"},
	}
	s := &stub{get: func(_ context.Context, r *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error) {
		var key string
		switch ref := r.GetDomain().GetRef().(type) {
		case *davitv1.DomainRef_Id:
			key = fmt.Sprint("id ", ref.Id)
		case *davitv1.DomainRef_Uuid:
			key = "uuid " + ref.Uuid
		case *davitv1.DomainRef_Name:
			key = "name " + ref.Name
		}
		if d := domains[key]; d != nil {
			return &davitv1.GetDomainResponse{Domain: d}, nil
		}
		return nil, domain.ToStatus(&domain.Error{Code: codes.NotFound}).Err()
	}}
	c := s.connect(t)
	for text, want := range map[string]string{"7": "seven", "8": "8", "web": "web", uuid: "by uuid"} {
		if d, err := c.Lookup(t.Context(), text); err != nil || d.GetName() != want {
			t.Errorf("Lookup(%q) = %q, %v, want %q", text, d.GetName(), err, want)
		}
	}
	for _, text := range []string{"", "none", "a/b", "99999999999999999999", "-1", "\x1b[2J"} {
		if d, err := c.Lookup(t.Context(), text); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("Lookup(%q) = %v, %v, want NOT_FOUND", text, d, err)
		}
	}
}

// TestDomainsAsksPageByPage lists all pages, and no further page than the caller takes.
func TestDomainsAsksPageByPage(t *testing.T) {
	pages, asked := 3, 0
	s := &stub{list: func(_ context.Context, r *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error) {
		asked++
		var n int
		_, _ = fmt.Sscan(r.GetPageToken(), &n)
		resp := &davitv1.ListDomainsResponse{Domains: []*davitv1.DomainInfo{{Name: fmt.Sprint("a", n)}, {Name: fmt.Sprint("b", n)}}}
		if n+1 < pages {
			resp.NextPageToken = fmt.Sprint(n + 1)
		}
		return resp, nil
	}}
	c := s.connect(t)
	var names []string
	for d, err := range c.Domains(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, d.GetName())
	}
	if got, want := fmt.Sprint(names), "[a0 b0 a1 b1 a2 b2]"; got != want || asked != 3 {
		t.Errorf("%s in %d pages, want %s in 3", got, asked, want)
	}
	asked = 0
	for _, err := range c.Domains(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if asked != 1 {
		t.Errorf("%d pages asked for, want 1", asked)
	}
}
