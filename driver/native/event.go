package native

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// lookAgain is the longest time between two looks at a monitor whose watch ended and that does not end either.
const lookAgain = time.Second

// flushTime bounds how long a close waits for a monitor.
const flushTime = 200 * time.Millisecond

// reader sends the events of an instance to whoever asked for them. An instance has one.
type reader struct {
	i      *instance
	out    chan driver.Event
	cancel context.CancelFunc
	done   chan struct{}
	woken  chan struct{} // the container was ended by force, or its monitor lost
	once   sync.Once
	over   chan struct{} // the monitor told that nothing of it runs or will run

	after uint64 // sequence of the last event that was sent
	kills uint64 // OOM kills that were told
	watch *client.Watch
}

// wake tells the reader that it should look at the state.
func (r *reader) wake() { r.once.Do(func() { close(r.woken) }) }

// Events sends what was not acknowledged and what comes. A second reader ends the first.
func (i *instance) Events(ctx context.Context, after uint64) (<-chan driver.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i.stopReader()
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{
		i: i, out: make(chan driver.Event), cancel: cancel, after: after,
		done: make(chan struct{}), woken: make(chan struct{}), over: make(chan struct{}),
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reader = r
	if i.ended {
		r.wake()
	}
	go r.run(ctx)
	return r.out, nil
}

// stopReader ends the reader there is, and waits until it has.
func (i *instance) stopReader() {
	i.mu.Lock()
	r := i.reader
	i.reader = nil
	i.mu.Unlock()
	if r != nil {
		r.cancel()
		<-r.done
	}
}

// Acknowledge tells the monitor that events are stored.
func (i *instance) Acknowledge(_ context.Context, sequence uint64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.acked = max(i.acked, sequence)
	if i.reader == nil || i.reader.watch == nil || i.orphan != nil {
		return nil // the next watch begins with it
	}
	if err := i.reader.watch.Acknowledge(i.acked); err != nil && !hungUp(err) {
		return i.refused("acknowledge event", err)
	}
	return nil
}

// hungUp tells whether an error says that a watch has ended, on either side, or is being ended: what was acknowledged goes with
// the next one.
func hungUp(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// flush waits, for a moment, until the monitor has read what was acknowledged. It only spares the next davitd to pass
// over events that it has.
func (i *instance) flush() {
	i.mu.Lock()
	acked, m := i.acked, i.monitor
	skip := i.acked == 0 || i.monitor == nil || i.orphan != nil || i.released
	i.mu.Unlock()
	if skip {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	for wait := newPatience(); ; {
		state, pidfd, err := m.State(ctx)
		if pidfd != nil {
			_ = pidfd.Close()
		}
		if err != nil || state.GetAcknowledged() >= acked || wait.next(ctx) != nil {
			return
		}
	}
}

// run sends events until ctx ends or the container has.
func (r *reader) run(ctx context.Context) {
	defer close(r.done)
	defer close(r.out)
	defer r.cancel()
	err := r.follow(ctx)
	if ctx.Err() != nil {
		return
	}
	if r.i.isLost() {
		r.sendOrphan(ctx)
		err = r.i.lostError()
	}
	r.send(ctx, driver.Event{Time: time.Now(), Kind: driver.Stopped{Err: err}})
}

// follow sends the monitor's events, and OOM kills between them, to the end of the container. The error is why a restart
// failed.
func (r *reader) follow(ctx context.Context) error {
	events, failed := r.watchMonitor(ctx)
	kills := r.watchKills(ctx)
	var (
		woken  = r.woken
		wait   = newPatience()
		look   <-chan time.Time // when to look at the state again
		broken bool             // the watch ended
	)
	for {
		select {
		case ev := <-events:
			wait = newPatience() // the watch works
			if over, err := r.deliver(ctx, ev); over {
				return err
			}
		case n, ok := <-kills:
			if !ok {
				kills = nil
				continue
			}
			r.sendKills(ctx, n)
		case <-failed:
			failed, broken, look = nil, true, time.After(wait.longer(lookAgain))
		case <-woken:
			wait = newPatience()
			woken, look = nil, time.After(0)
		case <-look:
			if r.caughtUp(ctx) {
				return nil
			}
			if broken && !r.i.isLost() {
				events, failed = r.watchMonitor(ctx)
				broken = false
			}
			look = nil
			if broken || woken == nil {
				look = time.After(wait.longer(lookAgain))
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// watchKills counts what the OOM killer kills; nil where the host cannot tell.
func (r *reader) watchKills(ctx context.Context) <-chan uint64 {
	if r.i.group == nil {
		return nil
	}
	kills, err := r.i.group.WatchOOM(ctx, 0)
	if err != nil {
		return nil
	}
	return kills
}

// caughtUp tells whether the container has ended and the last event was sent.
func (r *reader) caughtUp(ctx context.Context) bool {
	state, err := r.i.observe(ctx)
	if err != nil {
		return false
	}
	return state == nil || isOver(state) && r.after >= state.GetSequence()
}

// watchMonitor opens the watch and reads it; failed is closed when it ends.
func (r *reader) watchMonitor(ctx context.Context) (events chan *monitorv1.MonitorEvent, failed chan struct{}) {
	events, failed = make(chan *monitorv1.MonitorEvent), make(chan struct{})
	if r.i.monitor == nil || r.i.isLost() {
		close(failed)
		return events, failed
	}
	after := r.after
	go func() {
		defer close(failed)
		w, err := r.i.openWatch(ctx, after)
		if err != nil {
			return
		}
		defer func() { _ = w.Close() }()
		if !r.begin(w) {
			return
		}
		for {
			ev, err := w.Next(ctx)
			if err != nil {
				return
			}
			select {
			case events <- ev:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events, failed
}

// openWatch watches the monitor; the start has begun that already.
func (i *instance) openWatch(ctx context.Context, after uint64) (*client.Watch, error) {
	i.mu.Lock()
	begun := i.watch
	i.watch = nil
	i.mu.Unlock()
	if begun != nil && after == 0 {
		return begun, nil
	}
	if begun != nil {
		_ = begun.Close()
	}
	return i.monitor.Watch(ctx, after)
}

// begin makes a watch the one that acknowledgements go to.
func (r *reader) begin(w *client.Watch) bool {
	r.i.mu.Lock()
	defer r.i.mu.Unlock()
	r.watch = w
	return r.i.acked == 0 || w.Acknowledge(r.i.acked) == nil
}

// deliver sends an event of the monitor. It is the last one if no restart follows.
func (r *reader) deliver(ctx context.Context, ev *monitorv1.MonitorEvent) (over bool, err error) {
	e := driver.Event{Sequence: ev.GetSequence(), Time: time.Unix(0, ev.GetTimeUnixNs())}
	switch {
	case ev.GetStarted() != nil:
		e.Kind = driver.Started{
			InitPID: ev.GetStarted().GetPid(), Duration: time.Duration(ev.GetStarted().GetDurationNs()),
		}
	case ev.GetExited() != nil:
		r.sendKills(ctx, r.i.oomKills())
		x := r.i.exited(ev.GetExited())
		e.Kind, over = x, !x.Restart
	case ev.GetRestarted() != nil:
		e.Kind = r.i.restarted(ev.GetRestarted())
	case ev.GetRestartFailed() != nil:
		// The engine learns it from Stopped; the event itself only moves the sequence on.
		r.after = ev.GetSequence()
		cause := wire.FromProto(ev.GetRestartFailed().GetError())
		r.end()
		return true, startFailed(r.i.spec.Definition.GetName(), "start again", cause)
	default:
		return false, nil
	}
	if over {
		// Init was the last of its PID namespace; whatever else is in the cgroup goes too, unless it is killed just now.
		if !r.i.isBeingEmptied() {
			if err := r.i.killProcesses(ctx); err != nil && ctx.Err() == nil {
				return true, err
			}
		}
		r.end()
	}
	r.send(ctx, e)
	r.after = e.Sequence
	return over, nil
}

// end marks the instance as ended, and tells who waits for that.
func (r *reader) end() {
	r.i.end()
	close(r.over)
}

// end marks the instance as one of which nothing runs.
func (i *instance) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
}

// exited is the end of an init.
func (i *instance) exited(x *monitorv1.InitExited) driver.Exited {
	i.mu.Lock()
	base := i.record.OOMBase
	i.mu.Unlock()
	exit := exitOf(x.GetExit())
	exit.OomKilled = exit.GetSignal() == uint32(unix.SIGKILL) && i.oomKills() > base
	return driver.Exited{
		Exit: exit, Cause: causeOf(x.GetCause()), Restart: x.GetAction() == monitorv1.Action_ACTION_RESTART,
		Backoff: time.Duration(x.GetBackoffNs()),
	}
}

// restarted is a new init, which is written down for the next davitd.
func (i *instance) restarted(x *monitorv1.Restarted) driver.Restarted {
	i.mu.Lock()
	defer i.mu.Unlock()
	if x.GetCount() > i.record.Restarts {
		i.record.Restarts, i.record.InitPID, i.record.OOMBase = x.GetCount(), int(x.GetPid()), i.oomKills()
		// A record that is old costs nothing but the exactness of what a later davitd tells of an OOM kill.
		_ = writeRecord(i.folder, i.record)
	}
	return driver.Restarted{
		InitPID: x.GetPid(), Count: x.GetCount(), Backoff: time.Duration(x.GetBackoffNs()), Cause: causeOf(x.GetCause()),
	}
}

// sendKills tells of OOM kills that were not told.
func (r *reader) sendKills(ctx context.Context, n uint64) {
	if n > r.kills {
		r.kills = n
		r.send(ctx, driver.Event{Time: time.Now(), Kind: driver.OOM{Count: n}})
	}
}

// sendOrphan tells how the init of a lost monitor ended. The monitor's own events after the last one that was sent are
// gone with it, so this one takes the next number.
func (r *reader) sendOrphan(ctx context.Context) {
	r.i.mu.Lock()
	exit := r.i.orphan.exit
	r.i.mu.Unlock()
	r.after++
	r.send(ctx, driver.Event{Sequence: r.after, Time: exit.GetTime().AsTime(), Kind: driver.Exited{
		Exit: exit, Cause: driver.CauseLost,
	}})
}

func (r *reader) send(ctx context.Context, ev driver.Event) {
	select {
	case r.out <- ev:
	case <-ctx.Done():
	}
}

// exitOf is an exit in the words of the API.
func exitOf(x *monitorv1.Exit) *davitv1.Exit {
	e := &davitv1.Exit{Time: timestamppb.New(time.Unix(0, x.GetTimeUnixNs()))}
	switch how := x.GetHow().(type) {
	case *monitorv1.Exit_Code:
		e.How = &davitv1.Exit_Code{Code: how.Code}
	case *monitorv1.Exit_Signal:
		e.How = &davitv1.Exit_Signal{Signal: how.Signal}
	default:
		e.How = &davitv1.Exit_Unknown{Unknown: true}
	}
	return e
}

func causeOf(c monitorv1.Cause) driver.Cause {
	switch c {
	case monitorv1.Cause_CAUSE_REBOOT:
		return driver.CauseReboot
	case monitorv1.Cause_CAUSE_CRASH:
		return driver.CauseCrash
	default:
		return driver.CausePoweroff
	}
}
