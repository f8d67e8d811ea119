package client

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// caller is what every call goes through: request ids, another try while the daemon is away or has too many calls of this
// caller, typed errors.
type caller struct {
	window   time.Duration
	link     *link
	readOnly bool
	away     func() (back func()) // see [WithAway]; may be nil
}

// unary makes a call of one question and one answer. One that the daemon did not begin for want of room is made again, whatever it
// is; one under which the daemon went away only if it may be made twice.
func (c caller) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if err := c.may(method); err != nil {
		return err
	}
	req = withRequestID(req)
	wait := pause{window: c.window}
	var back func()
	defer func() {
		if back != nil {
			back()
		}
	}()
	for cut := false; ; {
		began := time.Now()
		err := domain.FromStatus(overdue(ctx, invoke(ctx, method, req, reply, conn, opts...)))
		if answered(err) {
			c.link.reached.Store(true)
		}
		if time.Since(began) > c.window {
			wait.reset() // it was there for long, as in a wait for a domain
		}
		cut = cut || !answered(err)
		if crowded(err) { // the daemon is there, and did nothing
			if !wait.next(ctx) {
				return err
			}
			continue
		}
		if !unavailable(err) || draining(err) && !cut || !c.link.reached.Load() || !repeatable(method, req) {
			return err
		}
		if back == nil && c.away != nil && c.window > 0 {
			back = c.away()
		}
		if !wait.next(ctx) {
			return err
		}
	}
}

// repeatable tells whether a call may be made again though the daemon may have done what it asks: it changes nothing, or has a request
// id by which the daemon knows it.
func repeatable(method string, req any) bool {
	if accessOf(method) == davitv1.Access_ACCESS_READ {
		return true
	}
	with, ok := req.(interface{ GetRequestId() string })
	return ok && with.GetRequestId() != ""
}

// may refuses what a read-only client does not do.
func (c caller) may(method string) error {
	if !c.readOnly {
		return nil
	}
	return readable(method)
}

// stream opens a stream whose errors are typed.
func (c caller) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if err := c.may(method); err != nil {
		return nil, err
	}
	s, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, domain.FromStatus(err)
	}
	return typedStream{s}, nil
}

// skew is how much earlier than we the daemon may see a deadline pass.
const skew = 250 * time.Millisecond

// overdue tells a call that ran out of time as such, and not before its context says so too. The daemon, which knows the
// deadline as well, may be the first to see it: it answers so, or cancels the call.
func overdue(ctx context.Context, err error) error {
	deadline, limited := ctx.Deadline()
	code := status.Code(err)
	if !limited || code != codes.Canceled && code != codes.DeadlineExceeded || time.Until(deadline) >= skew {
		return err
	}
	<-ctx.Done()
	if code == codes.Canceled && !errors.Is(ctx.Err(), context.Canceled) {
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

// answered tells that a call came back from the daemon itself, whatever the answer: its errors have reasons.
func answered(err error) bool {
	var e *domain.Error
	return err == nil || errors.As(err, &e) && e.Reason != davitv1.ErrorReason_ERROR_REASON_UNSPECIFIED
}

// unavailable tells that the daemon did not answer. A monitor that does not answer is no such case.
func unavailable(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && errors.Is(e, domain.ErrUnavailable) &&
		e.Reason != davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST
}

// draining tells that the daemon takes no changes until somebody says otherwise. That may take hours: the caller is to
// know at once, unless an attempt before was cut off and may have done something, which only another one finds out.
func draining(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && e.Reason == davitv1.ErrorReason_ERROR_REASON_DAEMON_DRAINING
}

// crowded tells that the daemon did not begin a call because this caller has as many in flight as it may, or begins them too
// fast. Others of its calls will end: whatever the call is, it is made again a little later.
func crowded(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && e.Reason == davitv1.ErrorReason_ERROR_REASON_LIMIT_REACHED && passing[e.Detail["limit"]]
}

// passing are the limits of what a caller does at a time. Those of connections are none: another connection is needed then.
var passing = map[string]bool{"limits.calls": true, "limits.calls_per_second": true}

// typedStream turns the statuses of a stream into errors of package domain; io.EOF stays.
type typedStream struct{ grpc.ClientStream }

func (s typedStream) RecvMsg(m any) error { return streamError(s.ClientStream.RecvMsg(m)) }
func (s typedStream) SendMsg(m any) error { return streamError(s.ClientStream.SendMsg(m)) }

// withRequestID gives a request that can carry an id, and has none, one of its own. The caller's message is not touched.
func withRequestID(req any) any {
	m, ok := req.(proto.Message)
	if !ok {
		return req
	}
	field := m.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil || field.Kind() != protoreflect.StringKind || m.ProtoReflect().Get(field).String() != "" {
		return req
	}
	m = proto.Clone(m)
	m.ProtoReflect().Set(field, protoreflect.ValueOfString(domain.NewUUID()))
	return m
}
