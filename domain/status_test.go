package domain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestStatusRoundTrip: every part of an error comes back from the wire.
func TestStatusRoundTrip(t *testing.T) {
	for seed := range uint64(500) {
		want := randomError(rand.New(rand.NewPCG(seed, 2)))
		got := domain.FromStatus(domain.ToStatus(fmt.Errorf("while at it: %w", want)).Err())
		if diff := cmp.Diff(error(want), got); diff != "" {
			t.Fatalf("seed %d: the error changed on its way (-sent +received):\n%s", seed, diff)
		}
		if got.Error() != want.Error() {
			t.Fatalf("seed %d: got %q, want %q", seed, got, want)
		}
	}
}

func randomError(r *rand.Rand) *domain.Error {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	e := &domain.Error{
		Code:    []codes.Code{codes.NotFound, codes.InvalidArgument, codes.FailedPrecondition, codes.Internal, codes.Aborted}[r.IntN(5)],
		Reason:  davitv1.ErrorReason(r.IntN(len(davitv1.ErrorReason_name))),
		Op:      pick("", "start domain", "read domain XML"),
		Subject: pick("", "web", "a \"b\": c", "ünï"),
		Message: pick("", "domain is not running", "open \"/x: y\": no such file", "a: b: c"),
	}
	for range r.IntN(4) {
		if e.Detail == nil {
			e.Detail = map[string]string{}
		}
		e.Detail[pick("state", "operation", "errno", "line")] = pick("", "ENOENT", "running (booted)", "ü")
	}
	for range r.IntN(4) {
		v := domain.Violation{
			XMLPath: pick("", "/domain/name", "/domain/lxc:namespace/lxc:sharenet/@type"),
			Field:   pick("", "name", "devices.filesystem[1].target_dir"),
			Message: pick("is bad", "", ": odd", "/domain: like a path", "1:2: like a place", "7:8: /domain/x: like both", "x: y"),
		}
		if r.IntN(2) == 0 {
			v.Line, v.Column = 1+r.IntN(100), r.IntN(100)
		}
		e.Violations = append(e.Violations, v)
	}
	return e
}

// TestStatusDetails: programs that know nothing of davit find google's details.
func TestStatusDetails(t *testing.T) {
	s := domain.ToStatus(&domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE, Op: "start domain", Subject: "web",
		Message: "domain is already running", Detail: map[string]string{"state": "running (booted)"},
		Violations: []domain.Violation{{XMLPath: "/domain/name", Field: "name", Line: 2, Column: 3, Message: "is odd"}},
	})
	if s.Code() != codes.FailedPrecondition || s.Message() != `start domain "web": domain is already running` {
		t.Errorf("status is %v %q", s.Code(), s.Message())
	}
	want := []proto.Message{
		&errdetails.ErrorInfo{Reason: "DOMAIN_STATE", Domain: "davit.v1", Metadata: map[string]string{
			"state": "running (booted)", "davit-op": "start domain", "davit-subject": "web",
		}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "name", Description: "2:3: /domain/name: is odd"},
		}},
		&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
			{Type: "DOMAIN_STATE", Subject: "web", Description: "domain is already running"},
		}},
	}
	got := s.Details()
	if len(got) != len(want) {
		t.Fatalf("details are %v", got)
	}
	for i := range want {
		if d, ok := got[i].(proto.Message); !ok || !proto.Equal(d, want[i]) {
			t.Errorf("detail %d is %v, want %v", i, got[i], want[i])
		}
	}
	missing := domain.ToStatus(&domain.Error{Code: codes.NotFound, Subject: "web", Message: "no such domain"})
	if r, ok := missing.Details()[1].(*errdetails.ResourceInfo); !ok || r.GetResourceName() != "web" || r.GetDescription() != "no such domain" {
		t.Errorf("details of NOT_FOUND are %v", missing.Details())
	}
}

// TestForeignErrors: errors of others get the code that says what they mean, on either end.
func TestForeignErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code codes.Code
	}{
		{errors.New("boom"), codes.Internal},
		{fmt.Errorf("wait: %w", context.Canceled), codes.Canceled},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		{status.Error(codes.Unimplemented, "unknown method"), codes.Unimplemented},
		{&domain.Error{Message: "no code"}, codes.Internal},
	} {
		if got := domain.ToStatus(c.err).Code(); got != c.code {
			t.Errorf("ToStatus(%v) is %v, want %v", c.err, got, c.code)
		}
	}
	if domain.ToStatus(nil) != nil || domain.FromStatus(nil) != nil {
		t.Error("nil does not stay nil")
	}
	if err := domain.FromStatus(io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("EOF became %v", err)
	}
	for _, c := range []struct {
		err, is error
	}{
		{status.Error(codes.Canceled, "context canceled"), context.Canceled},
		{status.Error(codes.DeadlineExceeded, "too late"), context.DeadlineExceeded},
		{status.Error(codes.Unavailable, "connection refused"), domain.ErrUnavailable},
		{&net.OpError{Op: "dial", Net: "unix", Err: errors.New("refused")}, domain.ErrUnavailable},
		{errors.New("boom"), domain.ErrInternal},
		{context.Canceled, context.Canceled},
	} {
		if got := domain.FromStatus(c.err); !errors.Is(got, c.is) {
			t.Errorf("FromStatus(%v) is %#v", c.err, got)
		}
	}
	if got := domain.FromStatus(status.Error(codes.Canceled, "context canceled")).Error(); got != "context canceled" {
		t.Errorf("a cancelled call says %q", got)
	}
}

// TestStatusBound: however much is wrong, the status fits into a header, and what is left out is counted.
func TestStatusBound(t *testing.T) {
	e := &domain.Error{Code: codes.InvalidArgument, Message: strings.Repeat("m", 100000)}
	for range 1000 {
		e.Violations = append(e.Violations, domain.Violation{Field: "name", Message: strings.Repeat("x", 100)})
	}
	s := domain.ToStatus(e)
	wire, err := proto.Marshal(s.Proto())
	if err != nil || len(wire) > 16<<10 {
		t.Errorf("the status has %d bytes, %v", len(wire), err)
	}
	var got *domain.Error
	if !errors.As(domain.FromStatus(s.Err()), &got) || !strings.HasSuffix(got.Error(), "more") {
		t.Errorf("what is left out is not counted: %v", got)
	}
}

// TestErrorWords: the message says what, on what, why, and where.
func TestErrorWords(t *testing.T) {
	one := domain.Violation{XMLPath: "/domain/name", Field: "name", Line: 2, Column: 3, Message: "is odd"}
	two := domain.Violation{Field: "memory_kib", Message: "is odd, too"}
	for _, c := range []struct {
		err  *domain.Error
		want string
	}{
		{&domain.Error{Op: "start domain", Subject: "web", Message: "no", Err: io.EOF}, `start domain "web": no: EOF`},
		{&domain.Error{Subject: "web"}, `"web"`},
		{&domain.Error{Op: "read", Violations: []domain.Violation{one}}, "read: 2:3: /domain/name: is odd"},
		{&domain.Error{Violations: []domain.Violation{two}}, "memory_kib: is odd, too"},
		{&domain.Error{Op: "read", Violations: []domain.Violation{one, two}}, "read\n  2:3: /domain/name: is odd\n  memory_kib: is odd, too"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	inner := &domain.Error{Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND}
	if !errors.Is(inner, domain.ErrNotFound) || errors.Is(inner, domain.ErrExists) {
		t.Error("an error is not of its class alone")
	}
	if !errors.Is(fmt.Errorf("x: %w", inner), &domain.Error{Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND}) {
		t.Error("an error is not the one of its code and reason")
	}
}
