package cli

import (
	"context"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"

	"github.com/davitd/davit/client"
)

// heldSignals is the user's signals while a command runs in a domain: they are the command's and not ours. Those that
// come while it is started are kept for it.
type heldSignals struct {
	kept    chan os.Signal
	counted chan os.Signal // the same, to notice a user who signals again
	once    sync.Once
	running chan struct{}
	abandon context.CancelFunc
}

// holdSignals takes the signals. The returned context is for the command and no longer ends by one, but by the second that
// comes before the command runs: then a daemon hangs that the user does not want to wait for. One that came before is
// the error.
func holdSignals(ctx context.Context) (context.Context, *heldSignals, error) {
	h := &heldSignals{kept: make(chan os.Signal, 8), counted: make(chan os.Signal, 8), running: make(chan struct{})}
	all := slices.Collect(maps.Keys(forwarded()))
	signal.Notify(h.kept, all...)
	signal.Notify(h.counted, all...)
	own, abandon := context.WithCancel(context.WithoutCancel(ctx))
	h.abandon = abandon
	if err := ctx.Err(); err != nil {
		h.release()
		return nil, nil, err
	}
	go h.count()
	return own, h, nil
}

func (h *heldSignals) count() {
	for range 2 {
		select {
		case <-h.counted:
		case <-h.running:
			return
		}
	}
	h.abandon()
}

// started tells that the command runs.
func (h *heldSignals) started() {
	h.once.Do(func() {
		signal.Stop(h.counted)
		close(h.running)
	})
}

// forward hands the signals on to the command until ctx ends.
func (h *heldSignals) forward(ctx context.Context, s *client.Session) {
	names := forwarded()
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-h.kept:
			if err := s.Signal(names[sig]); err != nil {
				return
			}
		}
	}
}

// release gives the signals back, and ends what still runs with the context.
func (h *heldSignals) release() {
	h.started()
	signal.Stop(h.kept)
	h.abandon()
}
