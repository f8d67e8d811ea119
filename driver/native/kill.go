package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// hangTime is how long a monitor may take to answer while its domain is ended by force. One that hangs is killed: the
// domain ends in any case.
const hangTime = 5 * time.Second

// Kill ends the container: no restart follows, all processes are killed at once, and it returns when the monitor has seen
// the end.
func (i *instance) Kill(ctx context.Context) error {
	if i.isEnded() || i.isReleased() {
		return nil
	}
	i.adopting.Lock()
	i.ending = true
	i.adopting.Unlock()
	defer i.emptying()()
	if err := i.d.step("disarm monitor", func() error { return i.disarm(ctx) }); err != nil {
		i.adopting.Lock()
		i.ending = false // nothing was done to it, and it is to have another monitor if it loses this one
		i.adopting.Unlock()
		return err
	}
	// A restart that was under way when it was disarmed may still make an init, so it is looked again.
	for wait := newPatience(); ; {
		if err := i.d.step("kill processes", func() error { return i.killProcesses(ctx) }); err != nil {
			return err
		}
		if err := i.d.step("wait for the end", func() error { return i.waitInit(ctx) }); err != nil {
			return err
		}
		if i.isToldEnd(ctx) {
			break
		}
		over, err := i.isOverNow(ctx)
		if err != nil {
			return err
		}
		if over {
			break
		}
		if err := wait.next(ctx); err != nil {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended, i.emptied = true, true
	if i.reader != nil {
		i.reader.wake()
	}
	return nil
}

// tellTime is how long a monitor may take to tell of the end by itself before it is asked.
const tellTime = 20 * time.Millisecond

// isToldEnd waits for the monitor to tell whoever reads events of the end: that takes it no request more. Where nobody reads, or not just
// now, it has to be asked.
func (i *instance) isToldEnd(ctx context.Context) bool {
	i.mu.Lock()
	r := i.reader
	i.mu.Unlock()
	if r == nil {
		return false
	}
	brief, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	select {
	case <-r.over:
		return true
	case <-r.done:
	case <-brief.Done():
	}
	return false
}

// emptying notes that somebody kills what is in the cgroup and sees that nothing is left, until the function that it gives is called.
func (i *instance) emptying() (done func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.emptiers++
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.emptiers--
	}
}

func (i *instance) isBeingEmptied() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.emptiers > 0
}

// killProcesses kills what is in the cgroup. If somebody removed that, init alone can still be found, and takes its PID namespace
// with it.
func (i *instance) killProcesses(ctx context.Context) error {
	if i.group != nil {
		if err := i.d.killGroup(ctx, i.spec.Definition.GetName(), i.group); !gone(err) {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pidfd == nil {
		return nil
	}
	err := unix.PidfdSendSignal(int(i.pidfd.Fd()), unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill init: %w", err)
	}
	return nil
}

// disarm sees to it that no restart follows.
func (i *instance) disarm(ctx context.Context) error {
	if i.monitor == nil || i.isLost() {
		return nil
	}
	return i.orSlay(ctx, func(ctx context.Context) error {
		err := i.monitor.Disarm(ctx)
		if _, told := errors.AsType[*client.Error](err); told {
			return i.refused("destroy domain", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return nil // it was killed; observe finds out
	})
}

// isOverNow tells whether the monitor has seen the end.
func (i *instance) isOverNow(ctx context.Context) (over bool, err error) {
	err = i.orSlay(ctx, func(ctx context.Context) error {
		state, failed := i.observe(ctx)
		over = failed == nil && isOver(state)
		return failed
	})
	return over, err
}

// orSlay asks the monitor something; when it does not answer in time it is killed, and the next to ask finds it lost.
func (i *instance) orSlay(ctx context.Context, ask func(context.Context) error) error {
	brief, cancel := context.WithTimeout(ctx, hangTime)
	defer cancel()
	err := ask(brief)
	i.mu.Lock()
	supervisor := i.supervisor
	i.mu.Unlock()
	if brief.Err() == nil || ctx.Err() != nil || supervisor == nil {
		return err
	}
	i.d.log.Warn("the monitor of a domain hangs and is killed", zap.String("uuid", i.spec.UUID))
	err = unix.PidfdSendSignal(int(supervisor.Fd()), unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill monitor: %w", err)
	}
	return waitPidfd(ctx, supervisor)
}

// waitInit waits for the end of the newest init that is known.
func (i *instance) waitInit(ctx context.Context) error {
	i.mu.Lock()
	var own *os.File
	if i.pidfd != nil {
		if fd, err := unix.FcntlInt(i.pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			own = os.NewFile(uintptr(fd), "pidfd")
		}
	}
	i.mu.Unlock()
	if own == nil {
		return nil
	}
	defer func() { _ = own.Close() }()
	return waitPidfd(ctx, own)
}

// waitPidfd waits until the process of a pidfd has ended.
func waitPidfd(ctx context.Context, pidfd *os.File) error {
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		// The timeout only bounds how late the end of ctx is seen.
		n, err := unix.Poll(fds, 50)
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for init: %w", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// rest is what there is of a domain that has ended, or is to end.
type rest struct {
	uuid   string
	folder *os.File      // of its state; nil if there is none
	group  *cgroup.Group // nil if there is none
	// monitor and process are the monitor's, if davitd has them: it need not be looked for then.
	monitor *client.Monitor
	process *os.File
	// empty tells that nothing can be in the cgroup any more.
	empty bool
}

// rest is that of a run.
func (i *instance) rest() rest {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := rest{uuid: i.spec.UUID, folder: i.folder, group: i.group, empty: i.emptied}
	if i.orphan == nil {
		r.monitor, r.process = i.monitor, i.supervisor
	}
	return r
}

// errAlive tells that something of a domain may live that was to end: what it has is not anybody else's yet.
var errAlive = errors.New("a process of it may still live")

// endMonitor ends what runs of a domain: its processes, its monitor, and what the keeper holds for it.
func (d *Driver) endMonitor(ctx context.Context, folder *os.File, uuid string, group *cgroup.Group) error {
	r := rest{uuid: uuid, folder: folder, group: group}
	return errors.Join(d.dismiss(ctx, r), d.waitGone(ctx, r))
}

// dismiss is endMonitor, but for a monitor that has said that it ends: that may take it a moment longer.
func (d *Driver) dismiss(ctx context.Context, r rest) error {
	err := d.step("end monitor", func() error { return quitMonitor(ctx, r) })
	var errs []error
	quitted := err == nil
	if !quitted {
		// It never listened, hangs, or was killed: the keeper knows its process.
		errs = append(errs, d.killMonitor(ctx, r.uuid))
	}
	if r.group != nil && !r.empty {
		if err := d.killGroup(ctx, r.uuid, r.group); err != nil && !gone(err) {
			return errors.Join(append(errs, fmt.Errorf("%w: %w", errAlive, err))...) // the keeper is to know of it until it has ended
		}
	}
	errs = append(errs, d.step("forget monitor", func() error {
		var err error
		if !quitted {
			err = d.waitReaped(ctx, r.uuid) // it may have given the keeper something with its last breath
		}
		return errors.Join(err, d.forget(ctx, r.uuid))
	}))
	return errors.Join(errs...)
}

// quitMonitor asks the monitor of a domain to end.
func quitMonitor(ctx context.Context, r rest) error {
	ctx, cancel := context.WithTimeout(ctx, hangTime)
	defer cancel()
	if r.monitor != nil && r.monitor.Quit(ctx, true) == nil {
		return nil
	}
	m, err := client.Dial(ctx, r.folder)
	if err != nil {
		return err
	}
	return errors.Join(m.Quit(ctx, true), m.Close())
}

// waitGone waits until the monitor of a domain is no process any more, so that the domain can have another. A keeper of another davit may
// have to be asked: it refuses another until it has heard of the end.
func (d *Driver) waitGone(ctx context.Context, r rest) error {
	if r.process == nil {
		return d.waitReaped(ctx, r.uuid)
	}
	if err := waitPidfd(ctx, r.process); err != nil {
		return fmt.Errorf("wait for the end of the monitor: %w", err)
	}
	k, err := d.runningKeeper(ctx)
	if k == nil || err != nil || k.Hello().GetRevision() >= wire.RevisionHarvest {
		return err
	}
	return d.waitReaped(ctx, r.uuid)
}

// waitReaped waits until the keeper has seen the end of a domain's monitor. A keeper that was killed has no monitors.
func (d *Driver) waitReaped(ctx context.Context, uuid string) error {
	for wait := newPatience(); ; {
		entries, err := d.monitors(ctx)
		if err != nil || !slices.ContainsFunc(entries, func(e *monitorv1.MonitorEntry) bool { return e.GetUuid() == uuid }) {
			return err
		}
		if err := wait.next(ctx); err != nil {
			return fmt.Errorf("wait for the end of the monitor: %w", err)
		}
	}
}

// monitors lists the monitors that the keeper has; none without a keeper.
func (d *Driver) monitors(ctx context.Context) (entries []*monitorv1.MonitorEntry, err error) {
	err = d.askKeeper(ctx, func(k *client.Keeper) (err error) {
		entries, err = k.Monitors(ctx)
		return err
	})
	return entries, err
}

// killMonitor kills the monitor that the keeper has for a domain, and waits for its end.
func (d *Driver) killMonitor(ctx context.Context, uuid string) error {
	entries, err := d.monitors(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.GetUuid() != uuid {
			continue
		}
		fd, err := unix.PidfdOpen(int(e.GetPid()), 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open monitor: %w", err)
		}
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		// The number is the monitor's as long as the keeper, which reaps it, has it.
		var still bool
		if still, err = d.hasMonitor(ctx, e); still {
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			if err == nil {
				err = waitPidfd(ctx, pidfd)
			}
		}
		_ = pidfd.Close()
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill monitor: %w", err)
		}
	}
	return nil
}

// hasMonitor tells whether the keeper still has a monitor that it had.
func (d *Driver) hasMonitor(ctx context.Context, entry *monitorv1.MonitorEntry) (bool, error) {
	entries, err := d.monitors(ctx)
	return slices.ContainsFunc(entries, func(e *monitorv1.MonitorEntry) bool {
		return e.GetUuid() == entry.GetUuid() && e.GetPid() == entry.GetPid()
	}), err
}

// forget drops what the keeper holds for a domain.
func (d *Driver) forget(ctx context.Context, uuid string) error {
	return d.askKeeper(ctx, func(k *client.Keeper) error { return k.Forget(ctx, uuid) })
}

// askKeeper uses the keeper if one runs, and starts none. One that was killed meanwhile is let go of, and the one in its
// place, if there is one, is asked.
func (d *Driver) askKeeper(ctx context.Context, use func(*client.Keeper) error) error {
	k, err := d.runningKeeper(ctx)
	if k == nil || err != nil {
		return err
	}
	err = use(k)
	var told *client.Error
	if err == nil || ctx.Err() != nil || errors.As(err, &told) {
		return err
	}
	d.dropKeeper(k)
	if k, err = d.runningKeeper(ctx); k == nil || err != nil {
		return err
	}
	return use(k)
}

// dropKeeper lets go of a keeper that does not answer, unless that was done before.
func (d *Driver) dropKeeper(broken *client.Keeper) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keeper == broken {
		_ = broken.Close()
		d.keeper = nil
	}
}

// runningKeeper connects to the keeper if one runs, and starts none.
func (d *Driver) runningKeeper(ctx context.Context) (*client.Keeper, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run == nil {
		return nil, os.ErrClosed
	}
	if d.keeper != nil {
		return d.keeper, nil
	}
	k, err := client.DialKeeper(ctx, d.run)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	d.keeper = k
	d.minder.mind(d, k) //nolint:contextcheck // it goes on when the caller has gone
	return k, err
}

// remove removes everything of a domain that has ended, or ends it.
func (d *Driver) remove(ctx context.Context, r rest) error {
	var errs []error
	guest := d.loanNetwork(r.uuid, r.folder, r.group)
	if guest != nil {
		defer func() { _ = guest.Close() }()
	}
	if r.folder != nil {
		err := d.dismiss(ctx, r)
		if errors.Is(err, errAlive) {
			return err // nothing that it has can be taken away
		}
		errs = append(errs, err)
	}
	if r.group != nil {
		if err := d.step("remove cgroup", func() error { return r.removeGroup(ctx) }); err != nil && !gone(err) {
			return errors.Join(append(errs, fmt.Errorf("%w: %w", errAlive, err))...)
		}
	}
	if err := d.step("release host ids", func() error { return d.ids.release(r.uuid) }); err != nil {
		// Nobody else gets them before; the next sweep gives them back.
		d.log.Warn("host ids of a domain that has ended stay taken", zap.String("uuid", r.uuid), zap.Error(err))
	}
	errs = append(errs, d.step("give back log files", func() error { return d.releaseTerminals(r.uuid) }))
	errs = append(errs, d.step("forget interfaces", func() error { return d.forgetInterfaces(ctx, r.folder, guest) }))
	if r.folder != nil {
		errs = append(errs, d.waitGone(ctx, r))
	}
	if err := errors.Join(errs...); err != nil {
		// The record stays, so that the next sweep finds what is left.
		return err
	}
	return d.step("remove state folder", func() error { return d.states.remove(r.uuid) })
}

// removeGroup removes the cgroup. One in which nothing was left and something is, such as a command that had just begun, loses that first.
func (r rest) removeGroup(ctx context.Context) error {
	if r.empty {
		if err := r.group.RemoveAtOnce(); !errors.Is(err, unix.EBUSY) {
			return err
		}
		if err := r.group.Kill(ctx); err != nil && !gone(err) {
			return err
		}
	}
	return r.group.Remove(ctx)
}

// patience waits longer each time, from a fraction of a millisecond, for what nobody tells.
type patience struct{ delay time.Duration }

func newPatience() *patience { return &patience{200 * time.Microsecond} }

func (p *patience) next(ctx context.Context) error {
	t := time.NewTimer(p.longer(20 * time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// longer is how long to wait, twice as long each time up to a limit.
func (p *patience) longer(limit time.Duration) time.Duration {
	delay := p.delay
	p.delay = min(2*p.delay, limit)
	return delay
}
