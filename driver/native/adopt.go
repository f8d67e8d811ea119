package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// A container whose monitor was killed runs on, and is given another monitor, which takes from the keeper what that one had. What it
// takes of davitd, the plan and all that the host sees, is opened anew. See docs/decisions/0006-adoption.md.

// planName is the file of the plan of the boots that follow, as the monitor has it, and planBytes bounds it.
const (
	planName  = "plan"
	planBytes = 4 << 20
)

// notePlan writes down the plan that a monitor is given.
func notePlan(folder *os.File, plan *monitorv1.Plan) error {
	text, err := plain.Append(nil, plan)
	if err != nil {
		return fmt.Errorf("write %q: %w", planName, err)
	}
	return replace(folder, planName, text, false)
}

// notedPlan is the plan of the boots that follow, with the policy and the limits that hold now. A start of an older davit has written
// none: it is then made of the definition again.
func (i *instance) notedPlan() (*monitorv1.Plan, error) {
	def := i.definition()
	text, err := readAt(i.folder, planName, planBytes)
	plan := new(monitorv1.Plan)
	switch {
	case err == nil:
		err = plain.Parse(text, plan)
	case gone(err):
		facts := i.d.hostFacts(def)
		i.mu.Lock()
		facts.Sources = i.record.Sources
		i.mu.Unlock()
		if needsRange(def) {
			facts.Range = i.d.ids.allotted(i.spec.UUID)
		}
		plan, err = Plan(def, facts)
	}
	if err != nil {
		return nil, fmt.Errorf("find plan: %w", err)
	}
	plan.Policy, plan.MemoryLimitBytes = policy(def), memoryLimit(def)
	return plan, nil
}

// errNothingLeft tells that there is nothing to be adopted: no init runs, and nobody knows how it ended.
var errNothingLeft = errors.New("nothing of the domain runs")

// mend looks after a container whose monitor is gone: another adopts it, unless it is being ended. As long as that cannot be done the
// container runs unattended, and is known to run.
func (i *instance) mend(ctx context.Context) (*monitorv1.State, error) {
	err := i.adopt(ctx)
	if err == nil {
		state, pidfd, asked := i.monitor.State(ctx)
		if asked != nil {
			return nil, i.refused("ask monitor", asked)
		}
		i.keep(pidfd)
		return state, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if errors.Is(err, errNothingLeft) {
		return nil, i.lose(ctx)
	}
	pid := i.findRunning()
	if pid == 0 {
		return nil, i.refused("adopt domain", err)
	}
	i.d.log.Error("a domain runs without a monitor", zap.String("uuid", i.spec.UUID), zap.Error(err))
	i.mu.Lock()
	defer i.mu.Unlock()
	return &monitorv1.State{Phase: monitorv1.Phase_PHASE_RUNNING, Pid: uint32(pid), Restarts: i.record.Restarts}, nil
}

// isReplaced tells whether another monitor listens than the one that was asked: it adopts the container just now.
func (i *instance) isReplaced(ctx context.Context) bool {
	_, pidfd, err := i.monitor.State(ctx)
	closeAll([]*os.File{pidfd})
	return err == nil || errors.Is(err, client.ErrReplaced)
}

// adopt has another monitor take over. Once it has begun it is finished, whoever asked for it.
func (i *instance) adopt(ctx context.Context) error {
	i.adopting.Lock()
	defer i.adopting.Unlock()
	if i.ending || i.group == nil || i.isEnded() {
		return errNothingLeft
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	state, pidfd, err := i.monitor.State(ctx)
	closeAll([]*os.File{pidfd})
	if err == nil && state.GetPhase() != monitorv1.Phase_PHASE_NEW {
		return nil // somebody else was faster
	}
	if err != nil && !errors.Is(err, client.ErrReplaced) {
		if alive, aliveErr := i.monitorAlive(ctx); alive || aliveErr != nil {
			return errors.Join(err, aliveErr)
		}
	}
	if err = i.bury(ctx); err != nil {
		return err
	}
	known, err := i.remains(ctx)
	if err != nil {
		return err
	}
	defer known.Close()
	plan, err := i.notedPlan()
	if err != nil {
		return err
	}
	if err = i.spawnAdopter(ctx); err != nil {
		return fmt.Errorf("start monitor: %w", err)
	}
	if err = i.handOver(ctx, plan, known); err != nil {
		return errors.Join(fmt.Errorf("adopt container: %w", err), i.monitor.Quit(ctx, false))
	}
	i.d.log.Warn("the monitor of a domain was killed; another adopted the domain", zap.String("uuid", i.spec.UUID),
		zap.Uint32("monitor", i.monitor.Hello().GetPid()), zap.Int("init", known.InitPID))
	return i.resumeFurnishing(ctx)
}

// bury makes sure that the monitor before is dead, and reaped by the keeper, if it is the keeper's: one that cannot be reached may be there
// still.
func (i *instance) bury(ctx context.Context) error {
	i.mu.Lock()
	supervisor := i.supervisor
	i.mu.Unlock()
	if supervisor != nil {
		err := unix.PidfdSendSignal(int(supervisor.Fd()), unix.SIGKILL, nil, 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end monitor: %w", err)
		}
		if err := waitPidfd(ctx, supervisor); err != nil {
			return err
		}
	}
	if err := i.d.killMonitor(ctx, i.spec.UUID); err != nil {
		return err
	}
	return i.d.waitReaped(ctx, i.spec.UUID)
}

// remains is what is known of the run of init that is there: by the keeper or, if that has nothing, by the cgroup and the record. An init
// that the keeper does not know of has just begun, and does not count.
func (i *instance) remains(ctx context.Context) (kept *client.Deposit, err error) {
	err = i.d.withKeeper(ctx, func(k *client.Keeper) (err error) {
		kept, err = k.Withdraw(ctx, i.spec.UUID)
		return err
	})
	told, ok := errors.AsType[*client.Error](err)
	switch {
	case err == nil && kept.Exit != nil:
		if err = i.group.Clear(ctx); err != nil && !gone(err) {
			kept.Close()
			return nil, err
		}
		return kept, nil
	case err == nil && kept.InitPID != 0:
		return kept, nil
	case err == nil: // of a keeper of an older davit
		pid, _ := pidOf(kept.Pidfd) // 0 if it has ended
		i.number(kept, pid)
		return kept, nil
	case !ok || told.Kind != monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND:
		return nil, err
	}
	pid := i.findRunning()
	if pid == 0 {
		return nil, errNothingLeft
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open init: %w", err)
	}
	kept = &client.Deposit{UUID: i.spec.UUID, Pidfd: os.NewFile(uintptr(fd), "pidfd")}
	if i.findRunning() != pid { // the number may have been another's by then
		kept.Close()
		return nil, errNothingLeft
	}
	i.number(kept, pid)
	return kept, nil
}

// number tells of a run that nobody kept which one it is, and how many events lie behind it: see [monitor.Container.Adopt]. One that is not
// known was started again since, once at least.
func (i *instance) number(kept *client.Deposit, pid int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if pid == 0 {
		pid = i.record.InitPID
	}
	kept.InitPID, kept.Restarts = pid, i.record.Restarts
	kept.Acknowledged = 2*uint64(kept.Restarts) + 1
	if pid != i.record.InitPID {
		kept.Restarts++
		kept.Acknowledged++
	}
}

// findRunning is the process id of the init in the domain's cgroup; 0 if none runs.
func (i *instance) findRunning() int {
	if i.group == nil {
		return 0
	}
	pids, _ := i.group.Procs() // a cgroup that is gone has none
	for _, pid := range pids {
		if guest, err := guestPID(pid); err == nil && guest == 1 {
			return pid
		}
	}
	return 0
}

// spawnAdopter has the keeper start a monitor, and connects to it.
func (i *instance) spawnAdopter(ctx context.Context) error {
	log, err := lockedLog(ctx, i.folder)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	var spawned *client.Spawned
	err = i.d.withKeeper(ctx, func(k *client.Keeper) (err error) {
		spawned, err = k.Spawn(ctx, client.Spawn{
			UUID: i.spec.UUID, Generation: i.spec.Generation, Program: i.d.program, Folder: i.folder, Log: log,
		})
		return err
	})
	if err != nil {
		return err
	}
	i.mu.Lock()
	if i.supervisor != nil {
		_ = i.supervisor.Close()
	}
	i.supervisor = spawned.Pidfd
	i.mu.Unlock()
	return i.monitor.Renew(ctx, i.folder)
}

// logLockTime is how long the log of a monitor may be held by others.
const logLockTime = 5 * time.Second

// lockedLog opens the log of a monitor. Its lock tells that the domain is there, see [terminalClaim.holds].
func lockedLog(ctx context.Context, folder *os.File) (*os.File, error) {
	log, err := createAt(folder, logName, unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		return nil, err
	}
	// Whoever looks whether the domain is there has it for a moment.
	brief, cancel := context.WithTimeout(ctx, logLockTime)
	defer cancel()
	for wait := newPatience(); ; {
		err = unix.Flock(int(log.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return log, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || wait.next(brief) != nil {
			return nil, errors.Join(fmt.Errorf("lock %q: %w", log.Name(), err), log.Close())
		}
	}
}

// handOver gives the monitor the plan, and what leads to the cgroups and the logs.
func (i *instance) handOver(ctx context.Context, plan *monitorv1.Plan, known *client.Deposit) error {
	var groups client.Cgroups
	var err error
	if groups.Cgroup2, err = i.group.Cgroup2Dir(); err != nil {
		return err
	}
	defer func() { _ = groups.Cgroup2.Close() }()
	if groups.Tasks, err = i.group.Tasks(); err != nil {
		return err
	}
	defer func() { closeAll(groups.Tasks) }()
	s := &start{d: i.d, spec: i.spec}
	if s.logs, err = openTerminals(i.spec.Definition); err == nil {
		if err = i.d.claimTerminals(i.spec.Definition, s.logs); err != nil { // another has them since the monitor was killed
			s.logs.close()
		}
	}
	if err != nil {
		i.d.log.Warn("a console is not written to its file any more", zap.String("uuid", i.spec.UUID), zap.Error(err))
		s.logs = &terminalFiles{}
	}
	defer s.logs.close()
	logs := client.Logs{
		Folder: s.openLogs(), MaxBytes: i.d.opts.LogMaxBytes, MaxFiles: i.d.opts.LogMaxFiles, Files: s.logs.folders,
	}
	if logs.Folder != nil {
		defer func() { _ = logs.Folder.Close() }()
	}
	return i.monitor.Adopt(ctx, plan, groups, logs, known)
}

// resumeFurnishing furnishes the boots that the new monitor makes, if the domain has a network. It does not wait for the furnishing of
// those of the monitor before: that may wait for the wiring, which may be held by who had the domain adopted.
func (i *instance) resumeFurnishing(ctx context.Context) error {
	i.mu.Lock()
	before := i.furnishing
	furnished := before != nil || i.record.Furnished
	i.furnishing = nil
	i.mu.Unlock()
	if before != nil {
		before.cancel()
	}
	if !furnished && !hasNetwork(i.definition()) {
		return nil
	}
	return i.furnishAfter(ctx, before)
}
