package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// LogOptions says which lines of a log to read.
type LogOptions struct {
	// Since and Until bound the time of the lines, the first included, the last not; no bound when zero.
	Since, Until time.Time
	// Tail, if not nil, is how many of these lines to read, the last ones.
	Tail *uint32
	// Follow goes on with what comes.
	Follow bool
	// Origin chooses a console, "console0", or "init"; all when empty.
	Origin string
}

// Log reads the log of a domain, named by its UUID or name, also of one that is gone. The bytes of a line are the
// domain's: they have to be escaped before they reach a terminal.
//
// A sequence that follows carries on when the daemon restarts, without repeating a line and without a hole as long as the
// log keeps the lines that were written meanwhile. It ends when a domain that is gone has no more lines; with ctx's
// error when that is done, and with the daemon's when it refuses or is not reached at all.
func (c *Client) Log(ctx context.Context, name string, o LogOptions) iter.Seq2[*davitv1.LogLine, error] {
	return func(yield func(*davitv1.LogLine, error) bool) {
		l := &logReader{
			follower: follower[*davitv1.LogLine]{link: c.link, yield: yield, follow: o.Follow},
			client:   c, request: o.request(name), began: time.Now(),
		}
		l.run(ctx, l.read, func(error) bool { return false })
	}
}

func (o LogOptions) request(name string) *davitv1.ReadLogRequest {
	q := &davitv1.ReadLogRequest{Domain: name, Tail: o.Tail, Follow: o.Follow, Origin: o.Origin}
	if !o.Since.IsZero() {
		q.Since = timestamppb.New(o.Since)
	}
	if !o.Until.IsZero() {
		q.Until = timestamppb.New(o.Until)
	}
	return q
}

// logReader is a sequence of lines over one stream after the other.
type logReader struct {
	follower[*davitv1.LogLine]
	client  *Client
	request *davitv1.ReadLogRequest
	began   time.Time

	last *timestamppb.Timestamp // time of the last line that was told
	same int                    // how many lines of that time were told
}

// read tells what one stream tells and returns why it ended, io.EOF at the end of the log.
func (l *logReader) read(ctx context.Context) error {
	lines, err := l.client.ReadLog(ctx, l.request)
	if err != nil {
		return err
	}
	skip := l.same
	for {
		resp, err := lines.Recv()
		if err != nil {
			l.resume()
			return err
		}
		l.link.reached.Store(true)
		for _, line := range resp.GetLines() {
			if skip > 0 && proto.Equal(line.GetTime(), l.last) {
				skip--
				continue
			}
			skip = 0
			l.remember(line)
			if !l.tell(line) {
				return nil
			}
		}
	}
}

// remember notes a line as the last that was told.
func (l *logReader) remember(line *davitv1.LogLine) {
	if proto.Equal(line.GetTime(), l.last) {
		l.same++
	} else {
		l.last, l.same = line.GetTime(), 1
	}
}

// resume lets the next stream begin where this one broke: with the lines of the time of the last one, those that were
// told already left out, or, if there was none, when the reading began.
func (l *logReader) resume() {
	switch {
	case l.last != nil:
		l.request.Since = l.last
	case l.request.Tail != nil && l.request.GetTail() == 0:
		l.request.Since = timestamppb.New(l.began)
	default:
		return
	}
	l.request.Tail = nil
}
