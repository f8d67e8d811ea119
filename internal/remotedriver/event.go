package remotedriver

import (
	"context"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Events makes the driver's events of the journal's, from the oldest on, so that their numbers are the same each time.
func (i *instance) Events(ctx context.Context, after uint64) (<-chan driver.Event, error) {
	i.d.memory.mu.Lock()
	after = max(after, i.d.memory.acked[i.spec.Ref])
	first := i.d.memory.inits[i.spec.Ref]
	i.d.memory.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	stream, err := i.d.events.WatchEvents(ctx, &davitv1.WatchEventsRequest{
		Start: &davitv1.WatchEventsRequest_Oldest{Oldest: true}, Uuids: []string{i.spec.UUID},
	})
	if err == nil {
		_, err = stream.Recv() // the position: from here on it watches
	}
	if err != nil {
		cancel()
		return nil, domain.FromStatus(err)
	}
	i.d.mu.Lock()
	if before := i.d.readers[i.spec.Ref]; before != nil {
		before()
	}
	i.d.readers[i.spec.Ref] = cancel
	i.d.mu.Unlock()

	out := make(chan driver.Event)
	go func() {
		defer close(out)
		defer cancel()
		t := translator{first: first, pid: func() (uint32, time.Duration) { return i.init(ctx) }}
		for !t.over {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			for _, ev := range t.translate(r.GetEvent()) {
				if ev.Sequence != 0 && ev.Sequence <= after {
					continue
				}
				select {
				case out <- ev:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// init asks who init is now, and how long the start took.
func (i *instance) init(ctx context.Context) (uint32, time.Duration) {
	info, err := i.d.info(ctx, i.spec.UUID)
	if err != nil {
		return 0, 0
	}
	return info.GetInitPid(), info.GetStartDuration().AsDuration()
}

// translator makes the driver's events of a domain's.
type translator struct {
	sequence uint64
	started  bool
	crash    *driver.Exited // what follows it says whether the guest is started again
	crashed  time.Time
	restarts uint32
	over     bool
	first    uint32 // init of the run's start; 0 if it is not known
	pid      func() (uint32, time.Duration)
}

func (t *translator) event(at time.Time, kind driver.EventKind) driver.Event {
	t.sequence++
	return driver.Event{Sequence: t.sequence, Time: at, Kind: kind}
}

func (t *translator) translate(ev *davitv1.Event) []driver.Event {
	at := ev.GetTime().AsTime()
	switch k := ev.GetKind().(type) {
	case *davitv1.Event_Reboot:
		pid, _ := t.pid()
		t.restarts++
		backoff := k.Reboot.GetBackoff().AsDuration()
		return []driver.Event{
			t.event(at, driver.Exited{Exit: &davitv1.Exit{Time: ev.GetTime()}, Cause: driver.CauseReboot, Restart: true, Backoff: backoff}),
			t.event(at, driver.Restarted{InitPID: pid, Count: t.restarts, Backoff: backoff, Cause: driver.CauseReboot}),
		}
	case *davitv1.Event_Oom:
		return []driver.Event{{Time: at, Kind: driver.OOM{Count: k.Oom.GetCount()}}}
	case *davitv1.Event_Lifecycle:
		return t.lifecycle(at, k.Lifecycle)
	}
	return nil
}

func (t *translator) lifecycle(at time.Time, ev *davitv1.LifecycleEvent) []driver.Event {
	switch ev.GetType() {
	case davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STARTED:
		pid, took := t.pid()
		if !t.started {
			t.started = true
			if t.first != 0 {
				pid = t.first
			}
			return []driver.Event{t.event(at, driver.Started{InitPID: pid, Duration: took})}
		}
		t.restarts++
		return append(t.crashes(true),
			t.event(at, driver.Restarted{InitPID: pid, Count: t.restarts, Cause: driver.CauseCrash}))
	case davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_CRASHED:
		t.crash, t.crashed = &driver.Exited{Exit: ev.GetExit(), Cause: driver.CauseCrash}, at
	case davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED:
		t.over = true
		list := t.crashes(false)
		if len(list) == 0 {
			list = append(list, t.event(at, driver.Exited{Exit: ev.GetExit(), Cause: cause(ev.GetDetail())}))
		}
		return append(list, driver.Event{Time: at, Kind: driver.Stopped{}})
	default: // what users do is no event of a driver
	}
	return nil
}

// crashes gives the crash that was held back.
func (t *translator) crashes(restart bool) []driver.Event {
	if t.crash == nil {
		return nil
	}
	x := *t.crash
	x.Restart, t.crash = restart, nil
	return []driver.Event{t.event(t.crashed, x)}
}

func cause(detail davitv1.LifecycleEventDetail) driver.Cause {
	switch detail {
	case davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_DESTROYED:
		return driver.CauseCrash
	case davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_FAILED:
		return driver.CauseLost
	default:
		return driver.CausePoweroff
	}
}
