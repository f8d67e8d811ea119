package native

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// undoTime is how long undoing may take when the caller's own time is over.
	undoTime = 20 * time.Second
	// undoAgain is the time from one try to the next where a process did not die.
	undoAgain = time.Second
)

// undo removes what was made, the newest first, also when ctx has ended. What the monitor runs, which uses all of it, is ended before; if a
// process of that cannot die, nothing is removed before it has: nobody else may have its host ids, files or devices. Until then the domain
// cannot be started.
func (s *start) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	err := s.unmake(ctx)
	if errors.Is(err, errAlive) && s.d.aftermath.begin(s.unmakeLater, s.letGo) { //nolint:contextcheck // it goes on when the caller has gone
		return err
	}
	s.letGo()
	if err != nil {
		s.d.log.Error("a failed start could not be undone", zap.String("uuid", s.spec.UUID), zap.Error(err))
	}
	return err
}

// unmake ends what runs, and removes what was made unless that cannot end.
func (s *start) unmake(ctx context.Context) error {
	var errs []error
	if s.end != nil {
		err := s.end(ctx)
		if errors.Is(err, errAlive) {
			return err
		}
		errs = append(errs, err)
	}
	for len(s.made) > 0 {
		last := len(s.made) - 1
		errs = append(errs, s.made[last](ctx))
		s.made = s.made[:last]
	}
	return errors.Join(errs...)
}

// unmakeLater tries again until all that the start left is gone, or ctx ends: the next davitd finds it by its record then.
func (s *start) unmakeLater(ctx context.Context) {
	for {
		select {
		case <-time.After(undoAgain):
		case <-ctx.Done():
			return
		}
		err := s.unmake(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errAlive) {
			continue
		}
		if err != nil {
			s.d.log.Error("a failed start could not be undone", zap.String("uuid", s.spec.UUID), zap.Error(err))
		} else {
			s.d.log.Info("a failed start is undone, now that its last process has died", zap.String("uuid", s.spec.UUID))
		}
		return
	}
}

// letGo closes what the start has open.
func (s *start) letGo() {
	if s.held != nil {
		s.held.close()
	}
	s.logs.close()
	s.i.letGo()
}

// aftermath is what goes on in the background until the driver is closed.
type aftermath struct {
	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // the driver's life
	cancel  context.CancelFunc
	closed  bool
	running sync.WaitGroup
}

// begin has work done, and then end, in the background; false if the driver is closed.
func (a *aftermath) begin(work func(context.Context), end func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	if a.ctx == nil {
		a.ctx, a.cancel = context.WithCancel(context.Background())
	}
	ctx := a.ctx
	a.running.Go(func() {
		defer end()
		work(ctx)
	})
	return true
}

// close ends it.
func (a *aftermath) close() {
	a.mu.Lock()
	a.closed = true
	if a.cancel != nil {
		a.cancel()
	}
	a.mu.Unlock()
	a.running.Wait()
}
