package admin

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Options are what the service works with. All are required.
type Options struct {
	// Version of the daemon, and Instance, the id that marks what it makes.
	Version, Instance string
	// Level is what the daemon logs.
	Level zap.AtomicLevel
	// Logger of the daemon.
	Logger *zap.Logger
	// Clients are its connections.
	Clients *Clients
	// Gate is what its calls go through.
	Gate *Gate
	// Census counts domains, those that are active, and what is being done to them.
	Census func() (domains, active, jobs int)
	// Metrics are what was measured since the daemon was started.
	Metrics func() []*davitv1.Histogram
}

// Service is AdminService.
type Service struct {
	davitv1.UnsafeAdminServiceServer
	options Options
	log     *zap.Logger
	started time.Time
}

// Register adds the service to a server, which only root may reach.
func Register(r grpc.ServiceRegistrar, o Options) {
	davitv1.RegisterAdminServiceServer(r, New(o))
}

// New makes the service.
func New(o Options) *Service {
	return &Service{options: o, log: o.Logger.Named("admin"), started: time.Now()}
}

// GetDaemon tells about the daemon.
func (s *Service) GetDaemon(_ context.Context, q *davitv1.GetDaemonRequest) (*davitv1.GetDaemonResponse, error) {
	memory, err := resident()
	if err != nil {
		return nil, err
	}
	clients, calls := s.options.Clients.Count()
	domains, active, _ := s.options.Census()
	return &davitv1.GetDaemonResponse{
		Version: s.options.Version, Pid: uint32(os.Getpid()), Started: timestamppb.New(s.started),
		LogLevel: levelOf(s.options.Level.Level()), Draining: s.options.Gate.Draining(),
		Clients: uint32(clients), Calls: uint32(calls), Domains: uint32(domains), ActiveDomains: uint32(active),
		MemoryBytes: memory, Instance: s.options.Instance,
	}, nil
}

// GetMetrics tells what was measured.
func (s *Service) GetMetrics(context.Context, *davitv1.GetMetricsRequest) (*davitv1.GetMetricsResponse, error) {
	return &davitv1.GetMetricsResponse{Histograms: s.options.Metrics()}, nil
}

// resident is the memory that the process has.
func resident() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("measure memory: %w", err)
	}
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return 0, fmt.Errorf("measure memory: /proc/self/statm is %q", text)
	}
	pages, err := strconv.ParseUint(words[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("measure memory: %w", err)
	}
	return pages * uint64(os.Getpagesize()), nil
}

// levels are zap's, in the order of ours.
var levels = map[davitv1.LogLevel]zapcore.Level{
	davitv1.LogLevel_LOG_LEVEL_DEBUG: zapcore.DebugLevel,
	davitv1.LogLevel_LOG_LEVEL_INFO:  zapcore.InfoLevel,
	davitv1.LogLevel_LOG_LEVEL_WARN:  zapcore.WarnLevel,
	davitv1.LogLevel_LOG_LEVEL_ERROR: zapcore.ErrorLevel,
}

func levelOf(level zapcore.Level) davitv1.LogLevel {
	for ours, zaps := range levels {
		if zaps == level {
			return ours
		}
	}
	return davitv1.LogLevel_LOG_LEVEL_ERROR // zap has graver ones, which davit does not use
}

// SetLogLevel changes what the daemon logs.
func (s *Service) SetLogLevel(_ context.Context, q *davitv1.SetLogLevelRequest) (*davitv1.SetLogLevelResponse, error) {
	if err := domain.RefuseUnknown(q); err != nil {
		return nil, err
	}
	level, ok := levels[q.GetLevel()]
	if !ok {
		return nil, invalid("level", "it is none of debug, info, warn and error")
	}
	before := s.options.Level.Level()
	s.options.Level.SetLevel(level)
	s.log.Info("log level is set", zap.Stringer("level", level), zap.Stringer("previous", before))
	return &davitv1.SetLogLevelResponse{Previous: levelOf(before)}, nil
}

// ListClients lists the connections.
func (s *Service) ListClients(context.Context, *davitv1.ListClientsRequest) (*davitv1.ListClientsResponse, error) {
	return &davitv1.ListClientsResponse{Clients: s.options.Clients.List()}, nil
}

// DisconnectClient ends a connection.
func (s *Service) DisconnectClient(_ context.Context, q *davitv1.DisconnectClientRequest) (*davitv1.DisconnectClientResponse, error) {
	if err := domain.RefuseUnknown(q); err != nil {
		return nil, err
	}
	if !s.options.Clients.Disconnect(q.GetId()) {
		return nil, &domain.Error{
			Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND,
			Op: "disconnect client", Message: fmt.Sprintf("there is no connection %d", q.GetId()),
			Detail: map[string]string{"id": strconv.FormatUint(q.GetId(), 10)},
		}
	}
	s.log.Info("connection is ended", zap.Uint64("id", q.GetId()))
	return &davitv1.DisconnectClientResponse{}, nil
}

// invalid refuses a request for one field of it.
func invalid(field, format string, args ...any) error {
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Message:    "request is invalid",
		Violations: []domain.Violation{{Field: field, Message: fmt.Sprintf(format, args...)}},
	}
}
