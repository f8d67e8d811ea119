package rpc

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// How often a watcher hears of its position when nothing happens.
const (
	heartbeat    = 15 * time.Second
	minHeartbeat = 100 * time.Millisecond
)

const (
	// maxBatch is how many events a response may hold.
	maxBatch = 256
	// hold is how long events are held back that come after others, for a watcher that takes several at once. What a host can tell
	// in a second is bounded by how often it wakes watchers, not by how much each is told.
	hold = 4 * time.Millisecond
)

// eventService tells what happens.
type eventService struct {
	davitv1.UnsafeEventServiceServer
	engine *engine.Engine
}

func (s *eventService) GetEventPosition(ctx context.Context, q *davitv1.GetEventPositionRequest) (*davitv1.GetEventPositionResponse, error) {
	return s.engine.GetEventPosition(ctx, q)
}

// WatchEvents sends a position first, then events as they come, and the position again when none came for a while.
func (s *eventService) WatchEvents(q *davitv1.WatchEventsRequest, stream grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
	every := heartbeat
	if q.GetHeartbeatInterval() != nil {
		if every = q.GetHeartbeatInterval().AsDuration(); every < minHeartbeat {
			return refuse("heartbeat_interval", every.String()+", the least is "+minHeartbeat.String())
		}
	}
	if q.GetBatch() > maxBatch {
		return refuse("batch", strconv.FormatUint(uint64(q.GetBatch()), 10)+", the limit is "+strconv.Itoa(maxBatch))
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer onDone(s.engine, cancel)()
	w, err := s.engine.WatchEvents(ctx, q)
	if err != nil {
		return err
	}
	f := &following{watcher: w, stream: stream, every: every, batch: int(q.GetBatch())}
	for {
		if err := stream.Send(&davitv1.WatchEventsResponse{
			Item: &davitv1.WatchEventsResponse_Position{Position: w.Position()},
		}); err != nil {
			return err
		}
		if err := f.follow(ctx); err != nil {
			return err
		}
	}
}

// watcher gives events in order; engine's is the journal's.
type watcher interface {
	Next(ctx context.Context) (*davitv1.Event, error)
	Take(batch *davitv1.EventBatch, most int)
}

// following sends what a watcher gives.
type following struct {
	watcher watcher
	stream  grpc.ServerStreamingServer[davitv1.WatchEventsResponse]
	every   time.Duration // after which silence is broken
	batch   int           // most events in a response, one if not above
	sent    time.Time     // when events were sent last
}

// follow sends events until none came for a time.
func (f *following) follow(ctx context.Context) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, f.every)
		ev, err := f.watcher.Next(waiting)
		cancel()
		switch {
		case err == nil:
		case f.stream.Context().Err() != nil:
			return f.stream.Context().Err()
		case ctx.Err() != nil:
			return closing()
		case errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			return err
		}
		if err := f.send(ctx, ev); err != nil {
			return err
		}
	}
}

// send sends an event, with others that come meanwhile where that is wanted. One that is held back when ctx ends is sent all the
// same: it counts as told.
func (f *following) send(ctx context.Context, first *davitv1.Event) error {
	if f.batch <= 1 {
		return f.stream.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Event{Event: first}})
	}
	if early := hold - time.Since(f.sent); early > 0 {
		select {
		case <-time.After(early):
		case <-ctx.Done():
		}
	}
	batch := &davitv1.EventBatch{Events: []*davitv1.Event{first}}
	f.watcher.Take(batch, f.batch-1)
	f.sent = time.Now()
	return f.stream.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Batch{Batch: batch}})
}

// onDone calls a function when the engine closes, until stop is called.
func onDone(e *engine.Engine, do func()) (stop func()) {
	over := make(chan struct{})
	go func() {
		select {
		case <-e.Done():
			do()
		case <-over:
		}
	}()
	return func() { close(over) }
}

// refuse says that a field of a request is wrong.
func refuse(field, message string) error {
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Message: "request is invalid", Violations: []domain.Violation{{Field: field, Message: message}},
	}
}

// closing is the end of streams that the daemon ends.
func closing() error {
	return &domain.Error{
		Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN,
		Message: "the daemon is shutting down",
	}
}
