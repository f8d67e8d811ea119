package engine

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// releaseLimit is how long the driver may take to give back what a stopped run held, and releaseLast the longest pause
// before it is asked again when it could not.
const (
	releaseLimit = 10 * time.Second
	releaseLast  = time.Minute
)

// brief is for what the driver answers at once, whatever becomes of the caller.
func (a *actor) brief() (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.engine.aborted, releaseLimit)
}

// follow deals with an event of the feed. One that cannot be stored is held, and nothing is taken from the feed until it is.
func (a *actor) follow(ev driver.Event, ok bool) {
	if !ok {
		a.unsubscribe()
		a.later()
		return
	}
	if err := a.engine.guard("follow domain", func() error { return a.observe(ev) }); err != nil {
		a.log.Warn("store event of the driver", zap.Error(err))
		a.held = &ev
		a.later()
	}
}

// observe makes the domain's state include an event of the driver. What the state includes already is passed over.
func (a *actor) observe(ev driver.Event) error {
	s := a.current.Load()
	if s.run == nil || ev.Sequence != 0 && ev.Sequence <= s.journal.sequence {
		return nil
	}
	next, r := *s, *s.run
	next.run = &r
	next.journal.sequence = max(ev.Sequence, s.journal.sequence)
	switch k := ev.Kind.(type) {
	case driver.Started:
		return a.started(next, ev.Time, k)
	case driver.Exited:
		return a.exited(next, ev.Time, k)
	case driver.Restarted:
		return a.restarted(next, ev.Time, k)
	case driver.OOM:
		return a.oom(next, ev.Time, k)
	case driver.Stopped:
		return a.stopped(next, ev.Time, k)
	}
	return nil
}

// adopt stores, shows and journals what an event of the driver led to. That the journal is behind is no fault of the event.
func (a *actor) adopt(next snapshot, told ...*davitv1.Event) error {
	if err := a.keep(&next, told); err != nil {
		return err
	}
	a.show(next)
	a.settleLater()
	return nil
}

// settleLater settles, and leaves it to the retry if the journal does not take it now.
func (a *actor) settleLater() {
	if _, err := a.settle(); err != nil {
		a.log.Debug("events are owed", zap.Error(err))
	}
}

// turnTo is the machine's verdict on what was observed. It never refuses an observation of an active domain; if it does,
// the state stays, because what has happened cannot be undone.
func (a *actor) turnTo(next *snapshot, at time.Time, action domain.Action) []*davitv1.Event {
	to, err := domain.Next(next.Condition, action)
	if err != nil {
		a.log.Error("follow domain", zap.Stringer("action", action), zap.Error(err))
		return nil
	}
	if next.Condition != to.To {
		next.since = at
		a.log.Info("domain changed", zap.String("state", domain.StateWord(to.To.State)),
			zap.String("reason", domain.ReasonWord(to.To.Reason)))
	}
	next.Condition = to.To
	for _, t := range to.Events {
		if kind := t.GetType(); kind == davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED ||
			kind == davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_CRASHED {
			t.Exit = next.exit
		}
	}
	return a.lifecycle(next, at, to.Events)
}

func (a *actor) started(next snapshot, at time.Time, k driver.Started) error {
	next.run.initPID, next.took, next.lastError, next.exit, next.again = k.InitPID, k.Duration, "", nil, nil
	next.run.live = a.completed(next.run.instance, next.run.live)
	action := domain.Started
	if next.run.paused {
		action = domain.StartedPaused
	}
	return a.adopt(next, a.turnTo(&next, at, action)...)
}

// exited notes how init ended. A crash is told at once if the guest is started again; otherwise the end of the run tells it.
func (a *actor) exited(next snapshot, at time.Time, k driver.Exited) error {
	next.run.initPID = 0
	next.exit, next.run.oomBase = a.sentence(next, k.Exit)
	if k.Restart {
		if k.Cause == driver.CauseCrash {
			return a.adopt(next, a.turnTo(&next, at, domain.CrashedRestarting)...)
		}
		return a.adopt(next)
	}
	if next.run.ending != store.EndingDestroyed {
		next.run.ending = endingOf(k.Cause)
	}
	// The end of the run, which follows, is stored with it; until then the driver would tell it again.
	a.show(next)
	return nil
}

// endingOf is what a run that goes on no more has ended by.
func endingOf(c driver.Cause) store.Ending {
	switch c {
	case driver.CauseCrash:
		return store.EndingCrash
	case driver.CauseLost:
		return store.EndingLost
	default:
		return store.EndingPoweroff
	}
}

// sentence completes an exit: whether the OOM killer did it is asked of the driver, because its event may come later.
// It tells, too, how many processes were killed so far.
//

func (a *actor) sentence(next snapshot, x *davitv1.Exit) (*davitv1.Exit, uint64) {
	if x == nil {
		x = &davitv1.Exit{How: &davitv1.Exit_Unknown{Unknown: true}}
	}
	kills := next.run.oomKills
	if x.GetSignal() != sigkill {
		return x, kills
	}
	ctx, cancel := a.brief()
	defer cancel()
	if now, err := next.run.instance.Status(ctx); err == nil {
		kills = max(kills, now.OOMKills)
	}
	x = proto.CloneOf(x)
	x.OomKilled = x.GetOomKilled() || kills > next.run.oomBase
	return x, kills
}

// sigkill is the number of SIGKILL on every architecture of Linux.
const sigkill = 9

func (a *actor) restarted(next snapshot, at time.Time, k driver.Restarted) error {
	next.run.initPID, next.exit = k.InitPID, nil
	next.run.live = a.completed(next.run.instance, next.run.live)
	if k.Cause == driver.CauseCrash {
		return a.adopt(next, a.turnTo(&next, at, domain.Restarted)...)
	}
	next.run.reboots++
	told := a.turnTo(&next, at, domain.Rebooted)
	reboot := a.event(&next, at)
	reboot.Kind = &davitv1.Event_Reboot{Reboot: &davitv1.RebootEvent{
		Count: next.run.reboots, Backoff: durationpb.New(k.Backoff),
	}}
	return a.adopt(next, append([]*davitv1.Event{reboot}, told...)...)
}

// oom tells kills that were not told: the driver repeats the count to whoever begins to read.
func (a *actor) oom(next snapshot, at time.Time, k driver.OOM) error {
	if k.Count <= next.run.oomKills {
		return nil
	}
	next.run.oomKills = k.Count
	ev := a.event(&next, at)
	ev.Kind = &davitv1.Event_Oom{Oom: &davitv1.OomEvent{Count: k.Count}}
	return a.adopt(next, ev)
}

// stopped ends the run. The domain is shown as inactive once nothing of the run is left on the host.
func (a *actor) stopped(next snapshot, at time.Time, k driver.Stopped) error {
	last, r := next.run.instance, next.run
	action := domain.PoweredOff
	switch {
	case r.ending == store.EndingDestroyed:
		action = domain.Destroy
	case k.Err != nil, r.ending == store.EndingLost:
		action = domain.Lost
	case r.ending == store.EndingCrash:
		action = domain.Crashed
	}
	if next.Condition == domain.Lingering {
		next.lastError = "" // what kept it from its end
	}
	if k.Err != nil {
		next.lastError = k.Err.Error()
		a.log.Warn("domain was lost", zap.Error(k.Err))
	}
	told := a.turnTo(&next, at, action)
	return a.end(next, last, told...)
}

// end makes a domain inactive: its state is stored, what the run held is given back, and the domain is shown as it is
// then; a transient one is gone.
func (a *actor) end(next snapshot, last driver.Instance, told ...*davitv1.Event) error {
	stored := next
	stored.run = nil
	if err := a.keep(&stored, told); err != nil {
		return err
	}
	next.journal = stored.journal
	a.unsubscribe()
	a.release(last)
	a.vacate(next)
	a.settleLater()
	return nil
}

// vacate shows a domain without its run. A transient one is gone, unless it is to be started again.
func (a *actor) vacate(next snapshot) {
	if next.stored == nil {
		next.gone, next.last = next.again == nil, next.run.live
	}
	next.run = nil
	a.show(next)
}

// release gives back what a run held. What cannot be given back now is tried again beside the domain's further life, and
// is swept at the latest when the daemon starts again.
func (a *actor) release(last driver.Instance) {
	if last == nil {
		return
	}
	err := a.letGo(last)
	if err == nil {
		return
	}
	a.log.Error("release domain", zap.Error(err))
	if a.engine.enter() {
		go func() {
			defer a.engine.actors.Done()
			a.releaseLater(last)
		}()
	}
}

// letGo tries once.
func (a *actor) letGo(last driver.Instance) error {
	ctx, cancel := a.brief()
	defer cancel()
	return a.engine.guard("release domain", func() error { return last.Release(ctx) })
}

// releaseLater tries until it succeeds, a little later each time.
func (a *actor) releaseLater(last driver.Instance) {
	for wait := retryFirst; ; wait = min(2*wait, releaseLast) {
		select {
		case <-a.engine.closing:
			return
		case <-time.After(wait):
		}
		if err := a.letGo(last); err == nil {
			a.log.Info("domain released after all")
			return
		}
	}
}

// discard removes the stored state of a domain that is gone.
func (a *actor) discard() error {
	if err := a.engine.store.DeleteStatus(a.uuid); err != nil && !errors.Is(err, domain.ErrNotFound) {
		// It is found, and removed, when the daemon starts again.
		a.log.Warn("remove state", zap.Error(err))
		return err
	}
	a.engine.journal.Forget(a.uuid)
	return nil
}
