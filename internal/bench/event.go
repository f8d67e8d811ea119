package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	eventTarget = 10 // ms, p99
	// victims end one after the other, one every exitEvery.
	victims   = 8
	exitEvery = 50 * time.Millisecond
	// busy are the domains that are suspended and resumed again and again, each by a caller of its own, so that there are events.
	busy = 6
)

// measureEvents kills inits, and tells how long it takes from there until each of many subscribers, each with a connection of its own, has
// the event that the domain has stopped, while others bring it to so many events a second.
func measureEvents(ctx context.Context, b *bench) (err error) {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer closing(s, &err)
	uuids, err := s.defineMany(ctx, victims+busy, argvPause)
	if err != nil {
		return err
	}
	if err := many(ctx, uuids, func(ctx context.Context, uuid string) error { _, err := s.start(ctx, uuid); return err }); err != nil {
		return err
	}
	a := &audience{kills: make(map[string]time.Time)}
	ctx, end := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	defer end()
	if err := a.subscribe(ctx, s, group, b.subscribers); err != nil {
		return err
	}
	measure, over := context.WithTimeout(ctx, b.seconds)
	defer over()
	begun, before := time.Now(), a.events.Load()
	for _, uuid := range uuids[victims:] {
		group.Go(func() error { return s.bother(measure, uuid, busy, b.rate) })
	}
	if err := a.kill(measure, s, uuids[:victims]); err != nil {
		return err
	}
	rate := float64(a.events.Load()-before) / time.Since(begun).Seconds() / float64(b.subscribers)
	if err := a.settle(ctx, b.subscribers); err != nil {
		return err
	}
	end()
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	a.report(b, rate)
	return nil
}

// audience is who hears of events.
type audience struct {
	events atomic.Int64 // that all of them have heard, together

	mu    sync.Mutex
	kills map[string]time.Time // when the init of a domain was killed last
	late  times
	dead  int // inits killed
}

// subscribe has so many clients watch, and waits until all do.
func (a *audience) subscribe(ctx context.Context, s *site, group *errgroup.Group, n int) error {
	var ready sync.WaitGroup
	ready.Add(n)
	for range n {
		c, err := client.Dial(s.socket())
		if err != nil {
			return err
		}
		group.Go(func() error {
			defer func() { _ = c.Close() }()
			return a.watch(ctx, c, sync.OnceFunc(ready.Done))
		})
	}
	all := make(chan struct{})
	go func() { ready.Wait(); close(all) }()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("subscribe: %w", context.Cause(ctx))
	}
}

func (a *audience) watch(ctx context.Context, c *client.Client, ready func()) error {
	for notice, err := range c.Watch(ctx, client.WatchOptions{}) {
		at := time.Now()
		if err != nil {
			return err
		}
		ready()
		if notice.Resync != nil {
			return errors.New("a subscriber lost events")
		}
		if notice.Event == nil {
			continue
		}
		a.events.Add(1)
		if notice.Event.GetLifecycle().GetType() == davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED {
			a.mu.Lock()
			a.late = append(a.late, at.Sub(a.kills[notice.Event.GetUuid()]))
			a.mu.Unlock()
		}
	}
	return nil
}

// kill kills inits of domains by turns until ctx ends, one at least, and starts the domains again.
func (a *audience) kill(ctx context.Context, s *site, uuids []string) error {
	whole := context.WithoutCancel(ctx) // the end of the measurement cuts nothing off
	for i := 0; i == 0 || pause(ctx, exitEvery) == nil; i++ {
		uuid := uuids[i%len(uuids)]
		resp, err := s.c.GetDomain(whole, &davitv1.GetDomainRequest{Domain: client.ByUUID(uuid)})
		if err != nil {
			return err
		}
		a.mu.Lock()
		a.kills[uuid] = time.Now()
		a.dead++
		a.mu.Unlock()
		if err := unix.Kill(int(resp.GetDomain().GetInitPid()), unix.SIGKILL); err != nil {
			return fmt.Errorf("kill init: %w", err)
		}
		if err := s.awaitEnd(whole, uuid); err != nil {
			return err
		}
		if _, err := s.start(whole, uuid); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until all have heard of all ends.
func (a *audience) settle(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		a.mu.Lock()
		heard, want := len(a.late), a.dead*n
		a.mu.Unlock()
		if heard >= want {
			return nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d notices came: %w", heard, want, err)
		}
	}
}

func (a *audience) report(b *bench, rate float64) {
	if rate < 0.9*float64(b.rate) {
		b.remark("events: %.0f events a second were made, not %d: the host has no more with so many subscribers", rate, b.rate)
	}
	title := fmt.Sprintf("event of an exit, at each of %d subscribers", b.subscribers)
	b.addTimes(figure{Name: "event", Title: title}, a.late)
	b.figures[len(b.figures)-1].Target = eventTarget
	b.add(figure{Name: "event/rate", Title: "events a second meanwhile", Value: rate, Unit: perSecond, Samples: 1})
	b.add(figure{Name: "event/exits", Title: "exits that were told", Value: float64(a.dead), Unit: "", Samples: 1})
}

// bother suspends and resumes a domain, so often that all who do it make the rate together.
func (s *site) bother(ctx context.Context, uuid string, callers, rate int) error {
	tick := time.NewTicker(time.Second * time.Duration(callers) / time.Duration(rate))
	defer tick.Stop()
	ref := client.ByUUID(uuid)
	whole := context.WithoutCancel(ctx)
	for suspended := false; ; suspended = !suspended {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		if suspended {
			_, err = s.c.ResumeDomain(whole, &davitv1.ResumeDomainRequest{Domain: ref})
		} else {
			_, err = s.c.SuspendDomain(whole, &davitv1.SuspendDomainRequest{Domain: ref})
		}
		if err != nil {
			return err
		}
	}
}
