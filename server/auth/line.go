package auth

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// Lines is the option with which refused calls leave nothing behind. It must come after every other stats handler: the
// contexts of calls are to be made from that of a [line] itself.
func Lines() grpc.ServerOption { return grpc.StatsHandler(lines{}) }

// line is the context of a connection. grpc forgets to cancel the context of a call that is refused when its head is
// read (InTapHandle), with the timer of its deadline, which the client chooses: what 200 000 calls left, a day's deadline
// kept for a day. A line can cancel the newest of its calls, as package context lets a parent that has the method
// AfterFunc. That call is the one whose head is looked at: both happen in the one goroutine that reads the connection.
type line struct {
	context.Context //nolint:containedctx // it is one
	never           chan struct{}
	ending          atomic.Bool // while a call is cancelled

	mu   sync.Mutex
	call *newest
}

// newest is the call that was made last.
type newest struct{ cancel func() }

// Done is never closed: grpc cancels all calls of a connection that ends. It is there as calls do not belong to a context
// that cannot be done.
func (l *line) Done() <-chan struct{} { return l.never }

// Err is the cause that a call is cancelled with.
func (l *line) Err() error {
	if l.ending.Load() {
		return context.Canceled
	}
	return l.Context.Err()
}

// Value gives those of grpc and, by its key, the line.
func (l *line) Value(key any) any {
	if key == (lineKey{}) {
		return l
	}
	return l.Context.Value(key)
}

// AfterFunc is told by package context how to cancel a call.
func (l *line) AfterFunc(cancel func()) (stop func() bool) {
	made := &newest{cancel}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.call = made
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		was := l.call == made
		if was {
			l.call = nil
		}
		return was
	}
}

// lineKey is the context key of a line.
type lineKey struct{}

// drop cancels the call that is refused.
func drop(ctx context.Context) {
	l, ok := ctx.Value(lineKey{}).(*line)
	if !ok {
		return
	}
	l.mu.Lock()
	made := l.call
	l.call = nil
	l.mu.Unlock()
	if made == nil {
		return
	}
	l.ending.Store(true)
	defer l.ending.Store(false)
	made.cancel()
}

// lines give each connection its line.
type lines struct{}

func (lines) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return &line{Context: ctx, never: make(chan struct{})}
}

func (lines) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (lines) HandleConn(context.Context, stats.ConnStats)                     {}
func (lines) HandleRPC(context.Context, stats.RPCStats)                       {}
