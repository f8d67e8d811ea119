package audit

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Bounds of what is sent.
const (
	batch   = 64 // records at once
	maxTail = 10_000
)

// Service is AuditService.
type Service struct {
	davitv1.UnsafeAuditServiceServer
	log *Log
}

// Register adds the service to a server, which only those may reach who may see what all others did.
func Register(r grpc.ServiceRegistrar, l *Log) {
	davitv1.RegisterAuditServiceServer(r, &Service{log: l})
}

// ReadAudit sends the records that a request asks for. Without follow it ends with what was there when it began.
func (s *Service) ReadAudit(q *davitv1.ReadAuditRequest, stream grpc.ServerStreamingServer[davitv1.ReadAuditResponse]) error {
	if err := domain.RefuseUnknown(q); err != nil {
		return err
	}
	want, err := newQuery(q)
	if err != nil {
		return err
	}
	if want.after > s.log.last() {
		want.after = 0
	}
	c := &conversation{query: want, reader: s.log.newReader(want.since), send: stream.Send}
	defer c.reader.close()
	return c.run(stream.Context(), s.log)
}

// query is which records.
type query struct {
	domain, user string
	since, until time.Time // zero: no bound
	after        uint64
	denied       bool
	tail         int // negative for all
	follow       bool
}

func newQuery(q *davitv1.ReadAuditRequest) (query, error) {
	w := query{
		domain: q.GetDomain(), user: q.GetUser(), denied: q.GetDenied(), follow: q.GetFollow(), after: q.GetAfter(), tail: -1,
	}
	for _, bound := range []struct {
		field string
		from  *timestamppb.Timestamp
		to    *time.Time
	}{{"since", q.GetSince(), &w.since}, {"until", q.GetUntil(), &w.until}} {
		if bound.from == nil {
			continue
		}
		if err := bound.from.CheckValid(); err != nil {
			return w, invalid(bound.field, "it is no time: %v", err)
		}
		*bound.to = bound.from.AsTime()
	}
	if q.Tail != nil {
		if q.GetTail() > maxTail {
			return w, invalid("tail", "%d, the limit is %d", q.GetTail(), maxTail)
		}
		w.tail = int(q.GetTail())
	}
	return w, nil
}

// match tells whether a record is asked for.
func (q query) match(r *davitv1.AuditRecord) bool {
	at := r.GetTime().AsTime()
	return r.GetSequence() > q.after && (q.domain == "" || q.domain == r.GetDomain() || q.domain == r.GetUuid()) &&
		(q.user == "" || isUser(r.GetCaller(), q.user)) &&
		(!q.denied || denied(r.GetCode())) &&
		!at.Before(q.since) && (q.until.IsZero() || at.Before(q.until))
}

// isUser tells whether a caller is the user of a number, or the subject of a certificate.
func isUser(c *davitv1.AuditCaller, user string) bool {
	if p := c.GetProcess(); p != nil {
		return strconv.FormatUint(uint64(p.GetUid()), 10) == user
	}
	return c.GetCertificate() != nil && c.GetCertificate().GetSubject() == user
}

// denied tells whether an answer is that the caller may not.
func denied(code string) bool {
	return code == word(codes.PermissionDenied) || code == word(codes.Unauthenticated)
}

// conversation is one call.
type conversation struct {
	query  query
	reader *reader
	send   func(*davitv1.ReadAuditResponse) error
	held   []*davitv1.AuditRecord // that were not sent
	tail   []*davitv1.AuditRecord // the last that match, as a ring
	oldest int                    // of the ring
	newest uint64                 // that was looked at
}

func (c *conversation) run(ctx context.Context, log *Log) error {
	change := log.change()
	if err := c.drain(ctx, c.collect); err != nil {
		return err
	}
	for i := range c.tail {
		if err := c.add(c.tail[(c.oldest+i)%len(c.tail)]); err != nil {
			return err
		}
	}
	c.tail = nil
	if !c.query.follow {
		return c.flush()
	}
	for first := true; ; first = false {
		if err := c.report(first); err != nil {
			return err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
		change = log.change()
		if err := c.drain(ctx, c.add); err != nil {
			return err
		}
	}
}

// drain does something with each record that is there and asked for.
func (c *conversation) drain(ctx context.Context, each func(*davitv1.AuditRecord) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := c.reader.next()
		if err != nil {
			return fmt.Errorf("read audit log: %w", err)
		}
		if r == nil {
			return nil
		}
		c.newest = max(c.newest, r.GetSequence())
		if !c.query.match(r) {
			continue
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// collect keeps the last records, or sends all.
func (c *conversation) collect(r *davitv1.AuditRecord) error {
	switch {
	case c.query.tail < 0:
		return c.add(r)
	case c.query.tail == 0:
	case len(c.tail) < c.query.tail:
		c.tail = append(c.tail, r)
	default:
		c.tail[c.oldest] = r
		c.oldest = (c.oldest + 1) % len(c.tail)
	}
	return nil
}

// add puts a record to those that are sent.
func (c *conversation) add(r *davitv1.AuditRecord) error {
	if c.held = append(c.held, r); len(c.held) < batch {
		return nil
	}
	return c.flush()
}

func (c *conversation) flush() error { return c.report(false) }

// report sends what is held, or if there is nothing and it is to be told anyway, how far the reading is.
func (c *conversation) report(anyway bool) error {
	if len(c.held) == 0 && !anyway {
		return nil
	}
	records := c.held
	c.held = nil
	return c.send(&davitv1.ReadAuditResponse{Records: records, Newest: c.newest})
}

// invalid refuses a request for one field of it.
func invalid(field, format string, args ...any) error {
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Message:    "request is invalid",
		Violations: []domain.Violation{{Field: field, Message: fmt.Sprintf(format, args...)}},
	}
}
