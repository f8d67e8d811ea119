package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// defaultHeartbeat is how often a watch hears from the daemon; after three times that in silence it connects anew.
const defaultHeartbeat = 15 * time.Second

// watchBatch is how many events the daemon may send at once.
const watchBatch = 64

// WatchOptions says from where and what to watch.
type WatchOptions struct {
	// After is the position to begin after: one that Get, List or an earlier Notice gave. From now on when nil.
	After *davitv1.EventPosition
	// Oldest begins with the oldest event that is kept.
	Oldest bool
	// UUIDs chooses domains, all when empty.
	UUIDs []string
	// Kinds chooses kinds of events, all when empty.
	Kinds []davitv1.EventKind
	// Heartbeat is how often to be told the position while nothing happens, at least 100 ms; 15 s when 0.
	Heartbeat time.Duration
}

// Notice is one thing that a watch tells: an event, a loss, or only how far it has come.
type Notice struct {
	// Event is what happened, or nil.
	Event *davitv1.Event
	// Resync, if not nil, tells that events before this notice are lost: list the domains anew.
	Resync *Resync
	// Position is how far the watch has come: another watch after it carries on here. Always set.
	Position *davitv1.EventPosition
}

// Resync tells of a gap: the daemon no longer keeps the events that follow a position. It happens when the client was
// away for longer than the journal reaches back, or the journal was lost and a new one began (another epoch).
type Resync struct {
	// After is the last position that was seen, or asked for.
	After *davitv1.EventPosition
}

// Watch follows events. The sequence begins with a notice of the position only; what happens after that is told, in
// order, without repetition and without holes. A connection that breaks, a daemon that restarts and a client that was
// too slow are resumed from; history that is gone by then is told by a [Resync], never passed over.
//
// The sequence ends with an error: ctx's when it is done, or the daemon's when it refuses, or when it was not reached at
// all.
func (c *Client) Watch(ctx context.Context, o WatchOptions) iter.Seq2[Notice, error] {
	return func(yield func(Notice, error) bool) {
		w := &watch{client: c, options: o, after: o.After, yield: yield}
		again := pause{window: -1}
		for {
			w.fresh = false
			err := w.follow(ctx)
			if w.fresh {
				again.reset()
			}
			switch {
			case w.ended:
				return
			case ctx.Err() != nil:
				yield(Notice{}, ctx.Err())
				return
			case truncated(err) && !w.lost:
				w.lost = true
			case errors.Is(err, domain.ErrInvalid) && !w.single:
				w.single = true // a daemon that is older knows of no batches, or refuses once more
			case resumable(err) && w.begun:
				if !again.next(ctx) {
					yield(Notice{}, ctx.Err())
					return
				}
			default:
				yield(Notice{}, err)
				return
			}
		}
	}
}

// watch is a sequence of notices over one stream after the other.
type watch struct {
	client  *Client
	options WatchOptions
	yield   func(Notice, error) bool

	after  *davitv1.EventPosition // where the next stream begins, if not nil
	begun  bool                   // a stream told its position once
	fresh  bool                   // this stream told something
	lost   bool                   // what came after that is gone: the next stream begins with the oldest
	single bool                   // events are asked for one at a time
	ended  bool                   // the caller wants no more
}

// follow tells what one stream tells and returns why it ended.
func (w *watch) follow(ctx context.Context) error {
	// The caller's deadline is ours to keep: sent along, the daemon could end the stream a moment before it.
	stream, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	heartbeat := w.options.Heartbeat
	if heartbeat == 0 {
		heartbeat = defaultHeartbeat
	}
	// A connection whose other end is frozen or gone says nothing at all; a daemon says at least its position.
	silence := 3*heartbeat + time.Second
	alarm := time.AfterFunc(silence, cancel)
	defer alarm.Stop()

	events, err := w.client.events.WatchEvents(stream, w.request(heartbeat))
	if err != nil {
		return err
	}
	for {
		resp, err := events.Recv()
		if errors.Is(err, io.EOF) || (err != nil && stream.Err() != nil) {
			return &domain.Error{Code: codes.Unavailable, Op: "watch events", Message: "the daemon fell silent"}
		}
		if err != nil {
			return err
		}
		alarm.Stop() // the caller may take its time
		if !w.tell(resp) {
			w.ended = true
			return nil
		}
		alarm.Reset(silence)
	}
}

func (w *watch) request(heartbeat time.Duration) *davitv1.WatchEventsRequest {
	req := &davitv1.WatchEventsRequest{
		Uuids: w.options.UUIDs, Kinds: w.options.Kinds, HeartbeatInterval: durationpb.New(heartbeat),
	}
	if !w.single {
		req.Batch = watchBatch
	}
	switch {
	case w.lost, w.after == nil && w.options.Oldest:
		req.Start = &davitv1.WatchEventsRequest_Oldest{Oldest: true}
	case w.after != nil:
		req.Start = &davitv1.WatchEventsRequest_After{After: w.after}
	}
	return req
}

// tell passes a response on and reports whether the caller wants more.
func (w *watch) tell(resp *davitv1.WatchEventsResponse) bool {
	if resp.GetBatch() == nil {
		return w.notify(Notice{Event: resp.GetEvent(), Position: resp.GetPosition()})
	}
	for _, ev := range resp.GetBatch().GetEvents() {
		if !w.notify(Notice{Event: ev}) {
			return false
		}
	}
	return true
}

// notify passes a notice on and reports whether the caller wants more.
func (w *watch) notify(n Notice) bool {
	if n.Event != nil {
		n.Position = n.Event.GetPosition()
	}
	if n.Position == nil {
		return true // an item of a later version
	}
	if w.lost {
		n.Resync = &Resync{After: w.after}
	}
	again := w.begun && n.Event == nil && n.Resync == nil && proto.Equal(n.Position, w.after)
	w.begun, w.fresh, w.lost, w.after = true, true, false, n.Position
	return again || w.yield(n, nil)
}

// truncated tells that the events after a position are no longer kept.
func truncated(err error) bool {
	return errors.Is(err, &domain.Error{
		Code: codes.OutOfRange, Reason: davitv1.ErrorReason_ERROR_REASON_EVENT_HISTORY_TRUNCATED,
	})
}

// resumable tells that a stream ended for a reason that does not concern the next one. One that is a watcher too many may
// be so because the daemon has not noticed yet that the one before is gone.
func resumable(err error) bool {
	return unavailable(err) || crowded(err) || watchers(err) || errors.Is(err, &domain.Error{
		Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_WATCHER_TOO_SLOW,
	})
}

// watchers tells that this caller has as many watchers as it may.
func watchers(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && e.Reason == davitv1.ErrorReason_ERROR_REASON_LIMIT_REACHED && e.Detail["limit"] == "limits.watchers"
}
