package rpc

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

// domainService answers for domains.
type domainService struct {
	davitv1.UnsafeDomainServiceServer
	altering
	operates func(context.Context) bool
}

// seeing tells the engine how much the caller of a method may be shown of definitions. A method that forgets it shows no
// secrets.
func (s *domainService) seeing(ctx context.Context) context.Context {
	if s.operates == nil || s.operates(ctx) {
		return engine.WithOperator(ctx)
	}
	return ctx
}

// altering is what services have that change something.
type altering struct {
	engine *engine.Engine
	caller func(context.Context) string
}

// alter has a request that changes something done by the engine: known as a whole, and its caller named.
func alter[Q, R proto.Message](ctx context.Context, s altering, q Q, do func(context.Context, Q) (R, error)) (R, error) {
	var none R
	if err := domain.RefuseUnknown(q); err != nil {
		return none, err
	}
	if s.caller != nil {
		ctx = engine.WithCaller(ctx, s.caller(ctx))
	}
	return do(ctx, q)
}

func (s *domainService) DefineDomain(ctx context.Context, q *davitv1.DefineDomainRequest) (*davitv1.DefineDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.DefineDomain)
}

func (s *domainService) UndefineDomain(ctx context.Context, q *davitv1.UndefineDomainRequest) (*davitv1.UndefineDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.UndefineDomain)
}

func (s *domainService) CreateDomain(ctx context.Context, q *davitv1.CreateDomainRequest) (*davitv1.CreateDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.CreateDomain)
}

func (s *domainService) StartDomain(ctx context.Context, q *davitv1.StartDomainRequest) (*davitv1.StartDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.StartDomain)
}

func (s *domainService) ShutdownDomain(ctx context.Context, q *davitv1.ShutdownDomainRequest) (*davitv1.ShutdownDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.ShutdownDomain)
}

func (s *domainService) RebootDomain(ctx context.Context, q *davitv1.RebootDomainRequest) (*davitv1.RebootDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.RebootDomain)
}

func (s *domainService) DestroyDomain(ctx context.Context, q *davitv1.DestroyDomainRequest) (*davitv1.DestroyDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.DestroyDomain)
}

func (s *domainService) SuspendDomain(ctx context.Context, q *davitv1.SuspendDomainRequest) (*davitv1.SuspendDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.SuspendDomain)
}

func (s *domainService) ResumeDomain(ctx context.Context, q *davitv1.ResumeDomainRequest) (*davitv1.ResumeDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.ResumeDomain)
}

func (s *domainService) UpdateDomain(ctx context.Context, q *davitv1.UpdateDomainRequest) (*davitv1.UpdateDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.UpdateDomain)
}

func (s *domainService) SignalProcess(ctx context.Context, q *davitv1.SignalProcessRequest) (*davitv1.SignalProcessResponse, error) {
	return alter(ctx, s.altering, q, s.engine.SignalProcess)
}

func (s *domainService) RenameDomain(ctx context.Context, q *davitv1.RenameDomainRequest) (*davitv1.RenameDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.RenameDomain)
}

func (s *domainService) ResetDomain(ctx context.Context, q *davitv1.ResetDomainRequest) (*davitv1.ResetDomainResponse, error) {
	return alter(ctx, s.altering, q, s.engine.ResetDomain)
}

func (s *domainService) GetDomain(ctx context.Context, q *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error) {
	return s.engine.GetDomain(s.seeing(ctx), q)
}

func (s *domainService) ListDomains(ctx context.Context, q *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error) {
	return s.engine.ListDomains(s.seeing(ctx), q)
}

func (s *domainService) DiffDomain(ctx context.Context, q *davitv1.DiffDomainRequest) (*davitv1.DiffDomainResponse, error) {
	return s.engine.DiffDomain(s.seeing(ctx), q)
}

func (s *domainService) GetDomainXML(ctx context.Context, q *davitv1.GetDomainXMLRequest) (*davitv1.GetDomainXMLResponse, error) {
	return s.engine.GetDomainXML(s.seeing(ctx), q)
}

func (s *domainService) WaitDomain(ctx context.Context, q *davitv1.WaitDomainRequest) (*davitv1.WaitDomainResponse, error) {
	return s.engine.WaitDomain(s.seeing(ctx), q)
}

func (s *domainService) GetDomainStats(ctx context.Context, q *davitv1.GetDomainStatsRequest) (*davitv1.GetDomainStatsResponse, error) {
	return s.engine.GetDomainStats(ctx, q)
}

func (s *domainService) ListProcesses(ctx context.Context, q *davitv1.ListProcessesRequest) (*davitv1.ListProcessesResponse, error) {
	return s.engine.ListProcesses(ctx, q)
}

func (s *domainService) GetDomainJob(ctx context.Context, q *davitv1.GetDomainJobRequest) (*davitv1.GetDomainJobResponse, error) {
	return s.engine.GetDomainJob(ctx, q)
}

func (s *domainService) ListFilesystems(ctx context.Context, q *davitv1.ListFilesystemsRequest) (*davitv1.ListFilesystemsResponse, error) {
	return s.engine.ListFilesystems(ctx, q)
}

func (s *domainService) ListDomainStats(ctx context.Context, q *davitv1.ListDomainStatsRequest) (*davitv1.ListDomainStatsResponse, error) {
	return s.engine.ListDomainStats(s.seeing(ctx), q)
}
