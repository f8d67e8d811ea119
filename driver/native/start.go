package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Start makes a container.
func (d *Driver) Start(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	begun, name := time.Now(), spec.Definition.GetName()
	if err := checkUUID(spec.UUID); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, startFailed(name, "begin", err)
	}
	if err := d.checkRoom("start domain", spec.Definition); err != nil {
		return nil, err
	}
	if _, err := Plan(spec.Definition, d.factsOf(spec.Definition)); err != nil {
		return nil, err
	}
	if err := d.checkDescriptors("start domain", spec.Definition); err != nil {
		return nil, err
	}
	if err := d.checkInterfaces(spec.Definition); err != nil {
		return nil, err
	}
	s := &start{d: d, spec: spec, i: &instance{d: d, spec: spec, unwired: true, furnished: hasNetwork(spec.Definition)}}
	s.i.phases.took("check definition", begun)
	if err := s.do(ctx); err != nil {
		return nil, errors.Join(err, s.undo(ctx))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lives[spec.UUID] = s.i
	s.logs.close()
	return s.i, nil
}

// start is a start under way.
type start struct {
	d    *Driver
	spec driver.Spec
	i    *instance
	plan *monitorv1.Plan
	// facts with what was opened for the devices, and the descriptors of that until the monitor has them.
	facts Facts
	held  *held
	logs  *terminalFiles
	made  []func(context.Context) error // undoes what was made, in the order of making
	// spawning is the monitor from when it is asked for until it has made the container.
	spawning *client.Spawning
	// end ends the monitor and all that it runs; nil until it was asked for.
	end func(context.Context) error
}

// undoBy tells how to undo what was just made.
func (s *start) undoBy(f func(context.Context) error) { s.made = append(s.made, f) }

// startStep is one step of a start.
type startStep struct {
	operation string
	take      func(context.Context) error
}

// steps are those of a start, in order. A step makes one thing, and says how that is undone, so that there is no place between two
// things where a test cannot cut it off. The monitor begins while the rest is made, which waits for nothing of it.
func (s *start) steps() []startStep {
	return []startStep{
		{"make state folder", s.makeState},
		{"write record", s.writeRecord},
		{"start keeper", s.startKeeper},
		{"start monitor", s.startMonitor},
		{"open devices", s.openDevices},
		{"open log files", s.openLogFiles},
		{"claim log files", s.claimLogFiles},
		{"take host ids", s.takeIDs},
		{"claim host ids", s.claimIDs},
		{"make folders of overlays", s.makeUppers},
		{"limit folders", s.limitFolders},
		{"make cgroup", s.makeCgroup},
		{"give cgroup", s.giveCgroup},
		{"begin logs", s.beginLogs},
		{"furnish container", s.furnish},
		{"make container", s.makeContainer},
		{"freeze container", s.freeze},
		{"complete record", s.complete},
	}
}

// do takes the steps.
func (s *start) do(ctx context.Context) error {
	for _, step := range s.steps() {
		if err := ctx.Err(); err != nil {
			return startFailed(s.spec.Definition.GetName(), step.operation, err)
		}
		if err := s.d.takeStep(step.operation); err != nil {
			return startFailed(s.spec.Definition.GetName(), step.operation, err)
		}
		begun := time.Now()
		if err := step.take(ctx); err != nil {
			return startFailed(s.spec.Definition.GetName(), step.operation, s.i.withLastWords(err))
		}
		s.i.phases.took(step.operation, begun)
	}
	return nil
}

// makeState comes before anything else is made: whatever follows is found by the folder's name.
func (s *start) makeState(context.Context) error {
	folder, err := s.d.states.create(s.spec.UUID)
	if errors.Is(err, fs.ErrExist) {
		return &domain.Error{
			Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY,
			Op: "start domain", Subject: s.spec.Definition.GetName(), Message: "an earlier run of it was not released",
		}
	}
	if err != nil {
		return err
	}
	s.i.folder = folder
	s.undoBy(func(ctx context.Context) error {
		s.i.stopFurnishing()
		return errors.Join(s.d.forgetInterfaces(ctx, folder, s.i.lentTo()), s.d.states.remove(s.spec.UUID))
	})
	return nil
}

func (s *start) writeRecord(context.Context) error {
	s.i.record = record{
		UUID: s.spec.UUID, Generation: s.spec.Generation, Partition: partition(s.spec.Definition),
		Furnished: hasNetwork(s.spec.Definition),
	}
	return writeRecord(s.i.folder, s.i.record)
}

// openDevices opens what the devices are made of; images get their loop devices.
func (s *start) openDevices(ctx context.Context) error {
	held, err := s.d.hold(ctx, "start domain", s.spec.Definition, nil)
	if err != nil {
		return err
	}
	s.undoBy(func(context.Context) error { held.close(); return nil })
	s.held, s.facts = held, s.d.hostFacts(s.spec.Definition)
	s.facts.Sources, s.i.record.Sources = held.sources, held.sources
	return nil
}

// openLogFiles opens the files that the consoles are written to.
func (s *start) openLogFiles(context.Context) (err error) {
	if s.logs, err = openTerminals(s.spec.Definition); err != nil {
		return err
	}
	s.undoBy(func(context.Context) error {
		defer s.logs.close()
		return s.logs.restore()
	})
	return s.d.checkTerminals(s.spec.Definition)
}

// claimLogFiles lists them, so that no other domain of the host has them.
func (s *start) claimLogFiles(context.Context) error {
	s.undoBy(func(context.Context) error { return s.d.releaseTerminals(s.spec.UUID) })
	return s.d.claimTerminals(s.spec.Definition, s.logs)
}

// takeIDs takes the range of host ids of the domain, and plans with it.
func (s *start) takeIDs(context.Context) (err error) {
	if needsRange(s.spec.Definition) {
		var fresh bool
		if s.facts.Range, fresh, err = s.d.ids.allocate(s.spec.UUID, s.spec.Definition.GetName()); err != nil {
			return err
		}
		if fresh {
			s.undoBy(func(context.Context) error { return s.d.ids.forget(s.spec.UUID) })
		}
	}
	s.plan, err = Plan(s.spec.Definition, s.facts)
	return err
}

// claimIDs claims the host ids that the definition gives the domain.
func (s *start) claimIDs(context.Context) error {
	if len(s.plan.GetUidMap()) == 0 || needsRange(s.spec.Definition) {
		return nil
	}
	folder := s.d.states.path(s.spec.UUID)
	fresh, err := s.d.ids.claim(s.spec.UUID, s.spec.Definition.GetName(), folder, maps{s.plan.GetUidMap(), s.plan.GetGidMap()})
	if err != nil {
		return err
	}
	s.undoBy(func(context.Context) error {
		if fresh {
			return s.d.ids.forget(s.spec.UUID)
		}
		return s.d.ids.release(s.spec.UUID)
	})
	return nil
}

// makeUppers makes the folders for the kept changes of overlays. They stay when the domain ends; those that a failed start
// made are removed.
func (s *start) makeUppers(context.Context) error {
	made, err := makeUppers(s.plan.GetOperations())
	s.undoBy(func(context.Context) error { return removeUppers(made) })
	return err
}

// makeUppers makes the folders for the kept changes of overlays, and tells which were not there.
func makeUppers(ops []*monitorv1.Operation) (made []string, err error) {
	for _, op := range ops {
		for _, upper := range []string{op.GetRootOverlay().GetUpper(), op.GetOverlay().GetUpper()} {
			if upper == "" {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(upper), 0o700); err != nil {
				return made, err
			}
			err := os.Mkdir(upper, 0o700)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			if err != nil {
				return made, err
			}
			made = append(made, upper)
		}
	}
	return made, nil
}

// removeUppers removes folders that were just made.
func removeUppers(made []string) error {
	var errs []error
	for _, upper := range slices.Backward(made) {
		errs = append(errs, os.RemoveAll(upper))
		_ = os.Remove(filepath.Dir(upper)) // the folder of the domain stays if there are other overlays
	}
	return errors.Join(errs...)
}

// makeCgroup makes the cgroup with its limits.
func (s *start) makeCgroup(context.Context) error {
	path := cgroup.Path{Partition: s.i.record.Partition, Name: cgroup.Name(s.d.opts.Instance, s.spec.UUID)}
	limits, err := s.limits()
	if err != nil {
		return err
	}
	g, err := s.d.cgroups.Create(path, limits)
	if err != nil {
		return err
	}
	s.i.group = g
	s.undoBy(g.Remove)
	return nil
}

// giveCgroup gives the leaf to the domain's root if it is to have cgroups of its own.
func (s *start) giveCgroup(context.Context) error {
	if !domain.Confine(s.spec.Definition).Delegated {
		return nil
	}
	uid, gid := rootOf(s.plan.GetUidMap()), rootOf(s.plan.GetGidMap())
	return s.i.group.Delegate(uid, gid)
}

// limits are those of the definition.
func (s *start) limits() (cgroup.Limits, error) {
	def := s.spec.Definition
	l := limits(def, s.facts, s.d.cgroups.Has)
	var faults []domain.Violation
	l.IODevices, faults = ioDevices(def)
	return l, hostLacks("start domain", def.GetName(), faults...)
}

// rootOf is the host's id of the domain's id 0.
func rootOf(m []*monitorv1.IdMapping) int {
	for _, e := range m {
		if e.GetInside() == 0 && e.GetCount() > 0 {
			return int(e.GetOutside())
		}
	}
	return 0
}

// startKeeper sees to it that a keeper runs. It stays.
func (s *start) startKeeper(ctx context.Context) error {
	_, err := s.d.findKeeper(ctx, nil)
	return err
}

// startMonitor has the keeper start a monitor, and does not wait for it.
func (s *start) startMonitor(ctx context.Context) error {
	s.end = func(ctx context.Context) error {
		if s.spawning != nil {
			s.spawning.Close(ctx)
		}
		return s.d.endMonitor(ctx, s.i.folder, s.spec.UUID, s.i.group)
	}
	return s.spawn(ctx)
}

// spawn asks for the monitor.
func (s *start) spawn(ctx context.Context) error {
	log, err := lockedLog(ctx, s.i.folder)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	return s.d.withKeeper(ctx, func(k *client.Keeper) error {
		spawning, err := k.Begin(ctx, client.Spawn{
			UUID: s.spec.UUID, Generation: s.spec.Generation, Program: s.d.program, Folder: s.i.folder, Log: log,
		})
		if err == nil {
			s.spawning, s.i.monitor = spawning, spawning.Monitor()
		}
		return err
	})
}

// askMonitor asks something of the monitor. If the keeper was killed before there was one, it is asked of that of another keeper.
func (s *start) askMonitor(ctx context.Context, ask func() error) error {
	err := ask()
	if !errors.Is(err, client.ErrUnheard) {
		return err
	}
	s.spawning.Close(ctx)
	if _, err = s.d.findKeeper(ctx, s.spawning.Keeper()); err != nil {
		return err
	}
	// It may be there, and not be able to say that it has started one.
	if err = s.d.killMonitor(ctx, s.spec.UUID); err != nil {
		return err
	}
	if err = s.d.waitReaped(ctx, s.spec.UUID); err != nil {
		return err
	}
	_ = s.i.monitor.Close()
	if err = s.spawn(ctx); err != nil {
		return err
	}
	s.i.stopFurnishing()
	if err = s.beginFurnishing(ctx); err != nil {
		return err
	}
	return ask()
}

// beginLogs empties the log files that begin anew with each run.
func (s *start) beginLogs(context.Context) error { return s.logs.begin() }

// furnish makes the domain's interfaces, from now on, whenever the monitor has a network namespace for them.
func (s *start) furnish(ctx context.Context) error {
	if s.d.hooks.plan != nil {
		s.d.hooks.plan(s.plan)
	}
	return s.beginFurnishing(ctx)
}

// beginFurnishing takes it on for the monitor that is being started, and does not wait for that.
func (s *start) beginFurnishing(ctx context.Context) error {
	if !s.plan.GetFurnish() {
		return nil
	}
	return s.i.furnishFor(ctx, nil, s.spawning)
}

// makeContainer gives the monitor the plan and the cgroups.
func (s *start) makeContainer(ctx context.Context) error {
	var groups client.Cgroups
	var err error
	if groups.Cgroup2, err = s.i.group.Cgroup2Dir(); err != nil {
		return err
	}
	defer func() { _ = groups.Cgroup2.Close() }()
	if groups.Tasks, err = s.i.group.Tasks(); err != nil {
		return err
	}
	defer func() { closeAll(groups.Tasks) }()
	if groups.Namespaces, err = s.d.openShares(ctx, s.spec.Definition); err != nil {
		return err
	}
	defer func() { closeAll(groups.Namespaces) }()
	groups.Held = s.held.files
	logs := client.Logs{
		Folder: s.openLogs(), MaxBytes: s.d.opts.LogMaxBytes, MaxFiles: s.d.opts.LogMaxFiles, Files: s.logs.folders,
	}
	noted := make(chan error, 1)
	go func() { noted <- notePlan(s.i.folder, s.plan) }()
	started, err := s.launch(ctx, groups, logs)
	err = errors.Join(err, <-noted)
	if logs.Folder != nil {
		_ = logs.Folder.Close()
	}
	s.held.close()
	if err != nil {
		return err
	}
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	s.i.pidfd, s.i.record.InitPID = started.Pidfd, started.PID
	return nil
}

// launch has the monitor make the container, and begins to watch it.
func (s *start) launch(ctx context.Context, groups client.Cgroups, logs client.Logs) (started *client.Started, err error) {
	err = s.askMonitor(ctx, func() (err error) {
		started, s.i.watch, err = s.spawning.Start(ctx, s.plan, groups, logs)
		return err
	})
	if err != nil {
		return nil, err
	}
	spawned, err := s.spawning.Spawned(ctx)
	if err != nil {
		return nil, errors.Join(err, started.Pidfd.Close())
	}
	s.i.supervisor = spawned.Pidfd
	return started, nil
}

// openLogs opens the folder of the domain's logs, and makes it; nil if there are to be none. Without them a domain is worth
// more than not at all.
func (s *start) openLogs() *os.File {
	if s.d.opts.LogDir == "" {
		return nil
	}
	path := filepath.Join(s.d.opts.LogDir, s.spec.UUID)
	err := os.MkdirAll(path, 0o700)
	var folder *os.File
	if err == nil {
		folder, err = openFolder(path)
	}
	if err != nil {
		s.d.log.Warn("a domain starts without logs", zap.String("uuid", s.spec.UUID), zap.Error(err))
		return nil
	}
	return folder
}

func (s *start) freeze(ctx context.Context) error {
	if !s.spec.Paused {
		return nil
	}
	return s.i.group.Freeze(ctx)
}

// complete makes the start one that can be recovered.
func (s *start) complete(context.Context) error {
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	s.i.record.Complete = true
	return writeRecord(s.i.folder, s.i.record)
}

// checkUUID refuses what must not become a part of a path.
func checkUUID(uuid string) error {
	if canonical, err := domain.ParseUUID(uuid); err != nil || canonical != uuid {
		return fmt.Errorf("read uuid %q: must be in canonical form", uuid)
	}
	return nil
}
