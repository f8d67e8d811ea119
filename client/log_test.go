package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// logStub keeps lines in memory and answers as the daemon does.
type logStub struct {
	davitv1.UnimplementedLogServiceServer
	lines []*davitv1.LogLine
	// breaks is after how many lines each stream breaks, in turn; the last never does.
	breaks []int
	asked  []*davitv1.ReadLogRequest
}

func (s *logStub) ReadLog(q *davitv1.ReadLogRequest, out grpc.ServerStreamingServer[davitv1.ReadLogResponse]) error {
	s.asked = append(s.asked, q)
	limit := -1
	if len(s.breaks) > 0 {
		limit, s.breaks = s.breaks[0], s.breaks[1:]
	}
	for _, line := range s.lines {
		if q.GetSince() != nil && line.GetTime().AsTime().Before(q.GetSince().AsTime()) {
			continue
		}
		if limit == 0 {
			break
		}
		limit--
		if err := out.Send(&davitv1.ReadLogResponse{Lines: []*davitv1.LogLine{line}}); err != nil {
			return err
		}
	}
	if limit >= 0 {
		return domain.ToStatus(&domain.Error{Code: codes.Unavailable, Op: "read log", Message: "the daemon goes away"}).Err()
	}
	return nil
}

// logLines are lines of which several have the same time.
func logLines() []*davitv1.LogLine {
	at := func(second int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: second} }
	return []*davitv1.LogLine{
		{Time: at(1), Text: []byte("a")},
		{Time: at(2), Text: []byte("b")},
		{Time: at(2), Text: []byte("c")},
		{Time: at(2), Text: []byte("d")},
		{Time: at(3), Text: []byte("e")},
	}
}

// TestLogResumes reads over streams that break at every place: each line comes once, in order.
func TestLogResumes(t *testing.T) {
	for _, breaks := range [][]int{{}, {0}, {1}, {2}, {3}, {4}, {5}, {2, 1, 2}, {3, 3, 3}, {1, 2, 3}} {
		s := &stub{log: &logStub{lines: logLines(), breaks: slices.Clone(breaks)}}
		c := s.connect(t)
		if _, err := c.GetVersion(t.Context(), &davitv1.GetVersionRequest{}); err != nil {
			t.Fatal(err)
		}
		var got string
		for line, err := range c.Log(t.Context(), "web", client.LogOptions{Follow: true}) {
			if err != nil {
				t.Fatalf("breaks %v: %v", breaks, err)
			}
			got += string(line.GetText())
		}
		if got != "abcde" {
			t.Errorf("breaks %v: %q, want %q", breaks, got, "abcde")
		}
	}
}

// TestLogDoesNotResume tells a broken stream where nothing is followed, and ctx's end where it is.
func TestLogDoesNotResume(t *testing.T) {
	s := &stub{log: &logStub{lines: logLines(), breaks: []int{2}}}
	c := s.connect(t)
	var last error
	for _, err := range c.Log(t.Context(), "web", client.LogOptions{}) {
		last = err
	}
	if !errors.Is(last, domain.ErrUnavailable) {
		t.Errorf("a stream that broke ends with %v", last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range c.Log(ctx, "web", client.LogOptions{Follow: true}) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("a sequence whose context ended ends with %v", last)
	}
}

// TestLogAsks hands on what it is asked, and asks for nothing twice after a break.
func TestLogAsks(t *testing.T) {
	l := &logStub{lines: logLines(), breaks: []int{2}}
	s := &stub{log: l}
	c := s.connect(t)
	tail := uint32(5)
	since := time.Unix(1, 0)
	for _, err := range c.Log(t.Context(), "web", client.LogOptions{Since: since, Tail: &tail, Follow: true, Origin: "console0"}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(l.asked) != 2 {
		t.Fatalf("asked %d times, want 2", len(l.asked))
	}
	first, second := l.asked[0], l.asked[1]
	if first.GetTail() != 5 || first.GetSince().AsTime().Unix() != 1 || first.GetOrigin() != "console0" || !first.GetFollow() {
		t.Errorf("asked for %v", first)
	}
	if second.Tail != nil || second.GetSince().AsTime().Unix() != 2 || second.GetOrigin() != "console0" {
		t.Errorf("after the break asked for %v", second)
	}
}
