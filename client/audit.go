package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Records reads the audit log. What callers chose in it has to be escaped before it reaches a terminal.
//
// A sequence that follows carries on when the daemon restarts, without repeating a record and without a hole as long as the log
// keeps the records that were written meanwhile. It ends with ctx's error when that is done, and with the daemon's when it refuses
// or is not reached at all; one that does not follow ends with the log.
func (a *Audit) Records(ctx context.Context, q *davitv1.ReadAuditRequest) iter.Seq2[*davitv1.AuditRecord, error] {
	return func(yield func(*davitv1.AuditRecord, error) bool) {
		r := &auditReader{
			follower: follower[*davitv1.AuditRecord]{link: a.connection.link, yield: yield, follow: q.GetFollow()},
			audit:    a, request: proto.CloneOf(q), began: time.Now(),
		}
		r.run(ctx, r.read, r.older)
	}
}

// auditReader is a sequence of records over one stream after the other.
type auditReader struct {
	follower[*davitv1.AuditRecord]
	audit   *Audit
	request *davitv1.ReadAuditRequest
	began   time.Time

	placed bool   // the daemon has told where the reading is
	last   uint64 // number of the last record that was told or looked at
	skip   bool   // those up to it are sent once more
}

// read tells what one stream tells and returns why it ended, io.EOF at the end of the log.
func (r *auditReader) read(ctx context.Context) error {
	stream, err := r.audit.ReadAudit(ctx, r.request)
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			r.resume()
			return err
		}
		r.link.reached.Store(true)
		for _, record := range resp.GetRecords() {
			if r.skip && record.GetSequence() <= r.last {
				continue
			}
			r.last = record.GetSequence()
			if !r.tell(record) {
				return nil
			}
		}
		r.last = max(r.last, resp.GetNewest())
		r.placed = true
	}
}

// resume lets the next stream begin where this one broke. Where the daemon had not told where that is, as an older one does not before
// the first record, one that tells only what comes goes on from when the reading began.
func (r *auditReader) resume() {
	if !r.placed {
		if r.request.Tail == nil || r.request.GetTail() != 0 {
			return
		}
		if r.request.GetSince().AsTime().Before(r.began) {
			r.request.Since = timestamppb.New(r.began)
		}
		r.request.Tail = nil
		return
	}
	if !r.skip {
		r.request.After = r.last
	}
	r.request.Tail = nil
}

// older tells that the daemon, which is another one now, does not know how to begin after a record: it is asked for all, and what
// was told is left out here.
func (r *auditReader) older(err error) bool {
	if !errors.Is(err, domain.ErrInvalid) || r.skip || !r.begun || r.request.GetAfter() == 0 {
		return false
	}
	r.skip, r.request.After = true, 0
	return true
}
