package rpc

import (
	"context"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
	"github.com/davitd/davit/server/host"
)

// hostService tells about the host.
type hostService struct {
	davitv1.UnsafeHostServiceServer
	engine  *engine.Engine
	options Options
}

// apiVersion is the package that the services speak.
const apiVersion = "davit.v1"

func (s *hostService) GetVersion(ctx context.Context, _ *davitv1.GetVersionRequest) (*davitv1.GetVersionResponse, error) {
	able, err := s.engine.Capabilities(ctx)
	if err != nil {
		return nil, err
	}
	kernel, err := host.Kernel()
	if err != nil {
		return nil, err
	}
	return &davitv1.GetVersionResponse{
		Version: s.options.Version, Api: apiVersion, Driver: able.Name, Kernel: kernel,
		Features: able.Features, Instance: able.Instance,
	}, nil
}

func (s *hostService) GetHost(ctx context.Context, _ *davitv1.GetHostRequest) (*davitv1.GetHostResponse, error) {
	able, err := s.engine.Capabilities(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := s.options.Host.Describe()
	if err != nil {
		return nil, err
	}
	answer.Cgroup, answer.Controllers = able.Cgroup, able.Controllers
	return answer, nil
}

func (s *hostService) GetCapabilities(context.Context, *davitv1.GetCapabilitiesRequest) (*davitv1.GetCapabilitiesResponse, error) {
	xml, err := s.options.Host.Capabilities()
	if err != nil {
		return nil, err
	}
	return &davitv1.GetCapabilitiesResponse{Xml: xml}, nil
}

func (s *hostService) GetSysinfo(context.Context, *davitv1.GetSysinfoRequest) (*davitv1.GetSysinfoResponse, error) {
	xml, err := s.options.Host.Sysinfo(!s.options.Public)
	if err != nil {
		return nil, err
	}
	return &davitv1.GetSysinfoResponse{Xml: xml}, nil
}

func (s *hostService) GetHostStats(context.Context, *davitv1.GetHostStatsRequest) (*davitv1.GetHostStatsResponse, error) {
	return s.options.Host.Stats()
}

func (s *hostService) UpdateHost(_ context.Context, q *davitv1.UpdateHostRequest) (*davitv1.UpdateHostResponse, error) {
	if err := domain.RefuseUnknown(q); err != nil {
		return nil, err
	}
	return s.options.Host.Update(q)
}

func (s *hostService) DiagnoseHost(ctx context.Context, _ *davitv1.DiagnoseHostRequest) (*davitv1.DiagnoseHostResponse, error) {
	if s.options.Diagnose == nil {
		return &davitv1.DiagnoseHostResponse{}, nil
	}
	findings, err := s.options.Diagnose(ctx)
	if err != nil {
		return nil, err
	}
	return &davitv1.DiagnoseHostResponse{Findings: findings}, nil
}

func (s *hostService) ConvertDefinition(ctx context.Context, q *davitv1.ConvertDefinitionRequest) (*davitv1.ConvertDefinitionResponse, error) {
	return s.engine.ConvertDefinition(ctx, q)
}
