package audit

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// undecoded records calls that ended before an interceptor heard of them: their request could not be decoded, or was
// larger than one may be.
type undecoded struct{ door *Door }

// noticeKey is the context key of a call's notice.
type noticeKey struct{}

// notice is whether an interceptor heard of a call.
type notice struct {
	method string
	taken  atomic.Bool
}

// noticed notes that an interceptor heard of a call.
func noticed(ctx context.Context) {
	if n, ok := ctx.Value(noticeKey{}).(*notice); ok {
		n.taken.Store(true)
	}
}

// TagRPC makes a notice for a call.
func (undecoded) TagRPC(ctx context.Context, call *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, noticeKey{}, &notice{method: call.FullMethodName})
}

// HandleRPC records a call that ended and was not noticed.
func (u undecoded) HandleRPC(ctx context.Context, event stats.RPCStats) {
	end, ok := event.(*stats.End)
	if !ok {
		return
	}
	if n, ok := ctx.Value(noticeKey{}).(*notice); ok && !n.taken.Load() {
		c := u.door.begin(ctx, n.method)
		c.began = end.BeginTime
		c.end(c.always, nil, end.Error)
	}
}

// TagConn adds nothing.
func (undecoded) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn has nothing to do.
func (undecoded) HandleConn(context.Context, stats.ConnStats) {}
