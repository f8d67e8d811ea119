package server

import (
	"context"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/admin"
	"github.com/davitd/davit/server/audit"
	"github.com/davitd/davit/server/host"
)

// adminService adds the one that steers the daemon, and the one that tells what all callers did.
func (s *Server) adminService(r grpc.ServiceRegistrar) {
	level := s.options.Level
	if level == (zap.AtomicLevel{}) {
		level = zap.NewAtomicLevel()
	}
	audit.Register(r, s.audit)
	admin.Register(r, admin.Options{
		Version: s.options.Version, Instance: s.store.Instance(), Level: level, Logger: s.log,
		Clients: &s.clients, Gate: s.gate,
		Census: func() (domains, active, jobs int) {
			c := s.engine.Census()
			return c.Domains, c.Active, c.Jobs
		},
		Metrics: s.starts.Histograms,
	})
}

// diagnose looks for what the host lacks: first what the driver needs, then what the daemon does, and at the daemon itself.
func (s *Server) diagnose(ctx context.Context, public bool) ([]*davitv1.Finding, error) {
	findings, err := s.engine.Diagnose(ctx)
	if err != nil {
		return nil, err
	}
	paths := s.options.Config.Paths
	findings = append(findings, host.At("/").Diagnose(host.Places{Lib: paths.Lib, Run: paths.Run, Log: paths.Log})...)
	return append(findings, s.staleness(public)...), nil
}
