package logs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/server/events"
)

// sweepInterval is how often old logs are looked for.
const sweepInterval = time.Hour

// Run notes the names of domains at their logs and throws logs of domains that are gone away, until ctx ends. The domains
// must have been found again.
func (l *Logs) Run(ctx context.Context) error {
	for {
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if fellBehind := errors.Is(err, domain.ErrExhausted); !fellBehind {
			return fmt.Errorf("follow journal for logs: %w", err)
		}
		l.log.Debug("look at all logs anew", zap.Error(err))
	}
}

// follow looks at all logs, and then at those of whose domains the journal tells.
func (l *Logs) follow(ctx context.Context) error {
	nameless, err := l.nameless()
	if err != nil {
		return err
	}
	// Only the journal knows the name of a domain that came and went before it was noted.
	journal, err := l.options.Journal.Watch(ctx, events.WatchOptions{Oldest: nameless})
	if err != nil {
		return err
	}
	l.noteAll()
	l.sweep(time.Now())
	next := time.Now().Add(sweepInterval)
	for {
		l.seen.set(journal.Position().GetSequence())
		waiting, cancel := context.WithDeadline(ctx, next)
		ev, err := journal.Next(waiting)
		cancel()
		switch {
		case err == nil:
			if ev.GetLifecycle() != nil {
				l.warn("note name of log", ev.GetUuid(), l.note(ev.GetUuid(), ev.GetName()))
			}
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			l.sweep(time.Now())
			next = time.Now().Add(sweepInterval)
		default:
			return err
		}
	}
}

// nameless tells whether there is a log of a domain that is gone and whose name was not noted.
func (l *Logs) nameless() (bool, error) {
	all, err := l.uuids()
	if err != nil {
		return false, err
	}
	for _, uuid := range all {
		if _, _, ok := l.options.Domains.Lookup(uuid); ok {
			continue
		}
		if name, _, err := l.look(uuid); err == nil && name == "" {
			return true, nil
		}
	}
	return false, nil
}

// noteAll notes at all logs what is so now.
func (l *Logs) noteAll() {
	all, err := l.uuids()
	l.warn("note names of logs", "", err)
	for _, uuid := range all {
		l.warn("note name of log", uuid, l.note(uuid, ""))
	}
}

func (l *Logs) warn(what, uuid string, err error) {
	if err != nil {
		l.log.Warn(what, zap.String("uuid", uuid), zap.Error(err))
	}
}

// catchUp waits until what the journal has now is noted, so that a domain that is just gone is found.
func (l *Logs) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l.seen.await(ctx, l.options.Journal.Newest().GetSequence())
}

// progress is how far the journal was followed.
type progress struct {
	mu      sync.Mutex
	at      uint64
	changed chan struct{}
}

func (p *progress) set(at uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = at
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

func (p *progress) await(ctx context.Context, at uint64) {
	for {
		p.mu.Lock()
		if p.at >= at {
			p.mu.Unlock()
			return
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
