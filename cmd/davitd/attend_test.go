package main

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// watch is a way to follow events from the first on, whatever becomes of the daemon.
type watch = func(context.Context) iter.Seq2[client.Notice, error]

// together watches by the client, which is sent events together and sees to the rest.
func (s *site) together(tb testing.TB) watch {
	tb.Helper()
	c := s.client(tb, client.WithRetry(testenv.Scale(10*time.Minute)))
	return func(ctx context.Context) iter.Seq2[client.Notice, error] {
		return c.Watch(ctx, client.WatchOptions{Oldest: true})
	}
}

// comeAndGo watches by the client for a while, goes away, and comes back with the position that it had.
func (s *site) comeAndGo(tb testing.TB) watch {
	tb.Helper()
	c := s.client(tb, client.WithRetry(testenv.Scale(10*time.Minute)))
	return func(ctx context.Context) iter.Seq2[client.Notice, error] {
		return func(yield func(client.Notice, error) bool) {
			options := client.WatchOptions{Oldest: true, Heartbeat: time.Second}
			for {
				left := 1 + rand.IntN(200)
				for notice, err := range c.Watch(ctx, options) {
					if away(err) {
						break // it was away already when this watch began
					}
					if !yield(notice, err) || err != nil {
						return
					}
					options = client.WatchOptions{After: notice.Position, Heartbeat: time.Second}
					if left--; left == 0 {
						break
					}
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
}

// oneByOne watches as a program would that knows the protocol only: it is sent one event at a time, and when the daemon is away it
// asks again for what comes after the last that it has.
func (s *site) oneByOne(tb testing.TB) watch {
	tb.Helper()
	const longest = 500 * time.Millisecond
	conn, err := grpc.NewClient("unix:"+s.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(
		grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 2, MaxDelay: longest}}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	events := davitv1.NewEventServiceClient(conn)
	return func(ctx context.Context) iter.Seq2[client.Notice, error] {
		return func(yield func(client.Notice, error) bool) {
			request := &davitv1.WatchEventsRequest{Start: &davitv1.WatchEventsRequest_Oldest{Oldest: true}}
			for {
				stream, err := events.WatchEvents(ctx, request)
				for err == nil {
					var item *davitv1.WatchEventsResponse
					if item, err = stream.Recv(); err != nil {
						break
					}
					n := client.Notice{Event: item.GetEvent(), Position: item.GetPosition()}
					if n.Event != nil {
						n.Position = n.Event.GetPosition()
					}
					if !yield(n, nil) {
						return
					}
					request.Start = &davitv1.WatchEventsRequest_After{After: n.Position}
				}
				if !away(err) {
					yield(client.Notice{}, err)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
}

// away tells the error of a daemon that is not there.
func away(err error) bool {
	return errors.Is(err, domain.ErrUnavailable) || status.Code(err) == codes.Unavailable
}
