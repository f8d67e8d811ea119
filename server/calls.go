package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// calls is what surrounds every call: panics and faults of davit's own are logged, all errors get the form in which
// they cross the wire, and streams end when the daemon does.
type calls struct {
	log  *zap.Logger
	lull *lull
	// over ends the streams that are still open once the engine has closed.
	over context.Context //nolint:containedctx // it is the life of the server
}

func (c *calls) unary(ctx context.Context, req any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	c.lull.disturb()
	defer c.lull.disturb()
	defer func() { resp, err = c.finish(ctx, call.FullMethod, resp, err, recover()) }()
	return next(ctx, req)
}

func (c *calls) stream(srv any, ss grpc.ServerStream, call *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	c.lull.disturb()
	defer c.lull.disturb()
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(c.over, cancel)()
	defer func() {
		_, err = c.finish(ctx, call.FullMethod, nil, err, recover())
		if err != nil && c.over.Err() != nil && ss.Context().Err() == nil {
			err = domain.ToStatus(shuttingDown()).Err()
		}
	}()
	return next(srv, &mortalStream{ServerStream: ss, ctx: ctx})
}

// finish makes an answer of what a service returned, or of what it died of.
func (c *calls) finish(ctx context.Context, method string, resp any, err error, died any) (any, error) {
	if died != nil {
		err = internal("the service died", fmt.Errorf("panic: %v", died))
		return nil, c.report(ctx, method, err, zap.ByteString("stack", debug.Stack()))
	}
	if err == nil {
		return resp, nil
	}
	st := domain.ToStatus(err)
	if st.Code() == codes.Internal || st.Code() == codes.Unknown {
		return nil, c.report(ctx, method, err)
	}
	return nil, st.Err()
}

// report logs a fault of davit's own under an id, which the caller is told.
func (c *calls) report(ctx context.Context, method string, err error, more ...zap.Field) error {
	id := domain.NewUUID()[:8]
	peer, _ := auth.PeerOf(ctx)
	c.log.Error("call failed", append(more,
		zap.String("log_id", id), zap.String("method", method), zap.Stringer("peer", peer), zap.Error(err))...)
	var known *domain.Error
	if !errors.As(err, &known) {
		if s, ok := status.FromError(err); ok {
			return s.Err()
		}
		known = internal("", err)
	}
	told := *known
	told.Detail = maps.Clone(known.Detail)
	if told.Detail == nil {
		told.Detail = make(map[string]string)
	}
	told.Detail["log_id"] = id
	if told.Message != "" {
		told.Message += ": "
	}
	told.Message += "the daemon's log has more under " + id
	return domain.ToStatus(&told).Err()
}

func internal(message string, err error) *domain.Error {
	return &domain.Error{
		Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL, Message: message, Err: err,
	}
}

func shuttingDown() *domain.Error {
	return &domain.Error{
		Code:    codes.Unavailable,
		Reason:  davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN,
		Message: "the daemon is shutting down",
	}
}

// mortalStream is a stream whose context ends with the server's.
type mortalStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream has one
}

func (s *mortalStream) Context() context.Context { return s.ctx }
