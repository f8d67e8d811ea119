package engine

import (
	"context"

	"go.uber.org/zap"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A driver that reserves things of the host for what is defined is told what that is. What it cannot reserve keeps nothing from being
// defined: it is told again when the daemon starts.

// reserveAll tells what is defined when the daemon has found it.
func (e *Engine) reserveAll(ctx context.Context) {
	reserver, ok := e.driver.(driver.Reserver)
	if !ok {
		return
	}
	const stride = 256
	list := make([]*davitv1.Domain, 0, stride)
	tell := func() {
		if len(list) == 0 {
			return
		}
		if err := reserver.Reserve(ctx, list); err != nil {
			e.log.Warn("reserve what definitions name", zap.Error(err))
		}
		list = list[:0]
	}
	for s := range e.table.from("") {
		if !s.persistent() {
			continue
		}
		def, err := s.stored.open()
		if err != nil {
			e.log.Warn("reserve what a definition names", zap.String("uuid", s.uuid), zap.Error(err))
			continue
		}
		if list = append(list, def); len(list) == stride {
			tell()
		}
	}
	tell()
}

// reserve tells the definition of a domain, unless it is that of last.
func (a *actor) reserve(last *snapshot) {
	reserver, ok := a.engine.driver.(driver.Reserver)
	now := a.current.Load()
	if !ok || !now.persistent() || last != nil && last.persistent() && last.stored.etag == now.stored.etag {
		return
	}
	a.engine.boot.mu.RLock()
	defer a.engine.boot.mu.RUnlock()
	if !a.engine.boot.told {
		return // it is told with all others
	}
	ctx, cancel := a.brief()
	defer cancel()
	err := a.engine.guard("reserve for domain", func() error {
		def, err := now.stored.open()
		if err != nil {
			return err
		}
		return reserver.Reserve(ctx, []*davitv1.Domain{def})
	})
	if err != nil {
		a.log.Warn("reserve what the definition names; that is done when the daemon starts again", zap.Error(err))
	}
}

// unreserve gives back what the driver has reserved for a domain that is gone, before the next can have its UUID.
func (a *actor) unreserve() error {
	reserver, ok := a.engine.driver.(driver.Reserver)
	if !ok {
		return nil
	}
	if a.engine.boot.postpone(a.uuid) {
		return nil
	}
	ctx, cancel := a.brief()
	defer cancel()
	err := reserver.Unreserve(ctx, a.uuid)
	if err != nil {
		a.log.Warn("give back what was reserved; that is done when the daemon starts again", zap.Error(err))
	}
	return err
}

// unreserveAll gives back what the driver has reserved for domains that went before it was told what is defined. One of the same UUID that
// is defined now keeps it.
func (e *Engine) unreserveAll(ctx context.Context, left []string) {
	reserver, ok := e.driver.(driver.Reserver)
	if !ok {
		return
	}
	for _, uuid := range left {
		if n := e.table.lookup(uuid); n != nil && n.load() != nil {
			continue
		}
		if err := reserver.Unreserve(ctx, uuid); err != nil {
			e.log.Warn("give back what was reserved; that is done when the daemon starts again", zap.String("uuid", uuid), zap.Error(err))
		}
	}
}
