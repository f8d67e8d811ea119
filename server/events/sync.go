package events

import (
	"errors"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// SyncInterval is how long an event may be in the kernel's hands only.
const SyncInterval = 100 * time.Millisecond

// syncer writes segments out to the disk, behind the journal's back: everything that was appended in an interval is one
// group.
type syncer struct {
	root   *os.Root
	logger *zap.Logger
	dirty  chan struct{} // holds one token while something was written and not synced
	quit   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	active  storage
	retired []storage // to be synced a last time and closed
}

func newSyncer(root *os.Root, logger *zap.Logger, active storage) *syncer {
	s := &syncer{
		root:   root,
		logger: logger,
		dirty:  make(chan struct{}, 1),
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
		active: active,
	}
	go s.run()
	return s
}

// written tells that the active segment has grown.
func (s *syncer) written() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// retire takes a segment that will not grow.
func (s *syncer) retire(old storage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = append(s.retired, old)
}

// begin names the segment that grows.
func (s *syncer) begin(active storage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = active
}

func (s *syncer) run() {
	defer close(s.done)
	for {
		select {
		case <-s.dirty:
		case <-s.quit:
			return
		}
		if err := s.flush(); err != nil {
			s.logger.Error("write journal to disk", zap.Error(err))
		}
		pause := time.NewTimer(SyncInterval)
		select {
		case <-pause.C:
		case <-s.quit:
			pause.Stop()
			return
		}
	}
}

// flush puts everything on disk.
func (s *syncer) flush() error {
	s.mu.Lock()
	active, retired := s.active, s.retired
	s.retired = nil
	s.mu.Unlock()
	var errs []error
	for _, f := range retired {
		errs = append(errs, f.Sync(), f.Close())
	}
	if len(retired) > 0 {
		errs = append(errs, syncFolder(s.root))
	}
	return errors.Join(append(errs, active.Sync())...)
}

// stop ends the goroutine and flushes a last time.
func (s *syncer) stop() error {
	close(s.quit)
	<-s.done
	return s.flush()
}
