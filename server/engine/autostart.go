package engine

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Autostart starts the domains that start with the daemon, many at once: once while the host is up, so that a daemon
// that is started again does not start what was stopped meanwhile. A domain that does not start is logged, says why in
// last_error, and is in nobody's way.
func (e *Engine) Autostart(ctx context.Context) error {
	done, err := e.store.Autostarted()
	if err != nil || done {
		return err
	}
	var group errgroup.Group
	group.SetLimit(e.parallel)
	for s := range e.table.from("") {
		if !s.autostart || s.active() {
			continue
		}
		group.Go(func() error {
			e.autostart(ctx, s)
			return nil
		})
	}
	_ = group.Wait() // each one's error was logged
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start domains with autostart: %w", err)
	}
	return e.store.SetAutostarted()
}

// autostart starts one domain.
func (e *Engine) autostart(ctx context.Context, s *snapshot) {
	ref := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: s.uuid}}
	_, err := act(ctx, e, ref, "start domain", func(ctx context.Context, a *actor) (*davitv1.EventPosition, error) {
		return a.startStored(ctx, false)
	})
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		e.log.Error("autostart domain", zap.String("domain", s.name), zap.String("uuid", s.uuid), zap.Error(err))
	}
}
