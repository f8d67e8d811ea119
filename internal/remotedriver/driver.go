// Package remotedriver is a driver that is a client of a daemon: what is asked of it, it asks over gRPC. It exists so
// that the suite of package drivertest, which holds drivers to their contract, also holds what stands above them: engine,
// journal and services must give on what the driver promises.
//
// An instance is a defined domain. The generation of its run is kept in the metadata of the definition, so that another
// value, on a daemon that was started again, finds it; releasing it is undefining the domain. Events of the driver are
// made of the journal's. What gets lost on the way, because the API does not tell it, is named by [Omitted].
package remotedriver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Omitted are the tests of the suite that such a driver cannot pass, with the reason.
func Omitted() map[string]string {
	return map[string]string{
		"PolicyOfReboot":  "the API tells a reboot after which the domain stays off as a shutdown",
		"ConsoleReadOnly": "the fault of a message ends the stream, and not the call that sent it",
		"ExecNameTaken":   "the daemon makes the names of commands up",
	}
}

// Memory is what such drivers keep that the daemon does not: share it between those of one test.
type Memory struct {
	mu       sync.Mutex
	acked    map[driver.Ref]uint64
	inits    map[driver.Ref]uint32 // the first of each run: who is asked late tells the next one
	commands map[string]string     // the suite's names of commands, and the daemon's
}

// began notes the first init of a run.
func (m *Memory) began(run driver.Ref, init uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inits == nil {
		m.inits = map[driver.Ref]uint32{}
	}
	m.inits[run] = init
}

// Driver asks a daemon.
type Driver struct {
	domains  davitv1.DomainServiceClient
	devices  davitv1.DeviceServiceClient
	events   davitv1.EventServiceClient
	consoles davitv1.ConsoleServiceClient
	hosts    davitv1.HostServiceClient
	memory   *Memory
	close    func() error

	mu      sync.Mutex
	let     time.Time // when a console or command was let go
	readers map[driver.Ref]context.CancelFunc
}

var (
	_ driver.Driver  = (*Driver)(nil)
	_ driver.Planner = (*Driver)(nil)
)

// New makes a driver that asks over conn. closed is called by Close, and stops the daemon.
func New(conn grpc.ClientConnInterface, memory *Memory, closed func() error) *Driver {
	return &Driver{
		domains: davitv1.NewDomainServiceClient(conn), devices: davitv1.NewDeviceServiceClient(conn), events: davitv1.NewEventServiceClient(conn),
		consoles: davitv1.NewConsoleServiceClient(conn), hosts: davitv1.NewHostServiceClient(conn),
		memory: memory, close: closed, readers: map[driver.Ref]context.CancelFunc{},
	}
}

// Close stops the daemon.
func (d *Driver) Close() error { return d.close() }

// Capabilities are the host's.
func (d *Driver) Capabilities(ctx context.Context) (driver.Capabilities, error) {
	version, err := d.hosts.GetVersion(ctx, &davitv1.GetVersionRequest{})
	if err != nil {
		return driver.Capabilities{}, domain.FromStatus(err)
	}
	host, err := d.hosts.GetHost(ctx, &davitv1.GetHostRequest{})
	if err != nil {
		return driver.Capabilities{}, domain.FromStatus(err)
	}
	return driver.Capabilities{
		Name: version.GetDriver(), Features: version.GetFeatures(), Instance: version.GetInstance(),
		Cgroup: host.GetCgroup(), Controllers: host.GetControllers(),
	}, nil
}

// Check asks whether it could be defined.
func (d *Driver) Check(ctx context.Context, def *davitv1.Domain) ([]*davitv1.Warning, error) {
	r, err := d.domains.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: source(def), ValidateOnly: true})
	return r.GetWarnings(), domain.FromStatus(err)
}

// Plan defines it for as long as the answer takes.
func (d *Driver) Plan(ctx context.Context, def *davitv1.Domain, verbose bool) (string, error) {
	if _, err := d.domains.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: source(def)}); err != nil {
		return "", domain.FromStatus(err)
	}
	r, err := d.domains.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: ref(def.GetUuid()), DryRun: true, Verbose: verbose})
	_, gone := d.domains.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: ref(def.GetUuid())})
	return r.GetPlan(), errors.Join(domain.FromStatus(err), domain.FromStatus(gone))
}

// Start defines and starts. A domain that is there already is only started, which is refused if it runs.
func (d *Driver) Start(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	define := &davitv1.DefineDomainRequest{Source: source(marked(spec)), RequestId: domain.NewUUID()}
	start := &davitv1.StartDomainRequest{Domain: ref(spec.UUID), Paused: spec.Paused, RequestId: domain.NewUUID()}
	if _, err := d.info(ctx, spec.UUID); err == nil {
		if _, err = d.domains.StartDomain(ctx, start); err == nil {
			err = fmt.Errorf("start domain %s: it was there, and did not run", spec.UUID)
		}
		return nil, domain.FromStatus(err)
	}
	_, err := d.domains.DefineDomain(ctx, define)
	if err == nil {
		var started *davitv1.StartDomainResponse
		started, err = d.domains.StartDomain(ctx, start)
		d.memory.began(spec.Ref, started.GetDomain().GetInitPid())
	}
	if err == nil {
		return &instance{d: d, spec: spec}, nil
	}
	after := context.WithoutCancel(ctx)
	if told := domain.FromStatus(err); ctx.Err() != nil || errors.Is(told, context.DeadlineExceeded) || errors.Is(told, context.Canceled) {
		// The daemon's clock may have been the first to ring. It may be at it still: the same requests again wait for the same ends.
		if _, again := d.domains.DefineDomain(after, define); again == nil {
			_, _ = d.domains.StartDomain(after, start)
		}
	}
	return nil, errors.Join(domain.FromStatus(err), d.discard(after, spec.UUID))
}

// discard leaves nothing of a domain, whatever goes on with it.
func (d *Driver) discard(ctx context.Context, uuid string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := d.domains.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: ref(uuid)})
	if err = domain.FromStatus(err); err != nil && !errors.Is(err, domain.ErrNotFound) && !errors.Is(err, domain.ErrFailedPrecondition) {
		return err
	}
	_, err = d.domains.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: ref(uuid)})
	if err = domain.FromStatus(err); err != nil && !errors.Is(err, domain.ErrNotFound) {
		return err
	}
	return nil
}

// Recover finds the domain, if its run is the one.
func (d *Driver) Recover(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	info, err := d.info(ctx, spec.UUID)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(info.GetDefinition().GetMetadata(), spec.Generation) {
		return nil, &domain.Error{Code: codes.NotFound, Message: "its run is another"}
	}
	return &instance{d: d, spec: spec}, nil
}

// Sweep removes all domains but some.
func (d *Driver) Sweep(ctx context.Context, keep []driver.Ref) error {
	list, err := d.domains.ListDomains(ctx, &davitv1.ListDomainsRequest{PageSize: 1000})
	if err != nil {
		return domain.FromStatus(err)
	}
	var errs []error
	for _, info := range list.GetDomains() {
		if !slices.ContainsFunc(keep, func(r driver.Ref) bool { return r.UUID == info.GetUuid() }) {
			errs = append(errs, d.discard(ctx, info.GetUuid()))
		}
	}
	return errors.Join(errs...)
}

// Forget has nothing to do: undefining with remove_storage does it.
func (d *Driver) Forget(context.Context, string) error { return nil }

// info is what the daemon tells of a domain.
func (d *Driver) info(ctx context.Context, uuid string) (*davitv1.DomainInfo, error) {
	r, err := d.domains.GetDomain(ctx, &davitv1.GetDomainRequest{
		Domain: ref(uuid), View: davitv1.DomainView_DOMAIN_VIEW_FULL, Inactive: true,
	})
	return r.GetDomain(), domain.FromStatus(err)
}

func ref(uuid string) *davitv1.DomainRef {
	return &davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: uuid}}
}

func source(def *davitv1.Domain) *davitv1.DefinitionSource {
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: def}}
}

// marked is the definition with the generation in its metadata.
func marked(spec driver.Spec) *davitv1.Domain {
	def := proto.CloneOf(spec.Definition)
	def.Metadata = fmt.Sprintf("<run:generation xmlns:run='urn:davit:test'>%s</run:generation>", spec.Generation)
	return def
}
