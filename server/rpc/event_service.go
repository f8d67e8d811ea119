package rpc

import (
	"context"
	"errors"
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
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer onDone(s.engine, cancel)()
	w, err := s.engine.WatchEvents(ctx, q)
	if err != nil {
		return err
	}
	for {
		if err := stream.Send(&davitv1.WatchEventsResponse{
			Item: &davitv1.WatchEventsResponse_Position{Position: w.Position()},
		}); err != nil {
			return err
		}
		if err := s.follow(ctx, every, w, stream); err != nil {
			return err
		}
	}
}

// watcher gives events in order; engine's is the journal's.
type watcher interface {
	Next(ctx context.Context) (*davitv1.Event, error)
}

// follow sends events until none came for a time.
func (s *eventService) follow(ctx context.Context, every time.Duration, w watcher, stream grpc.ServerStreamingServer[davitv1.WatchEventsResponse]) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, every)
		ev, err := w.Next(waiting)
		cancel()
		switch {
		case err == nil:
		case stream.Context().Err() != nil:
			return stream.Context().Err()
		case ctx.Err() != nil:
			return closing()
		case errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			return err
		}
		if err := stream.Send(&davitv1.WatchEventsResponse{Item: &davitv1.WatchEventsResponse_Event{Event: ev}}); err != nil {
			return err
		}
	}
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
