package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	// pollInterval is how often a reader that follows looks for more.
	pollInterval = 100 * time.Millisecond
	// linger is how long a monitor may take to write its last lines.
	linger = time.Second
	// slack is how far the time of a file may be behind the times in it: the kernel's is that of its last tick.
	slack = time.Second
	// batchBytes and batchLines are how much is sent at once.
	batchBytes = 32 << 10
	batchLines = 512
)

// Send takes some lines. They are its own.
type Send func([]*davitv1.LogLine) error

// ReadLog sends the lines that a request asks for. Without follow it ends with what was there when it began.
func (l *Logs) ReadLog(ctx context.Context, q *davitv1.ReadLogRequest, send Send) error {
	want, err := newQuery(q)
	if err != nil {
		return err
	}
	uuid, err := l.find(ctx, q.GetDomain())
	if err != nil {
		return err
	}
	r := &reader{logs: l, uuid: uuid, query: want, send: send}
	defer r.close()
	if err := r.read(ctx); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	return nil
}

// query is which lines.
type query struct {
	since, until time.Time // zero: no bound
	origin       string
	tail         *uint32
	follow       bool
}

func newQuery(q *davitv1.ReadLogRequest) (query, error) {
	w := query{origin: q.GetOrigin(), tail: q.Tail, follow: q.GetFollow()}
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
	if !w.since.IsZero() && !w.until.IsZero() && w.until.Before(w.since) {
		return w, invalid("until", "%s is before since, %s", w.until.Format(time.RFC3339Nano), w.since.Format(time.RFC3339Nano))
	}
	if w.origin != "" && !isOrigin([]byte(w.origin)) {
		return w, invalid("origin", "%q is no alias of a console and not init", w.origin)
	}
	return w, nil
}

// match tells whether a line is asked for.
func (q query) match(r record) bool {
	return (q.origin == "" || string(r.origin) == q.origin) &&
		!r.time.Before(q.since) && (q.until.IsZero() || r.time.Before(q.until))
}

// over tells whether no line can come that is asked for.
func (q query) over(now time.Time) bool { return !q.until.IsZero() && now.After(q.until.Add(slack)) }

// reader is one call.
type reader struct {
	logs  *Logs
	uuid  string
	query query
	send  Send

	scanner *scanner
	ahead   []*segment // those that follow it
	lines   []*davitv1.LogLine
	weight  int
	gone    time.Time // since when the domain is, if it is
}

func (r *reader) close() {
	if r.scanner != nil {
		_ = r.scanner.file.Close()
	}
	closeAll(r.ahead)
}

func (r *reader) read(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	for {
		last := !r.query.follow || r.ended(time.Now()) || r.query.over(time.Now())
		if err := r.drain(ctx); err != nil || last {
			return err
		}
		if err := wait(ctx, pollInterval); err != nil {
			return err
		}
		if err := r.renew(); err != nil {
			return err
		}
	}
}

// ended tells whether nothing can come any more: the domain is gone, and so long that its monitor has written all.
func (r *reader) ended(now time.Time) bool {
	if _, _, ok := r.logs.options.Domains.Lookup(r.uuid); ok {
		r.gone = time.Time{}
		return false
	}
	if r.gone.IsZero() {
		r.gone = now
		if _, since, err := r.logs.look(r.uuid); err == nil && !since.IsZero() && since.Before(now) {
			r.gone = since
		}
	}
	return now.Sub(r.gone) > linger
}

// begin opens the files and goes to the first line that may be asked for.
func (r *reader) begin(ctx context.Context) error {
	list, err := r.open(fileID{})
	if err != nil {
		return err
	}
	r.ahead = list
	for !r.query.since.IsZero() && len(r.ahead) > 0 && r.ahead[0].modified.Before(r.query.since.Add(-slack)) {
		if len(r.ahead) == 1 && r.query.follow {
			break // it may be written to yet
		}
		_ = r.ahead[0].file.Close()
		r.ahead = r.ahead[1:]
	}
	if r.query.tail == nil {
		return nil
	}
	index, at, err := lastLines(ctx, r.ahead, uint64(*r.query.tail), r.query.match)
	if err != nil || len(r.ahead) == 0 {
		return err
	}
	closeAll(r.ahead[:index])
	r.ahead = r.ahead[index:]
	r.advance()
	r.scanner.at = at
	return nil
}

// open opens the files that are newer than one, none if the log is not there.
func (r *reader) open(after fileID) ([]*segment, error) {
	dir, err := r.logs.folder(r.uuid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.close()
	if id, ok := dir.newest(); ok && id == after {
		return nil, nil
	}
	return dir.segments(after)
}

// renew looks for files that were begun since.
func (r *reader) renew() error {
	var last fileID
	if n := len(r.ahead); n > 0 {
		last = r.ahead[n-1].id
	} else if r.scanner != nil {
		last = r.scanner.id
	}
	list, err := r.open(last)
	r.ahead = append(r.ahead, list...)
	return err
}

// advance goes to the next file; ok is false while there is none.
func (r *reader) advance() (ok bool) {
	if len(r.ahead) == 0 {
		return false
	}
	next := &scanner{segment: r.ahead[0], limit: -1}
	if !r.query.follow {
		next.limit = next.size
	}
	if r.scanner != nil {
		_ = r.scanner.file.Close()
		next.buf = r.scanner.buf
	}
	r.scanner, r.ahead = next, r.ahead[1:]
	return true
}

// drain sends all that is there.
func (r *reader) drain(ctx context.Context) error {
	for {
		if r.scanner == nil && !r.advance() {
			return nil
		}
		line, ok, err := r.scanner.next()
		if err != nil {
			return err
		}
		switch {
		case ok && r.query.match(line):
			err = r.add(ctx, line)
		case ok:
			err = ctx.Err()
		case !r.advance():
			return r.flush(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// add puts a line to those that are sent.
func (r *reader) add(ctx context.Context, line record) error {
	r.lines = append(r.lines, &davitv1.LogLine{
		Time: timestamppb.New(line.time), Origin: string(line.origin), Text: append([]byte(nil), line.text...), Partial: line.partial,
	})
	r.weight += len(line.text)
	if r.weight < batchBytes && len(r.lines) < batchLines {
		return nil
	}
	return r.flush(ctx)
}

func (r *reader) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil || len(r.lines) == 0 {
		return err
	}
	lines := r.lines
	r.lines, r.weight = nil, 0
	return r.send(lines)
}

// wait waits for a time, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
