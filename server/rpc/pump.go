package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// ChunkSize is the most bytes that one message of a console or command carries, either way.
const ChunkSize = 32 << 10

// pump runs both directions of a stream until its output ends or the caller is gone. output sends what the session gives
// until that ends. input deals with one message of the caller; io.EOF means that the caller has no more. A fault of the
// caller, or of davit's own, ends the stream; input that nobody reads any more is dropped, because what the output has to say is not over.
//
// The goroutine of the input ends with the call, whose end cancels what it waits for.
func pump(ctx context.Context, session *engine.Session, input, output func() error) error {
	fault := make(chan error, 1)
	go func() {
		for {
			err := survive(input)
			var refused *domain.Error
			switch {
			case err == nil, errors.Is(err, io.ErrClosedPipe):
			case errors.As(err, &refused):
				fault <- err
				_ = session.Close() // ends the output
				return
			default:
				return // the caller has no more to say, or is gone
			}
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	err := output()
	select {
	case wrong := <-fault:
		return wrong
	default:
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// survive makes an error of a panic in a goroutine that no interceptor stands around.
func survive(do func() error) (err error) {
	defer func() {
		if died := recover(); died != nil {
			err = &domain.Error{
				Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL,
				Message: "the service died", Err: fmt.Errorf("panic: %v\n%s", died, debug.Stack()),
			}
		}
	}()
	return do()
}

// chunks cuts data into messages.
func chunks(data []byte, send func(p []byte, at int) error) error {
	for at := 0; at < len(data); at += ChunkSize {
		if err := send(data[at:min(len(data), at+ChunkSize)], at); err != nil {
			return err
		}
	}
	return nil
}

// small refuses input that is larger than a chunk.
func small(field string, data []byte) error {
	if len(data) > ChunkSize {
		return refuse(field, fmt.Sprintf("%d bytes, the limit is %d", len(data), ChunkSize))
	}
	return nil
}
