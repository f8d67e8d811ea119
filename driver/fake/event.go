package fake

import (
	"context"
	"slices"
	"time"

	"github.com/davitd/davit/driver"
)

// Events sends what was not acknowledged and what comes. A second reader ends the first.
func (i *instance) Events(ctx context.Context, after uint64) (<-chan driver.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i.lock()
	defer i.unlock()
	i.c.dropReader()
	ctx, cancel := context.WithCancel(ctx)
	i.c.dropReader = cancel
	out := make(chan driver.Event)
	go i.c.send(ctx, out, after)
	return out, nil
}

func (c *container) send(ctx context.Context, out chan<- driver.Event, after uint64) {
	defer close(out)
	defer context.AfterFunc(ctx, func() {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		c.d.changed.Broadcast()
	})()
	cursor := cursor{after: after}
	for {
		ev, ok := c.await(ctx, &cursor)
		if !ok {
			return
		}
		select {
		case out <- ev:
		case <-ctx.Done():
			return
		}
		if _, last := ev.Kind.(driver.Stopped); last {
			return
		}
	}
}

// cursor is where a reader is.
type cursor struct {
	after uint64 // sequence of the last event that was sent
	kills uint64 // OOM kills that were told
}

func (c *container) await(ctx context.Context, at *cursor) (driver.Event, bool) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for ctx.Err() == nil {
		if ev, ok := c.next(at); ok {
			return ev, true
		}
		c.d.changed.Wait()
	}
	return driver.Event{}, false
}

// next is the event that follows, if it has happened. OOM kills come after the events that were before them.
func (c *container) next(at *cursor) (driver.Event, bool) {
	i := slices.IndexFunc(c.log, func(ev driver.Event) bool { return ev.Sequence > at.after })
	if at.kills < c.oomKills && (i < 0 || c.log[i].Sequence > c.oomAfter) {
		at.kills = c.oomKills
		return driver.Event{Time: time.Now(), Kind: driver.OOM{Count: at.kills}}, true
	}
	if i >= 0 {
		at.after = c.log[i].Sequence
		return c.log[i], true
	}
	if c.stopped {
		return driver.Event{Time: time.Now(), Kind: driver.Stopped{Err: c.err}}, true
	}
	return driver.Event{}, false
}

// Acknowledge drops events.
func (i *instance) Acknowledge(_ context.Context, sequence uint64) error {
	i.lock()
	defer i.unlock()
	i.c.log = slices.DeleteFunc(i.c.log, func(ev driver.Event) bool { return ev.Sequence <= sequence })
	return nil
}
