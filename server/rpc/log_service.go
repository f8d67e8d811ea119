package rpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/logs"
)

// Logs are the logs of domains; those of package logs.
type Logs interface {
	// ReadLog sends lines.
	ReadLog(ctx context.Context, q *davitv1.ReadLogRequest, send logs.Send) error
	// ListLogs lists the domains that have a log.
	ListLogs(ctx context.Context) ([]*davitv1.Log, error)
	// RemoveLog removes a log.
	RemoveLog(ctx context.Context, ref string) error
}

// logService reads the logs of domains.
type logService struct {
	davitv1.UnsafeLogServiceServer
	logs Logs
}

func (s *logService) ReadLog(q *davitv1.ReadLogRequest, stream grpc.ServerStreamingServer[davitv1.ReadLogResponse]) error {
	if err := domain.RefuseUnknown(q); err != nil {
		return err
	}
	return s.logs.ReadLog(stream.Context(), q, func(lines []*davitv1.LogLine) error {
		return stream.Send(&davitv1.ReadLogResponse{Lines: lines})
	})
}

func (s *logService) ListLogs(ctx context.Context, q *davitv1.ListLogsRequest) (*davitv1.ListLogsResponse, error) {
	if err := domain.RefuseUnknown(q); err != nil {
		return nil, err
	}
	list, err := s.logs.ListLogs(ctx)
	if err != nil {
		return nil, err
	}
	return &davitv1.ListLogsResponse{Logs: list}, nil
}

func (s *logService) RemoveLog(ctx context.Context, q *davitv1.RemoveLogRequest) (*davitv1.RemoveLogResponse, error) {
	if err := domain.RefuseUnknown(q); err != nil {
		return nil, err
	}
	if err := s.logs.RemoveLog(ctx, q.GetDomain()); err != nil {
		return nil, err
	}
	return &davitv1.RemoveLogResponse{}, nil
}
