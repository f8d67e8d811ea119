package engine

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// How long an actor waits before it tries again what the store, the journal or the driver refused.
const (
	retryFirst = 50 * time.Millisecond
	retryLast  = 5 * time.Second
)

// maxOwed is how many events a domain may owe to the journal before its driver's events are left where they are.
const maxOwed = 64

// actor is the goroutine that changes a domain. All of it belongs to that goroutine, wake apart.
type actor struct {
	*entry
	wake chan struct{}
	log  *zap.Logger

	feed   <-chan driver.Event // of the run; nil if there is none
	unfeed context.CancelFunc
	held   *driver.Event // could not be stored yet
	owed   []*davitv1.Event
	told   *davitv1.EventPosition // of the last event of the domain
	kept   uint64                 // last of the driver's events that is stored
	acked  uint64                 // last of them that was acknowledged
	phases []*davitv1.StartPhase  // of the last start, until they are told

	retry   *time.Timer
	backoff time.Duration
}

func newActor(n *entry) *actor {
	return &actor{entry: n, wake: make(chan struct{}, 1), unfeed: func() {}}
}

// rouse tells the actor that there is a job.
func (a *actor) rouse() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run performs jobs and follows events until there is nothing to do.
func (a *actor) run() {
	defer a.engine.actors.Done()
	defer func() { a.unfeed() }()
	a.log = a.engine.log.With(zap.String("domain", a.name), zap.String("uuid", a.uuid))
	for {
		select {
		case <-a.engine.closing:
			a.dismiss(shuttingDown())
			return
		default:
		}
		a.drain()
		if a.left() {
			if len(a.owed) == 0 {
				_ = a.engine.guard("forget domain", a.discard) // was logged; it is found when the daemon starts again
				_ = a.engine.guard("forget domain", a.unreserve)
				a.forget()
				return
			}
		} else if j := a.take(); j != nil {
			a.perform(j)
			continue
		} else if a.current.Load() == nil {
			a.forget()
			return
		} else if a.idle() && a.retire() {
			return
		}
		a.attend(a.engine.closing, a.wake)
	}
}

// left tells whether the entry was a domain and is none any more. Jobs that wait are then for the next of its name.
func (a *actor) left() bool {
	s := a.current.Load()
	return s != nil && s.gone
}

// idle tells whether nothing of the domain needs a goroutine.
func (a *actor) idle() bool {
	return !a.current.Load().active() && a.held == nil && len(a.owed) == 0
}

// perform does a job.
func (a *actor) perform(j *job) {
	ctx, cancel := context.WithTimeout(j.values, a.engine.jobLimit)
	defer cancel()
	defer context.AfterFunc(a.engine.aborted, cancel)()
	err := error(&domain.Error{
		Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL,
		Op: j.name, Subject: a.name, Message: "the job ended without an outcome",
	})
	defer func() { a.finish(j, err) }() // whatever ends the job, nobody waits for it in vain
	err = a.engine.guard(j.name, func() error { return j.do(ctx, a) })
}

// attend waits for one thing to happen, or for one of the channels, and deals with it.
func (a *actor) attend(stop, wake <-chan struct{}) {
	var retry <-chan time.Time
	if a.retry != nil {
		retry = a.retry.C
	}
	select {
	case ev, ok := <-a.open():
		a.follow(ev, ok)
	case <-retry:
		a.again()
	case <-stop:
	case <-wake:
	}
}

// until follows the domain's events until a condition holds.
func (a *actor) until(ctx context.Context, holds func(s *snapshot) bool) error {
	for !holds(a.current.Load()) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		a.attend(ctx.Done(), nil)
	}
	return nil
}

// drain deals with the events that have come, so that a job finds the domain as it is.
func (a *actor) drain() {
	for {
		select {
		case ev, ok := <-a.open():
			a.follow(ev, ok)
		default:
			return
		}
	}
}

// open is the feed, unless an event of it is held or the journal is behind.
func (a *actor) open() <-chan driver.Event {
	if a.held != nil || len(a.owed) >= maxOwed {
		return nil
	}
	return a.feed
}

// subscribe opens the feed of the run.
//

func (a *actor) subscribe(instance driver.Instance, after uint64) error {
	ctx, cancel := context.WithCancel(a.engine.aborted)
	feed, err := instance.Events(ctx, after)
	if err != nil {
		cancel()
		return err
	}
	a.unfeed()
	a.feed, a.unfeed = feed, cancel
	a.kept, a.acked = after, after
	return nil
}

// unsubscribe closes it.
func (a *actor) unsubscribe() {
	a.unfeed()
	a.feed, a.unfeed = nil, func() {}
}

// later tries again what was refused, a little later each time.
func (a *actor) later() {
	a.backoff = min(max(2*a.backoff, retryFirst), retryLast)
	if a.retry == nil {
		a.retry = time.NewTimer(a.backoff)
	} else {
		a.retry.Reset(a.backoff)
	}
}

// again tries what was refused, and is called once more, later, if it dies of that.
func (a *actor) again() {
	if err := a.engine.guard("follow domain", a.resume); err != nil {
		a.later()
	}
}

// resume goes on where something was refused. If it is refused again, later was called.
func (a *actor) resume() error {
	if a.settleLater(); len(a.owed) > 0 {
		return nil
	}
	if a.found != nil {
		ctx, cancel := context.WithTimeout(a.engine.aborted, a.engine.jobLimit)
		defer cancel()
		return a.seek(ctx)
	}
	if ev := a.held; ev != nil {
		a.held = nil
		a.follow(*ev, true)
		if a.held != nil {
			return nil
		}
	}
	if s := a.current.Load(); s != nil && s.active() && a.feed == nil {
		a.refeed(s)
		return nil
	}
	a.backoff = 0
	return nil
}

// refeed opens a feed that ended before the run did.
func (a *actor) refeed(s *snapshot) {
	if err := a.subscribe(s.run.instance, s.journal.sequence); err != nil {
		a.log.Warn("follow domain", zap.Error(err))
		a.later()
	}
}

// forget frees the names of what is no domain any more, or never became one.
func (a *actor) forget() {
	a.engine.table.remove(a.entry)
	a.mu.Lock()
	a.gone = true
	a.mu.Unlock()
	a.dismiss(errGone)
	close(a.removed)
	if a.current.Load() == nil {
		close(a.settled)
	}
}
