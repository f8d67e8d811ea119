package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Recover finds the instance of an earlier start.
func (d *Driver) Recover(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	if err := checkUUID(spec.UUID); err != nil {
		return nil, err
	}
	d.mu.Lock()
	known := d.lives[spec.UUID]
	d.mu.Unlock()
	if known != nil && known.spec.Ref == spec.Ref {
		return known, nil
	}
	nothing := notFound("recover domain", spec.Definition.GetName(), "nothing of it is left")
	if known != nil {
		return nil, nothing
	}
	i, err := d.reopen(ctx, spec)
	if err != nil {
		return nil, err
	}
	if i == nil {
		return nil, nothing
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lives[spec.UUID] = i
	return i, nil
}

// reopen makes an instance of what the record of a domain says, nil if there is none of that run. A run that was not
// complete is removed.
func (d *Driver) reopen(ctx context.Context, spec driver.Spec) (*instance, error) {
	folder, err := d.states.open(spec.UUID)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	i := &instance{d: d, spec: spec, folder: folder}
	r, err := readRecord(folder)
	if err == nil && r.Generation != spec.Generation {
		return nil, folder.Close()
	}
	if err != nil && !gone(err) {
		d.log.Warn("a record cannot be read", zap.String("uuid", spec.UUID), zap.Error(err))
	}
	i.record = r
	if i.group, err = d.group(spec.UUID, r.Partition); err != nil {
		i.letGo()
		return nil, err
	}
	alive, err := i.connect(ctx)
	if err != nil {
		i.letGo()
		return nil, err
	}
	if !r.Complete && (i.group == nil || !alive) {
		err = d.remove(ctx, rest{uuid: spec.UUID, folder: folder, group: i.group})
		i.letGo()
		return nil, err
	}
	attended := alive
	if alive, err = i.reunite(ctx, alive); err != nil {
		i.letGo()
		return nil, err
	}
	if alive && !attended {
		attended, err = i.monitorAlive(ctx)
	}
	if alive && err == nil && attended {
		i.findLent(i.initPID())
		i.reclaimIDs(ctx)
		if r.Furnished || hasNetwork(spec.Definition) {
			err = i.startFurnishing(ctx)
		}
		err = errors.Join(err, i.resume(ctx))
	}
	switch {
	case err != nil:
	case !alive && !i.isLost():
		err = i.lose(ctx)
	case i.group == nil:
		// Its processes went with it, and whatever was moved elsewhere is limited by nothing. The monitor tells how it ended.
		d.log.Warn("the cgroup of a domain was removed; the domain is ended", zap.String("uuid", spec.UUID))
		err = i.Kill(ctx)
	}
	if err != nil {
		i.letGo()
		return nil, err
	}
	return i, nil
}

// reunite sees to it that a container whose monitor was killed has another, and that there is a keeper; alive tells that the container is
// there.
func (i *instance) reunite(ctx context.Context, attended bool) (alive bool, err error) {
	if attended {
		_, err = i.d.findKeeper(ctx, nil)
		return true, err
	}
	if i.group == nil {
		return false, nil
	}
	if i.monitor == nil {
		if i.monitor, err = client.Expect(i.folder); err != nil {
			return false, err
		}
	}
	state, err := i.mend(ctx)
	return state != nil, err
}

// connect finds the monitor; alive tells that it has a container that was made.
func (i *instance) connect(ctx context.Context) (alive bool, err error) {
	m, state, pidfd, err := findMonitor(ctx, i.folder)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, i.refused("recover domain", err)
	}
	i.monitor = m
	i.keep(pidfd)
	// It has just answered, so the number is its own.
	if fd, err := unix.PidfdOpen(int(m.Hello().GetPid()), 0); err == nil {
		i.supervisor = os.NewFile(uintptr(fd), "pidfd")
	}
	switch state.GetPhase() {
	case monitorv1.Phase_PHASE_NEW:
		return false, nil
	case monitorv1.Phase_PHASE_STARTING:
		// A restart is under way; the first start ends with the daemon that asked for it.
		return i.record.Complete, nil
	default:
		return true, nil
	}
}

// findMonitor asks the monitor of a state folder how its container is. One that hangs up meanwhile is being killed, or lets go of who
// was there before: it is asked anew until it answers or nobody listens.
func findMonitor(ctx context.Context, folder *os.File) (m *client.Monitor, state *monitorv1.State, pidfd *os.File, err error) {
	ctx, cancel := context.WithTimeout(ctx, undoTime)
	defer cancel()
	for wait := newPatience(); ; {
		if m, err = client.Dial(ctx, folder); err == nil {
			if state, pidfd, err = m.State(ctx); err == nil {
				return m, state, pidfd, nil
			}
			_ = m.Close()
		}
		if !isDying(err) || wait.next(ctx) != nil {
			return nil, nil, nil, err
		}
	}
}

// isDying tells the error of who takes connections and does not answer any more.
func isDying(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// group finds the cgroup of a domain: in the partition that its record names, so that finding all domains again does not
// search all trees for each, else in whatever partition it is; nil if there is none.
func (d *Driver) group(uuid, partition string) (*cgroup.Group, error) {
	name := cgroup.Name(d.opts.Instance, uuid)
	if partition != "" {
		if group, err := d.cgroups.Open(cgroup.Path{Partition: partition, Name: name}); err == nil {
			return group, nil
		}
	}
	found, err := d.cgroups.Find(name)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(found, func(p cgroup.Path) bool { return p.Name == name })
	if at < 0 {
		return nil, nil
	}
	return d.cgroups.Open(found[at])
}

// monitorAlive tells whether somebody still listens in the state folder.
func (i *instance) monitorAlive(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, undoTime)
	defer cancel()
	m, err := client.Dial(ctx, i.folder)
	switch {
	case err == nil:
		return true, m.Close()
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOENT):
		return false, nil
	}
	return false, err
}

// lose ends a container whose monitor was killed, and learns from the keeper how its init ended.
func (i *instance) lose(ctx context.Context) error {
	pid := i.findInit()
	i.findLent(pid)
	if i.group == nil {
		i.withdraw(ctx)
	}
	if err := i.killProcesses(ctx); err != nil {
		return err
	}
	if err := i.waitInit(ctx); err != nil {
		return err
	}
	exit := &davitv1.Exit{How: &davitv1.Exit_Unknown{Unknown: true}, Time: timestamppb.Now()}
	err := i.d.withKeeper(ctx, func(k *client.Keeper) error {
		e, err := k.WaitOrphan(ctx, i.spec.UUID, pid)
		if err == nil {
			exit = exitOf(e)
		}
		return err
	})
	var told *client.Error
	if err != nil && !errors.As(err, &told) {
		return fmt.Errorf("ask keeper for the exit of %q: %w", i.spec.Definition.GetName(), err)
	}
	i.d.log.Warn("the monitor of a domain was killed; the domain was ended",
		zap.String("uuid", i.spec.UUID), zap.Stringer("exit", exit))
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
	if i.orphan == nil {
		i.orphan = &orphan{exit}
	}
	if i.reader != nil {
		i.reader.wake()
	}
	return nil
}

// withdraw takes the pidfd of init that the keeper has, if it has one.
func (i *instance) withdraw(ctx context.Context) {
	_ = i.d.askKeeper(ctx, func(k *client.Keeper) error {
		kept, err := k.Withdraw(ctx, i.spec.UUID)
		if err == nil {
			i.keep(kept.Pidfd)
			kept.Pidfd = nil
			kept.Close()
		}
		return err
	})
}

// findInit is the process id of init: of the process in the domain's cgroup that is number 1 in a PID namespace just below
// ours, or, when that has ended, of the newest that was written down.
func (i *instance) findInit() int {
	var pids []int
	if i.group != nil {
		pids, _ = i.group.Procs() // a cgroup that is gone has none
	}
	for _, pid := range pids {
		if guest, err := guestPID(pid); err == nil && guest == 1 {
			return pid
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.record.InitPID
}

// Sweep removes what this instance made and nobody keeps.
func (d *Driver) Sweep(ctx context.Context, keep []driver.Ref) error {
	kept, defined := make(map[string]bool), make(map[string]bool)
	for _, ref := range keep {
		defined[ref.UUID] = true
		if ref.Generation != "" {
			kept[ref.UUID] = true
		}
	}
	uuids, err := d.states.list()
	if err != nil {
		return fmt.Errorf("list state folders: %w", err)
	}
	errs := d.sweepStates(ctx, uuids, keep, kept)
	errs = append(errs, d.sweepMonitors(ctx, kept))
	prefix := cgroup.InstancePrefix(d.opts.Instance)
	errs = append(errs, d.cgroups.Sweep(ctx, prefix, func(p cgroup.Path) bool { return kept[p.Name[len(prefix):]] }))
	errs = append(errs, d.ids.sweep(func(uuid string) bool { return kept[uuid] }, func(uuid string) bool { return defined[uuid] }))
	errs = append(errs, d.sweepTerminals(func(uuid string) bool { return kept[uuid] }))
	errs = append(errs, d.sweepInterfaces(kept))
	return errors.Join(errs...)
}

// sweepMonitors ends the monitors whose domain has no state any more, as when somebody removed its folder.
func (d *Driver) sweepMonitors(ctx context.Context, kept map[string]bool) error {
	entries, err := d.monitors(ctx)
	if err != nil {
		return fmt.Errorf("list monitors: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if uuid := e.GetUuid(); !kept[uuid] {
			errs = append(errs, d.killMonitor(ctx, uuid), d.waitReaped(ctx, uuid), d.forget(ctx, uuid))
		}
	}
	return errors.Join(errs...)
}

const (
	// sweptAtOnce is how many domains are swept at once: one whose end takes its time holds up few others.
	sweptAtOnce = 8
	// sweepTime is how long the end of one may take. What is left of it is there for the next sweep.
	sweepTime = 2 * time.Minute
)

// sweepStates removes the domains that have state and are not kept, and notes which are kept nevertheless: nobody else may have what they
// have, until the next sweep.
func (d *Driver) sweepStates(ctx context.Context, uuids []string, keep []driver.Ref, kept map[string]bool) []error {
	errs := make([]error, len(uuids))
	swept := make([]bool, len(uuids))
	var group sync.WaitGroup
	turns := make(chan struct{}, sweptAtOnce)
	for k, uuid := range uuids {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			bounded, cancel := context.WithTimeout(ctx, sweepTime)
			defer cancel()
			swept[k], errs[k] = d.sweepState(bounded, uuid, keep)
		})
	}
	group.Wait()
	for k, uuid := range uuids {
		if swept[k] {
			kept[uuid] = errors.Is(errs[k], errAlive)
		}
	}
	return errs
}

// sweepState removes a domain with its state, unless it is a run that is kept; false if it is, or is not ours.
func (d *Driver) sweepState(ctx context.Context, uuid string, keep []driver.Ref) (swept bool, err error) {
	if checkUUID(uuid) != nil {
		return false, nil // not ours
	}
	folder, err := d.states.open(uuid)
	if err != nil {
		return false, err
	}
	defer func() { _ = folder.Close() }()
	r, err := readRecord(folder)
	if err == nil && slices.Contains(keep, driver.Ref{UUID: uuid, Generation: r.Generation}) {
		return false, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.log.Warn("a record cannot be read", zap.String("uuid", uuid), zap.Error(err))
	}
	group, err := d.group(uuid, "")
	if err != nil {
		return true, err
	}
	return true, d.remove(ctx, rest{uuid: uuid, folder: folder, group: group})
}
