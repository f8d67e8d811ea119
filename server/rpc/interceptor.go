package rpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/davitd/davit/domain"
)

// Interceptors make statuses of the errors that the services return. They belong outside of all others whose errors are
// davit's.
func Interceptors() (grpc.UnaryServerInterceptor, grpc.StreamServerInterceptor) {
	return unaryErrors, streamErrors
}

func unaryErrors(ctx context.Context, q any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	answer, err := next(ctx, q)
	if err != nil {
		return nil, domain.ToStatus(err).Err()
	}
	return answer, nil
}

func streamErrors(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return domain.ToStatus(next(server, stream)).Err()
}
