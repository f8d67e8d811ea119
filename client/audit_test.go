package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// auditStub has records of some numbers, and answers as the daemon does.
type auditStub struct {
	davitv1.UnimplementedAuditServiceServer
	numbers []uint64
	// breaks are after how many records each stream breaks, in turn; then none does.
	breaks []int
	old    bool  // it does not know how to begin after a record
	silent bool  // it does not tell where a reader is before there are records
	broken error // what streams break with
	asked  []*davitv1.ReadAuditRequest
}

func (s *auditStub) ReadAudit(q *davitv1.ReadAuditRequest, out grpc.ServerStreamingServer[davitv1.ReadAuditResponse]) error {
	s.asked = append(s.asked, q)
	if s.old && q.GetAfter() != 0 {
		return domain.ToStatus(&domain.Error{
			Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, Message: "unknown field 8",
		}).Err()
	}
	limit := -1
	if len(s.breaks) > 0 {
		limit, s.breaks = s.breaks[0], s.breaks[1:]
	}
	if q.Tail != nil && q.GetTail() == 0 && !s.silent {
		if err := out.Send(&davitv1.ReadAuditResponse{Newest: slices.Max(append(s.numbers, q.GetAfter()))}); err != nil {
			return err
		}
	}
	for _, number := range s.numbers {
		if number <= q.GetAfter() || q.Tail != nil && q.GetTail() == 0 {
			continue
		}
		if limit == 0 {
			break
		}
		limit--
		if err := out.Send(&davitv1.ReadAuditResponse{Records: []*davitv1.AuditRecord{{Sequence: number}}}); err != nil {
			return err
		}
	}
	if limit >= 0 {
		return s.broken
	}
	return nil
}

// audited gives a client of a stub.
func audited(t *testing.T, s *auditStub) *client.Audit {
	t.Helper()
	server, listener := grpc.NewServer(), bufconn.Listen(1<<16)
	davitv1.RegisterAuditServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	c, err := client.DialAudit("/stub", client.WithDialer(func(ctx context.Context) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// told reads records to the end.
func told(t *testing.T, c *client.Audit, q *davitv1.ReadAuditRequest) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for r, err := range c.Records(ctx, q) {
		if err != nil {
			return strings.Join(got, " "), err
		}
		got = append(got, fmt.Sprint(r.GetSequence()))
	}
	return strings.Join(got, " "), nil
}

// away is what a stream breaks with when the daemon goes away.
func away() error {
	return domain.ToStatus(&domain.Error{Code: codes.Unavailable, Op: "read", Message: "the daemon goes away"}).Err()
}

// Who follows is told each record once, however often streams break, also by a daemon that does not know how to begin after one.
func TestFollowedRecordsComeOnce(t *testing.T) {
	for _, old := range []bool{false, true} {
		s := &auditStub{numbers: []uint64{1, 2, 4, 7, 8}, breaks: []int{2, 0, 1, 3}, old: old, broken: away()}
		got, err := told(t, audited(t, s), &davitv1.ReadAuditRequest{Follow: true, Tail: new(uint32(100))})
		if err != nil || got != "1 2 4 7 8" {
			t.Errorf("old %t: records %q, %v", old, got, err)
		}
		if !slices.ContainsFunc(s.asked, func(q *davitv1.ReadAuditRequest) bool { return q.GetAfter() == 2 && q.Tail == nil }) {
			t.Errorf("old %t: asked for %v", old, s.asked)
		}
	}
}

// Who wants only what comes is not told what was there before, also when the first stream breaks.
func TestFollowedRecordsBeginWhenTheReadingDid(t *testing.T) {
	s := &auditStub{breaks: []int{0}, broken: away()}
	s.numbers = []uint64{1}
	c := audited(t, s)
	// The daemon has to have answered once to be waited for.
	if got, err := told(t, c, &davitv1.ReadAuditRequest{Follow: true}); err == nil || got != "" {
		t.Errorf("a daemon that never answered is waited for: %q, %v", got, err)
	}
	if got, err := told(t, c, &davitv1.ReadAuditRequest{}); err != nil || got != "1" {
		t.Fatalf("records %q, %v", got, err)
	}
	s.breaks = []int{1}
	if got, err := told(t, c, &davitv1.ReadAuditRequest{Follow: true, Tail: new(uint32(0))}); err != nil || got != "" {
		t.Fatalf("records %q, %v", got, err)
	}
	if last := s.asked[len(s.asked)-1]; last.Tail != nil || last.GetAfter() != 1 || last.GetSince() != nil {
		t.Errorf("asked for %v", last)
	}
}

// Who wants only what comes misses nothing where a daemon that had not told where the reading is goes away before the first record.
func TestFollowedRecordsOfOneWhoDoesNotSayWhere(t *testing.T) {
	s := &auditStub{numbers: []uint64{1}, silent: true, broken: away()}
	c := audited(t, s)
	if got, err := told(t, c, &davitv1.ReadAuditRequest{}); err != nil || got != "1" {
		t.Fatalf("records %q, %v", got, err)
	}
	for _, since := range []*timestamppb.Timestamp{nil, timestamppb.New(time.Now().Add(time.Hour))} {
		s.breaks = []int{0}
		before := time.Now()
		got, err := told(t, c, &davitv1.ReadAuditRequest{Follow: true, Tail: new(uint32(0)), Since: since})
		if err != nil || got != "1" {
			t.Errorf("records %q, %v", got, err)
		}
		last := s.asked[len(s.asked)-1]
		switch from := last.GetSince().AsTime(); {
		case last.Tail != nil || last.GetAfter() != 0:
			t.Errorf("asked for %v", last)
		case since != nil && !from.Equal(since.AsTime()):
			t.Errorf("asked since %v, want %v", from, since.AsTime())
		case since == nil && (from.Before(before) || from.After(time.Now())):
			t.Errorf("asked since %v, want since the reading began", from)
		}
	}
}

// One that does not follow, and one that is refused, ends with the error.
func TestRecordsEnd(t *testing.T) {
	denied := domain.ToStatus(&domain.Error{
		Code: codes.PermissionDenied, Reason: davitv1.ErrorReason_ERROR_REASON_ACCESS_DENIED, Op: "call",
	}).Err()
	for _, tt := range []struct {
		follow bool
		broken error
		want   error
	}{{false, away(), domain.ErrUnavailable}, {true, denied, domain.ErrPermission}} {
		s := &auditStub{numbers: []uint64{1, 2, 3}, breaks: []int{2}, broken: tt.broken}
		got, err := told(t, audited(t, s), &davitv1.ReadAuditRequest{Follow: tt.follow})
		if got != "1 2" || !errors.Is(err, tt.want) || len(s.asked) != 1 {
			t.Errorf("follow %t: records %q, %v, want %v", tt.follow, got, err, tt.want)
		}
	}
}
