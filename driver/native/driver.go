// Package native makes containers of the host's own kernel: mounts, namespaces, cgroups.
//
// A start is a transaction. [Plan], a pure function, turns the definition and the facts of the host into what is to be
// done; then the driver writes down that it begins, takes host ids, makes the cgroup, has the keeper start a monitor, and
// gives the monitor the plan. If a step fails, what the steps before it made is undone, and the error names the operation,
// the object and the kernel's error.
//
// What the host sees of a domain is the driver's: the cgroup with its limits, the freezer, the end by force, the watch for
// the OOM killer, the host ids. What only the guest sees is the monitor's, which outlives davitd. Everything carries the
// instance and the domain's UUID in its name:
//
//	<state>/<UUID>/             record, monitor.sock, monitor.log
//	<partition>/davit-<instance>-<UUID>   cgroup
//	<ids>/ranges.json           claim of host ids
//	<logs>/<UUID>/console.log   what the consoles say; stays
//
// so that [Driver.Recover] and [Driver.Sweep] find it whenever davitd was killed.
//
// # User namespaces
//
// A domain with <idmap> has a user namespace with just those ids, and files belong to whom they belong on the host, as with libvirt.
// Any other has one with a range of ids that nobody else has, which is its own from its first start until it is undefined; its
// root and all else that it is given of the host is mapped, so that what is the host's root's is its root's. What cannot be mapped
// keeps it from being started. A privileged domain without <idmap> has no user namespace: its root is the host's.
//
// A domain without a root filesystem, or whose root is the host's "/", runs on the host's root under an overlay that is dropped,
// always in a user namespace. That root alone is not mapped: what only the host's root may read nobody reads there.
//
// # Shutdown
//
// The default mode looks at the running init: systemd is sent SIGRTMIN+3 (SIGRTMIN+5 to reboot), busybox SIGUSR2
// (SIGTERM), an init with an initctl fifo a record there, any other SIGTERM (SIGHUP). Process 1 of a container ignores a
// signal that it has no handler for; instead of reporting a success that does nothing, such a request fails with
// FAILED_PRECONDITION and says that destroy ends the domain.
package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Options say where the driver works.
type Options struct {
	// RunDir is where the keeper listens; it is lost with the host's boot.
	RunDir string
	// StateDir has a folder for each domain that was started; below RunDir.
	StateDir string
	// UpperDir has the kept changes of overlays; it outlives the host's boot.
	UpperDir string
	// LogDir has a folder for each domain, of its UUID, in which its monitor writes what its consoles say (package
	// driver/monitor/consolelog); there are no logs when empty. The driver makes folders and removes none.
	LogDir string
	// LogMaxBytes is the most that a file of a log holds, LogMaxFiles how many there are of a domain; 10 MiB and 3 when 0.
	LogMaxBytes uint64
	LogMaxFiles uint32
	// MonitorPath is the program of monitors and keeper.
	MonitorPath string
	// CgroupRoot is where cgroups are mounted; /sys/fs/cgroup when empty.
	CgroupRoot string
	// NetnsDir is where network namespaces are found by name; /run/netns, ip-netns(8)'s, when empty.
	NetnsDir string
	// Network is the network namespace that is the host's to domains; the process's own when nil.
	Network *os.File
	// Networks resolves virtual networks. Without it a domain with an interface of one is not started.
	Networks Networks `json:"-"`
	// Instance is the id of this davitd on this host.
	Instance string
	// Pool is where host ids come from.
	Pool Pool
	// HomeDir is there as long as this davitd is: host ids that are kept for its domains are given to others once it is gone. It
	// outlives the host's boot; StateDir, which does not, when empty.
	HomeDir string
	// SeccompDir has the filters of system calls that definitions name, each NAME.json; "/etc/davit/seccomp" when empty.
	SeccompDir string
	// Logger for what no caller can be told; none when nil.
	Logger *zap.Logger
}

// Driver makes containers.
type Driver struct {
	opts    Options
	log     *zap.Logger
	cgroups *cgroup.Hierarchy
	facts   Facts
	states  states
	ids     ids
	mapper  mapper
	run     *os.File
	program *os.File
	hooks   hooks

	minder    minder
	aftermath aftermath

	mu      sync.Mutex
	keeper  *client.Keeper
	network *link.Host
	lives   map[string]*instance // by UUID
}

// hooks let tests look on, and interfere. They are nil otherwise.
type hooks struct {
	step atomic.Pointer[func(name string) error] // before each step, see [Driver.OnStep]
	plan func(*monitorv1.Plan)                   // changes what the monitor is given
	dev  string                                  // where clocks are looked for
	usb  string                                  // where USB devices are looked for
	// stuck is how long what was killed may take to die, if not stuckTime.
	stuck time.Duration
	older bool // monitors are taken for those of an older davit, which know no command beside init
}

var (
	_ driver.Driver   = (*Driver)(nil)
	_ driver.Planner  = (*Driver)(nil)
	_ driver.Reserver = (*Driver)(nil)
)

// New looks at the host and opens the folders. No process is started before the first domain is.
func New(o Options) (*Driver, error) {
	if o.CgroupRoot == "" {
		o.CgroupRoot = "/sys/fs/cgroup"
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.SeccompDir == "" {
		o.SeccompDir = defaultSeccompDir
	}
	if o.HomeDir == "" {
		o.HomeDir = o.StateDir
	}
	o.Pool = o.Pool.withDefaults()
	if err := o.Pool.check(); err != nil {
		return nil, err
	}
	d := &Driver{opts: o, log: o.Logger, ids: newIDs(o.Pool, o.Instance, o.HomeDir), lives: make(map[string]*instance)}
	d.ids.log = o.Logger
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Driver) open() (err error) {
	if err = os.MkdirAll(d.opts.RunDir, 0o700); err != nil {
		return fmt.Errorf("make run folder: %w", err)
	}
	if d.run, err = openFolder(d.opts.RunDir); err != nil {
		return fmt.Errorf("open run folder: %w", err)
	}
	if d.states, err = openStates(d.opts.StateDir); err != nil {
		return err
	}
	if d.cgroups, err = cgroup.Detect(d.opts.CgroupRoot); err != nil {
		return err
	}
	if err = d.cgroups.Prepare(); err != nil {
		return err
	}
	if d.facts, err = gather(d.cgroups, d.opts); err != nil {
		return err
	}
	var sealed bool
	if d.program, sealed, err = client.SealedProgram(d.opts.MonitorPath); err != nil {
		return fmt.Errorf("read monitor: %w", err)
	}
	if !sealed {
		d.log.Warn("the host forbids programs in sealed memory; monitors run from their file", zap.String("path", d.opts.MonitorPath))
	}
	return nil
}

// Close lets go of everything. A keeper that has no monitor ends; domains run on.
func (d *Driver) Close() error {
	d.aftermath.close()
	d.minder.close()
	// A reader that is being stopped may ask for the keeper, so the lock is not held meanwhile.
	d.mu.Lock()
	lives := d.lives
	d.lives = make(map[string]*instance)
	d.mu.Unlock()
	var closing sync.WaitGroup
	for _, i := range lives {
		closing.Go(func() { i.flush(); i.letGo() })
	}
	closing.Wait()
	// One that an earlier davitd started, and that this one had no domain to ask about, ends too.
	_, _ = d.runningKeeper(context.Background())
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	errs = append(errs, d.closeKeeper(), d.mapper.close())
	if d.cgroups != nil {
		errs = append(errs, d.cgroups.Close())
	}
	if d.network != nil {
		errs = append(errs, d.network.Close())
	}
	d.ids.close()
	for _, f := range []*os.File{d.program, d.run, d.states.dir} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	d.cgroups, d.network, d.program, d.run, d.states.dir = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

// closeKeeper lets go of the keeper. It ends if there is no domain whose monitor, or whose exit, it holds.
func (d *Driver) closeKeeper() error {
	if d.keeper == nil {
		return nil
	}
	if uuids, err := d.states.list(); err == nil && len(uuids) == 0 {
		// It refuses while it has monitors, which is as it should be.
		_ = d.keeper.Quit(context.Background())
	}
	err := d.keeper.Close()
	d.keeper = nil
	return err
}

// Capabilities tells what the host lets the driver do.
func (d *Driver) Capabilities(context.Context) (driver.Capabilities, error) {
	return driver.Capabilities{
		Name: "lxc",
		Features: []string{
			"console", "dry-run", "exec", "filesystems", "hotplug-disk", "hotplug-filesystem", "hotplug-hostdev", "hotplug-interface",
			"overlay", "suspend", "userns",
		},
		Cgroup:      d.cgroups.Layout.String(),
		Controllers: d.cgroups.Controllers(),
		Instance:    d.opts.Instance,
	}, nil
}

// Check plans the start and looks whether the sources are there. A source that is not is a warning, as it may come, and so
// are a device and the owner of a namespace.
func (d *Driver) Check(ctx context.Context, def *davitv1.Domain) ([]*davitv1.Warning, error) {
	l, err := newLayout(def, d.facts)
	if err != nil {
		return nil, err
	}
	if _, err = cgroup.ParsePartition(partition(def)); err != nil {
		return nil, &domain.Error{
			Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID,
			Op: "check domain", Subject: def.GetName(),
			Violations: []domain.Violation{{XMLPath: "/domain/resource/partition", Field: "partition", Message: err.Error()}},
		}
	}
	if err = hostLacks("check domain", def.GetName(), unfit(def, d.factsOf(def))...); err != nil {
		return nil, err
	}
	faults, missing, err := d.absent(def)
	if err = errors.Join(err, hostLacks("check domain", def.GetName(), faults...)); err != nil {
		return nil, err
	}
	warnings := d.checkShares(ctx, def)
	warnings = append(warnings, missing...)
	warnings = append(warnings, d.checkLimits(def)...)
	warnings = append(warnings, d.checkIDs(def)...)
	facts := d.factsOf(def)
	if err = checkDevices(def, facts); err != nil {
		return nil, err
	}
	for _, message := range facts.FilterWarnings {
		warnings = append(warnings, &davitv1.Warning{XmlPath: filterPath, Field: "profile.seccomp", Message: message})
	}
	for _, v := range append(unconfined(def, facts), absentSources(def, facts)...) {
		warnings = append(warnings, &davitv1.Warning{
			XmlPath: v.XMLPath, Field: v.Field, Message: v.Message + "; the domain cannot be started before",
		})
	}
	for i, f := range def.GetDevices().GetFilesystem() {
		if l.writable(i) {
			warnings = append(warnings, &davitv1.Warning{
				XmlPath: fmt.Sprintf("/domain/devices/filesystem[%d]/readonly", i+1),
				Message: "the guest can write to it: its changes go to an overlay, never to the source",
			})
		}
		if kind(f) != davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT {
			continue
		}
		if _, err := os.Lstat(f.GetSourceDir()); errors.Is(err, fs.ErrNotExist) {
			warnings = append(warnings, &davitv1.Warning{
				XmlPath: fmt.Sprintf("/domain/devices/filesystem[%d]/source/@dir", i+1),
				Message: fmt.Sprintf("%q does not exist; it must when the domain is started", f.GetSourceDir()),
			})
		}
	}
	return append(warnings, exposedSources(l)...), nil
}

// Plan writes what a start would do: what davitd makes on the host, then the monitor's plan. The range of host
// ids is the one that the domain has; one that would be allocated is shown as the first there is.
func (d *Driver) Plan(_ context.Context, def *davitv1.Domain, verbose bool) (string, error) {
	facts := d.factsOf(def)
	facts.Range = d.ids.allotted(def.GetUuid())
	p, err := Plan(def, facts)
	if err != nil {
		return "", err
	}
	if err := d.checkDescriptors("plan domain", def); err != nil {
		return "", err
	}
	if verbose {
		return launch.DescribeSyscalls(p), nil
	}
	list, faults, missing := nics(def, nicSources{networks: d.opts.Networks})
	if err := hostLacks("plan domain", def.GetName(), slices.Concat(faults, missing)...); err != nil {
		return "", err
	}
	return describeHost(def, facts, d.cgroups.Has, list) + launch.Describe(p), nil
}

// Reserve has the host ids that definitions name given to no other domain that names none.
func (d *Driver) Reserve(_ context.Context, definitions []*davitv1.Domain) error {
	for _, def := range definitions {
		if err := checkUUID(def.GetUuid()); err != nil {
			return err
		}
	}
	return d.ids.reserve(definitions)
}

// Unreserve gives back the host ids of a domain. One that has not been released yet gives them back when it is.
func (d *Driver) Unreserve(_ context.Context, uuid string) error {
	if err := checkUUID(uuid); err != nil {
		return err
	}
	d.mu.Lock()
	live := d.lives[uuid]
	d.mu.Unlock()
	if live != nil && live.outlive() {
		return nil
	}
	return d.giveUpIDs(uuid)
}

// giveUpIDs has the host ids of a domain for others.
func (d *Driver) giveUpIDs(uuid string) error {
	return d.step("give up host ids", func() error { return d.ids.forget(uuid) })
}

// Forget removes the kept changes of a domain's overlays.
func (d *Driver) Forget(_ context.Context, uuid string) error {
	if err := checkUUID(uuid); err != nil {
		return err
	}
	// A guest wrote what is in it; a Root is never left through a symbolic link.
	dir, err := os.OpenRoot(d.opts.UpperDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = d.step("remove kept changes", func() error { return dir.RemoveAll(uuid) })
	return errors.Join(err, dir.Close())
}

// withKeeper uses the keeper, which is started if it does not run. When it was killed meanwhile, use is called once more
// with a new one.
func (d *Driver) withKeeper(ctx context.Context, use func(*client.Keeper) error) error {
	k, err := d.findKeeper(ctx, nil)
	if err != nil {
		return err
	}
	err = use(k)
	var told *client.Error
	if err == nil || ctx.Err() != nil || errors.As(err, &told) {
		return err
	}
	if k, err = d.findKeeper(ctx, k); err != nil {
		return err
	}
	return use(k)
}

// findKeeper connects to the keeper, again if the one that is known does not answer.
func (d *Driver) findKeeper(ctx context.Context, broken *client.Keeper) (*client.Keeper, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run == nil {
		return nil, os.ErrClosed
	}
	if d.keeper != nil && d.keeper != broken {
		return d.keeper, nil
	}
	if d.keeper != nil {
		_ = d.keeper.Close()
		d.keeper = nil
	}
	log, err := createAt(d.run, "keeper.log", unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	ctx, cancel := context.WithTimeout(ctx, undoTime)
	defer cancel()
	for wait := newPatience(); ; {
		d.keeper, err = client.StartKeeper(ctx, client.KeeperOptions{Folder: d.run, Program: d.program, Log: log})
		d.minder.mind(d, d.keeper) //nolint:contextcheck // it goes on when the caller has gone
		// One that is just ending takes connections that it does not answer.
		if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) && !errors.Is(err, io.EOF) {
			return d.keeper, err
		}
		if wait.next(ctx) != nil {
			return nil, err
		}
	}
}
