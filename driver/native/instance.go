package native

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// instance is one run of a domain. The host is asked anew each time; what is remembered here is what cannot be asked for:
// that the container was ended by force, and that its monitor was lost.
type instance struct {
	phases  phases // of its start
	d       *Driver
	spec    driver.Spec
	folder  *os.File
	group   *cgroup.Group   // nil if somebody removed it while no davitd was there; nothing of the run is left then
	monitor *client.Monitor // nil if it was dead when the instance was recovered
	// supervisor is the monitor's process.
	supervisor *os.File
	// wiring is held while interfaces are made, changed or removed. The boots that come are given those of wired, nil for those of the
	// definition; unwired tells that nothing was ever made for the run, furnished that its monitor has boots wait for theirs.
	wiring             sync.Mutex
	wired              *davitv1.Domain
	unwired, furnished bool
	// updating is held while limits are changed, asking while init is asked to end or to reboot, adopting while the monitor is replaced:
	// not any more once the container is being ended.
	updating, asking, adopting sync.Mutex
	ending                     bool

	mu       sync.Mutex
	record   record
	pidfd    *os.File // of the newest init that is known
	ended    bool     // nothing of it runs or will run
	orphan   *orphan  // its monitor was lost
	released bool
	// emptied tells that what was in the cgroup was killed, once no init could follow; emptiers are those who see to that just now.
	emptied  bool
	emptiers int
	// unreserved tells that nothing is to be kept for the domain once this run is released.
	unreserved bool
	reader     *reader
	acked      uint64
	watch      *client.Watch // from the first event on, until somebody reads it
	streams    map[*stream]bool
	// furnishing makes its interfaces, nil if it has none; lent is the network namespace that an interface of the host was lent to.
	furnishing *furnishing
	lent       *os.File
	updated    *davitv1.Domain // the definition that it was updated to, nil if it never was
}

// orphan is how the init of a lost monitor ended.
type orphan struct{ exit *davitv1.Exit }

// Ref names the run.
func (i *instance) Ref() driver.Ref { return i.spec.Ref }

// letGo closes what is open; the container runs on.
func (i *instance) letGo() {
	i.stopReader()
	i.stopFurnishing()
	i.mu.Lock()
	defer i.mu.Unlock()
	for s := range i.streams {
		_ = s.Stream.Close()
	}
	i.streams = nil
	if i.watch != nil {
		_ = i.watch.Close()
		i.watch = nil
	}
	if i.monitor != nil {
		_ = i.monitor.Close()
	}
	for _, f := range []*os.File{i.pidfd, i.supervisor, i.folder, i.lent} {
		if f != nil {
			_ = f.Close()
		}
	}
	i.pidfd, i.lent = nil, nil
}

// observe asks the monitor what the container does. When the monitor is gone another adopts the container, if there is one that can be;
// otherwise state is nil.
func (i *instance) observe(ctx context.Context) (*monitorv1.State, error) {
	if i.isLost() {
		return nil, nil
	}
	if i.monitor != nil {
		state, pidfd, err := i.monitor.State(ctx)
		phase := state.GetPhase()
		if err == nil && (phase == monitorv1.Phase_PHASE_NEW || phase == monitorv1.Phase_PHASE_STARTING && i.isAdopting()) {
			return i.mend(ctx) // it is adopting just now, or was left before it was told to
		}
		if err == nil {
			i.keep(pidfd)
			return state, nil
		}
		var told *client.Error
		if ctx.Err() != nil || errors.As(err, &told) || errors.Is(err, os.ErrClosed) {
			return nil, i.refused("ask monitor", err)
		}
		if alive, err2 := i.monitorAlive(ctx); err2 != nil || alive && !i.isReplaced(ctx) {
			return nil, i.refused("ask monitor", errors.Join(err, err2))
		}
	}
	return i.mend(ctx)
}

// isAdopting tells whether the monitor is being replaced.
func (i *instance) isAdopting() bool {
	free := i.adopting.TryLock()
	if free {
		i.adopting.Unlock()
	}
	return !free
}

// keep holds the pidfd of the newest init.
func (i *instance) keep(pidfd *os.File) {
	if pidfd == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pidfd != nil {
		_ = i.pidfd.Close()
	}
	i.pidfd = pidfd
}

func (i *instance) isEnded() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ended
}

func (i *instance) isLost() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.orphan != nil
}

// isOver tells whether a phase is the last.
func isOver(s *monitorv1.State) bool {
	return s == nil || s.GetPhase() == monitorv1.Phase_PHASE_ENDED
}

// Status asks the host.
func (i *instance) Status(ctx context.Context) (driver.Status, error) {
	var st driver.Status
	if i.isReleased() {
		return st, nil
	}
	if i.isEnded() {
		i.mu.Lock()
		st.Restarts = i.record.Restarts
		i.mu.Unlock()
		st.OOMKills = i.oomKills()
		return st, nil
	}
	state, err := i.observe(ctx)
	if err != nil {
		return st, err
	}
	st.Running = !isOver(state) && !i.isEnded() && i.group != nil
	st.Restarts = state.GetRestarts()
	if st.Running {
		st.InitPID = state.GetPid()
		if st.Paused, err = i.group.Frozen(); err != nil && !errors.Is(err, cgroup.ErrNoController) {
			return st, err
		}
	}
	st.OOMKills = i.oomKills()
	return st, nil
}

// oomKills counts what the OOM killer killed; 0 where that cannot be known.
func (i *instance) oomKills() uint64 {
	if i.group == nil {
		return 0
	}
	n, err := i.group.OOMKills()
	if err != nil {
		return 0
	}
	return n
}

// running is the state of a container that runs, or an error that says that it does not.
func (i *instance) running(ctx context.Context, op string) (*monitorv1.State, error) {
	const message = "the container has stopped"
	if i.isEnded() || i.isReleased() || i.group == nil {
		return nil, i.state(op, message)
	}
	state, err := i.observe(ctx)
	if err != nil {
		return nil, err
	}
	if isOver(state) {
		return nil, i.state(op, message)
	}
	return state, nil
}

// withInit is the state of a container whose init runs just now.
func (i *instance) withInit(ctx context.Context, op string) (*monitorv1.State, error) {
	state, err := i.running(ctx, op)
	if err == nil && state.GetPid() == 0 {
		return nil, i.state(op, "its init is about to be started again; destroy ends the domain")
	}
	return state, err
}

// Suspend freezes the cgroup.
func (i *instance) Suspend(ctx context.Context) error {
	if _, err := i.running(ctx, "suspend domain"); err != nil {
		return err
	}
	return i.d.step("freeze container", func() error { return i.group.Freeze(ctx) })
}

// Resume thaws it.
func (i *instance) Resume(ctx context.Context) error {
	if _, err := i.running(ctx, "resume domain"); err != nil {
		return err
	}
	return i.d.step("thaw container", func() error { return i.group.Thaw(ctx) })
}

// Stats measures the cgroup.
func (i *instance) Stats(ctx context.Context) (*davitv1.DomainStats, error) {
	state, err := i.running(ctx, "measure domain")
	if err != nil {
		return nil, err
	}
	s, err := i.group.Stats()
	if err != nil {
		return nil, err
	}
	disks, err := i.blockDevices()
	if err != nil {
		return nil, err
	}
	interfaces, err := i.interfaceStats(int(state.GetPid()))
	if err != nil {
		return nil, err
	}
	return &davitv1.DomainStats{
		Interfaces:   interfaces,
		BlockDevices: disks,
		Time:         timestamppb.Now(),
		CpuTime:      durationpb.New(s.CPUTime), UserTime: durationpb.New(s.UserTime), SystemTime: durationpb.New(s.SystemTime),
		MemoryBytes: s.Memory, MemoryLimitBytes: s.MemoryMax, MemoryPeakBytes: s.MemoryPeak, SwapBytes: s.Swap,
		OomKills: s.OOMKills, Pids: s.Pids, PidsLimit: s.PidsMax, PerCpuTime: durations(s.PerCPU),
	}, nil
}

// durations are times as messages.
func durations(list []time.Duration) []*durationpb.Duration {
	var out []*durationpb.Duration
	for _, d := range list {
		out = append(out, durationpb.New(d))
	}
	return out
}

func (i *instance) isReleased() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.released
}

// outlive has what is kept for the domain given back when the run is released; false if it is already.
func (i *instance) outlive() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.unreserved = !i.released
	return i.unreserved
}

// Release gives back what the host holds for the stopped instance.
func (i *instance) Release(ctx context.Context) error {
	if i.isReleased() {
		return nil
	}
	if !i.isEnded() {
		state, err := i.observe(ctx)
		if err != nil && !errors.Is(err, os.ErrClosed) {
			return err
		}
		if !isOver(state) && !i.isEnded() {
			return i.state("release domain", "it runs")
		}
	}
	i.stopReader()
	i.stopFurnishing()
	if err := i.d.remove(ctx, i.rest()); err != nil {
		return err
	}
	i.mu.Lock()
	i.ended, i.released = true, true
	unreserved := i.unreserved
	i.mu.Unlock()
	i.letGo()
	if unreserved {
		if err := i.d.giveUpIDs(i.spec.UUID); err != nil {
			i.d.log.Warn("host ids of a domain that is gone stay taken until the next start", zap.String("uuid", i.spec.UUID), zap.Error(err))
		}
	}
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	if i.d.lives[i.spec.UUID] == i {
		delete(i.d.lives, i.spec.UUID)
	}
	return nil
}

// gone tells whether an error says that a thing is not there.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
