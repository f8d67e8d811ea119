package native

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"github.com/davitd/davit/driver/monitor/client"
)

// minder sees to it that there is a keeper as long as there are domains: when one is killed, another takes its place at once, and the
// monitors, which look for it, give that one what it is to keep.
type minder struct {
	mu      sync.Mutex
	minded  *client.Keeper
	stop    context.CancelFunc
	closed  bool
	running sync.WaitGroup
}

// mind watches a keeper from now on, in place of the one before.
func (m *minder) mind(d *Driver, k *client.Keeper) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || k == nil || m.minded == k {
		return
	}
	if m.stop != nil {
		m.stop()
	}
	ctx, stop := context.WithCancel(context.Background())
	m.minded, m.stop = k, stop
	m.running.Go(func() {
		k.Gone(ctx)
		if ctx.Err() == nil && d.hasDomains() {
			d.replaceKeeper(ctx, k)
		}
	})
}

// close ends the watch.
func (m *minder) close() {
	m.mu.Lock()
	m.closed = true
	if m.stop != nil {
		m.stop()
	}
	m.mu.Unlock()
	m.running.Wait()
}

func (d *Driver) hasDomains() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.lives) > 0
}

// replaceKeeper starts a keeper in the place of one that is gone, unless somebody has done it already.
func (d *Driver) replaceKeeper(ctx context.Context, gone *client.Keeper) {
	for wait := newPatience(); ; {
		k, err := d.findKeeper(ctx, gone)
		if err == nil {
			d.log.Warn("the keeper was killed; another took its place", zap.Uint32("keeper", k.Hello().GetPid()))
			return
		}
		d.log.Error("the keeper was killed, and no other can be started", zap.Error(err))
		if wait.next(ctx) != nil {
			return
		}
	}
}
