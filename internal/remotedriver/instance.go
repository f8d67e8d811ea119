package remotedriver

import (
	"context"
	"errors"
	"strconv"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// instance is a domain of the daemon.
type instance struct {
	d    *Driver
	spec driver.Spec
}

var (
	_ driver.Instance         = (*instance)(nil)
	_ driver.FilesystemLister = (*instance)(nil)
	_ driver.DeviceReporter   = (*instance)(nil)
	_ driver.Completer        = (*instance)(nil)
)

func (i *instance) Ref() driver.Ref            { return i.spec.Ref }
func (i *instance) domain() *davitv1.DomainRef { return ref(i.spec.UUID) }

func (i *instance) Status(ctx context.Context) (driver.Status, error) {
	info, err := i.d.info(ctx, i.spec.UUID)
	if err != nil {
		return driver.Status{}, err
	}
	return driver.Status{
		Running: info.GetId() != 0, Paused: info.GetState() == davitv1.DomainState_DOMAIN_STATE_PAUSED,
		InitPID: info.GetInitPid(), Restarts: info.GetReboots(),
	}, nil
}

func (i *instance) Acknowledge(_ context.Context, sequence uint64) error {
	m := i.d.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.acked == nil {
		m.acked = map[driver.Ref]uint64{}
	}
	m.acked[i.spec.Ref] = max(m.acked[i.spec.Ref], sequence)
	return nil
}

func (i *instance) Shutdown(ctx context.Context, mode davitv1.ShutdownMode, reboot bool) error {
	var err error
	if reboot {
		_, err = i.d.domains.RebootDomain(ctx, &davitv1.RebootDomainRequest{Domain: i.domain(), Mode: mode})
	} else {
		_, err = i.d.domains.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: i.domain(), Mode: mode})
	}
	return domain.FromStatus(err)
}

// Signal signals. The API has no signal 0, which only asks whether a process is there; SIGCONT does as little.
func (i *instance) Signal(ctx context.Context, guestPID uint32, signal int) error {
	if signal == 0 {
		signal = int(syscall.SIGCONT)
	}
	_, err := i.d.domains.SignalProcess(ctx, &davitv1.SignalProcessRequest{
		Domain: i.domain(), GuestPid: guestPID, Signal: strconv.Itoa(signal),
	})
	return domain.FromStatus(err)
}

func (i *instance) Suspend(ctx context.Context) error {
	_, err := i.d.domains.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: i.domain()})
	return domain.FromStatus(err)
}

func (i *instance) Resume(ctx context.Context) error {
	_, err := i.d.domains.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: i.domain()})
	return domain.FromStatus(err)
}

// Update changes what a running domain can be changed of: first its devices, one at a time, then its limits.
func (i *instance) Update(ctx context.Context, def *davitv1.Domain) error {
	if err := i.plug(ctx, def); err != nil {
		return err
	}
	mask := &fieldmaskpb.FieldMask{}
	for _, t := range domain.Tunables() {
		if t.Live() {
			mask.Paths = append(mask.Paths, string(t))
		}
	}
	_, err := i.d.domains.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
		Domain: i.domain(), UpdateMask: mask, Definition: def, Affect: davitv1.Affect_AFFECT_LIVE,
	})
	return domain.FromStatus(err)
}

// Filesystems lists what is mounted.
func (i *instance) Filesystems(ctx context.Context) ([]*davitv1.MountedFilesystem, error) {
	r, err := i.d.domains.ListFilesystems(ctx, &davitv1.ListFilesystemsRequest{Domain: i.domain()})
	return r.GetFilesystems(), domain.FromStatus(err)
}

func (i *instance) Stats(ctx context.Context) (*davitv1.DomainStats, error) {
	r, err := i.d.domains.GetDomainStats(ctx, &davitv1.GetDomainStatsRequest{Domain: i.domain()})
	return r.GetStats(), domain.FromStatus(err)
}

func (i *instance) Processes(ctx context.Context) ([]*davitv1.Process, error) {
	r, err := i.d.domains.ListProcesses(ctx, &davitv1.ListProcessesRequest{Domain: i.domain()})
	return r.GetProcesses(), domain.FromStatus(err)
}

// Kill destroys. That nothing runs any more is what was wanted.
func (i *instance) Kill(ctx context.Context) error {
	_, err := i.d.domains.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: i.domain()})
	if err = domain.FromStatus(err); errors.Is(err, domain.ErrFailedPrecondition) {
		return nil
	}
	return err
}

// Release undefines what has stopped.
func (i *instance) Release(ctx context.Context) error {
	info, err := i.d.info(ctx, i.spec.UUID)
	if errors.Is(err, domain.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.GetId() != 0 {
		return &domain.Error{Code: codes.FailedPrecondition, Message: "it runs"}
	}
	_, err = i.d.domains.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: i.domain()})
	return domain.FromStatus(err)
}
