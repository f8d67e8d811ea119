package engine

import (
	"context"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// GetDomainStats measures an active domain.
func (e *Engine) GetDomainStats(ctx context.Context, q *davitv1.GetDomainStatsRequest) (*davitv1.GetDomainStatsResponse, error) {
	instance, _, err := e.reach(ctx, q.GetDomain(), "measure")
	if err != nil {
		return nil, err
	}
	stats, err := instance.Stats(ctx)
	if err != nil {
		return nil, err
	}
	return &davitv1.GetDomainStatsResponse{Stats: stats}, nil
}

// ListProcesses lists the processes of an active domain.
func (e *Engine) ListProcesses(ctx context.Context, q *davitv1.ListProcessesRequest) (*davitv1.ListProcessesResponse, error) {
	instance, _, err := e.reach(ctx, q.GetDomain(), "list processes of")
	if err != nil {
		return nil, err
	}
	processes, err := instance.Processes(ctx)
	if err != nil {
		return nil, err
	}
	return &davitv1.ListProcessesResponse{Processes: processes}, nil
}

// ListFilesystems lists what is mounted in an active domain.
func (e *Engine) ListFilesystems(ctx context.Context, q *davitv1.ListFilesystemsRequest) (*davitv1.ListFilesystemsResponse, error) {
	instance, _, err := e.reach(ctx, q.GetDomain(), "list filesystems of")
	if err != nil {
		return nil, err
	}
	lister, ok := instance.(driver.FilesystemLister)
	if !ok {
		return nil, unsupported("list filesystems")
	}
	list, err := lister.Filesystems(ctx)
	if err != nil {
		return nil, err
	}
	return &davitv1.ListFilesystemsResponse{Filesystems: list}, nil
}

// SignalProcess sends a signal to a process of an active domain.
func (e *Engine) SignalProcess(ctx context.Context, q *davitv1.SignalProcessRequest) (*davitv1.SignalProcessResponse, error) {
	if q.GetGuestPid() == 0 {
		return nil, invalid("guest_pid", "name a process by its id in the domain; 1 is init")
	}
	signal, err := domain.ParseSignal(q.GetSignal())
	if err != nil {
		return nil, invalid("signal", "%v", err)
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.SignalProcessResponse, error) {
		return act(ctx, e, q.GetDomain(), "signal process", func(ctx context.Context, a *actor) (*davitv1.SignalProcessResponse, error) {
			instance, err := a.current.Load().instance("signal process of")
			if err != nil {
				return nil, err
			}
			if err := instance.Signal(ctx, q.GetGuestPid(), signal); err != nil {
				return nil, err
			}
			return &davitv1.SignalProcessResponse{}, nil
		})
	})
}

// instance gives that of the run, or says that there is none.
func (s *snapshot) instance(verb string) (driver.Instance, error) {
	switch {
	case s.run == nil:
		return nil, wrongState(s, verb, "domain is not running")
	case s.starting() || s.run.instance == nil:
		return nil, wrongState(s, verb, "domain is being started")
	}
	return s.run.instance, nil
}
