package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"go.uber.org/zap"
)

// aside begins the names of folders that are being removed.
const aside = ".removed-"

// RemoveLog removes the log of a domain that is not active.
func (l *Logs) RemoveLog(ctx context.Context, ref string) error {
	uuid, err := l.find(ctx, ref)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.remove(uuid, func() error {
		if name, runs, _ := l.options.Domains.Lookup(uuid); runs {
			return active("remove log", name)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return noLog("remove log", ref)
	}
	return err
}

// remove removes a log if it may be: asked before and again when it is out of the way, so that a domain that starts
// meanwhile keeps it. The mutex is held.
func (l *Logs) remove(uuid string, may func() error) error {
	if err := may(); err != nil {
		return err
	}
	away := aside + uuid
	if err := l.root.RemoveAll(away); err != nil {
		return fmt.Errorf("remove log: %w", err)
	}
	if err := l.root.Rename(uuid, away); err != nil {
		return fmt.Errorf("remove log: %w", err)
	}
	if err := may(); err != nil {
		// Its monitor writes to a file that it opened before, or has begun a new folder, which then stays.
		return errors.Join(err, ignore(l.root.Rename(away, uuid), fs.ErrExist))
	}
	if err := l.root.RemoveAll(away); err != nil {
		return fmt.Errorf("remove log: %w", err)
	}
	return nil
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// sweep removes the logs of domains that are gone for too long, or too many.
func (l *Logs) sweep(now time.Time) {
	entries, err := l.entries()
	l.warn("sweep logs", "", err)
	var old []gone
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case strings.HasPrefix(name, aside):
			l.mu.Lock()
			l.warn("sweep log", name, l.root.RemoveAll(name))
			l.mu.Unlock()
		case entry.IsDir() && isUUID(name):
			if _, _, there := l.options.Domains.Lookup(name); there {
				continue
			}
			if _, since, err := l.look(name); err == nil && !since.IsZero() {
				old = append(old, gone{name, since})
			}
		}
	}
	for _, g := range expired(old, now.Add(-l.options.Keep), l.options.MaxGone) {
		l.sweepLog(g)
	}
}

func (l *Logs) sweepLog(g gone) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.remove(g.uuid, func() error {
		if name, _, there := l.options.Domains.Lookup(g.uuid); there {
			return active("sweep log", name)
		}
		return nil
	})
	l.warn("sweep log", g.uuid, err)
	if err == nil {
		l.log.Info("removed log of a domain that is gone", zap.String("uuid", g.uuid), zap.Time("gone", g.since))
	}
}
