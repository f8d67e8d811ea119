package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// AdoptionService is the name under which health checks are told whether all domains are found again that ran before the daemon
// started. The daemon answers before that.
const AdoptionService = "davit.adoption"

// Serve answers calls until ctx ends, and meanwhile finds the domains again, then starts those with autostart. At the end it lets the
// calls that are under way finish, for [StopLimit], and closes everything. Domains run on.
func (s *Server) Serve(ctx context.Context) error {
	begun := time.Now()
	err := s.engine.Load()
	if err == nil {
		err = s.answer(ctx, begun)
	}
	return errors.Join(err, s.Close()) //nolint:contextcheck // ctx has ended
}

// answer answers until ctx ends or a listener fails.
func (s *Server) answer(ctx context.Context, begun time.Time) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, d := range s.doors {
		for _, socket := range d.sockets {
			group.Go(func() error {
				if err := d.server.Serve(socket); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
					return fmt.Errorf("answer calls: %w", err)
				}
				return nil
			})
		}
	}
	s.health.SetServingStatus(AdoptionService, healthv1.HealthCheckResponse_NOT_SERVING)
	s.setHealth(healthv1.HealthCheckResponse_SERVING)
	s.log.Info("davitd answers", zap.String("version", s.options.Version), zap.String("instance", s.store.Instance()),
		zap.String("lib", s.options.Config.Paths.Lib), zap.String("run", s.options.Config.Paths.Run),
		zap.Duration("loaded_in", time.Since(begun)))
	if s.options.Ready != nil {
		s.options.Ready()
	}
	group.Go(func() error {
		defer s.lull.disturb()
		if err := s.engine.Adopt(ctx); err != nil {
			if ctx.Err() == nil {
				s.log.Error("find domains again", zap.Error(err))
			}
			return nil
		}
		s.health.SetServingStatus(AdoptionService, healthv1.HealthCheckResponse_SERVING)
		if err := s.engine.Autostart(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("start domains with autostart", zap.Error(err))
		}
		return nil
	})
	group.Go(func() error {
		if err := s.logs.Run(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("keep logs of domains", zap.Error(err))
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		s.stop(context.WithoutCancel(ctx))
		return nil
	})
	return group.Wait()
}

// setHealth tells health checks about the daemon as a whole and each service.
func (s *Server) setHealth(status healthv1.HealthCheckResponse_ServingStatus) {
	s.health.SetServingStatus("", status)
	for _, d := range s.doors {
		for service := range d.server.GetServiceInfo() {
			s.health.SetServingStatus(service, status)
		}
	}
}

// stop takes no more calls and ends those that are under way: watchers, consoles and commands at once, others when they
// are done or the time is up.
func (s *Server) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, StopLimit)
	defer cancel()
	s.health.Shutdown()
	var graceful sync.WaitGroup
	for _, d := range s.doors {
		graceful.Go(d.server.GracefulStop)
	}
	if err := s.engine.Close(ctx); err != nil {
		s.log.Warn("jobs were given up", zap.Error(err))
	}
	s.end()
	hard := time.AfterFunc(StopLimit/2, s.cutOff)
	defer hard.Stop()
	graceful.Wait()
}

// cutOff ends all calls at once.
func (s *Server) cutOff() {
	for _, d := range s.doors {
		d.server.Stop()
	}
}

// Close closes what is open. It may be called more than once.
func (s *Server) Close() error {
	var errs []error
	if s.end != nil {
		s.end()
	}
	s.lull.close()
	s.cutOff()
	if s.engine != nil {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.engine.Close(now) // says only that there was no time
	}
	for _, d := range s.doors {
		for _, socket := range d.sockets {
			_ = socket.Close() // the gRPC server may have closed it
		}
	}
	s.doors = nil
	if s.recorder != nil {
		s.recorder.Close()
	}
	if s.audit != nil { // no call is left that it could record
		errs = append(errs, s.audit.Close(), s.kernel.Close()) // the kernel may be slow
		s.audit, s.kernel = nil, nil
	}
	if s.logs != nil {
		errs = append(errs, s.logs.Close())
		s.logs = nil
	}
	if s.driver != nil {
		errs = append(errs, s.driver.Close())
		s.driver = nil
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	if s.run != nil {
		errs = append(errs, s.run.close())
		s.run = nil
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
		s.store = nil
	}
	return errors.Join(errs...)
}
