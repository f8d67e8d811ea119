package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// adoptLimit is how long what nobody owns waits to be swept for a run of which it cannot be told what became of it.
const adoptLimit = 10 * time.Second

// boot is what is left to be done once an engine answers.
type boot struct {
	found  []*job       // one for each domain that has a finding
	unread []driver.Ref // runs whose state means nothing to this daemon; they are left alone
	turns  chan struct{}

	swept chan struct{} // closed when nothing is left of what nobody owns: runs begin from then on
	mu    sync.RWMutex
	told  bool     // the driver knows what is defined
	left  []string // UUIDs of domains that went before it did
}

func newBoot(parallel int) boot {
	return boot{turns: make(chan struct{}, 2*parallel), swept: make(chan struct{})}
}

// begin waits for a turn to look for a run, and end gives it back. There are twice as many as Adopt uses, so that those who need a domain
// now find one.
func (b *boot) begin(ctx context.Context) (end func()) {
	select {
	case b.turns <- struct{}{}:
		return func() { <-b.turns }
	case <-ctx.Done():
		return func() {}
	}
}

// Recover is Load and Adopt.
func (e *Engine) Recover(ctx context.Context) error {
	if err := e.Load(); err != nil {
		return err
	}
	return e.Adopt(ctx)
}

// Adopt finds the runs that went on without a daemon, many at once, while calls are answered: what they did meanwhile is told, and what was
// left half done is finished. When that is decided of all, what belongs to nobody is swept; only then the first new run begins. A run of
// which nothing can be learned for a while is left alone, and asked after again until it answers. It is called once, after Load.
func (e *Engine) Adopt(ctx context.Context) error {
	begun := time.Now()
	found := e.boot.found
	e.boot.found = nil
	var group errgroup.Group
	group.SetLimit(e.parallel)
	for _, j := range found {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			e.awaitFinding(ctx, j)
			return nil
		})
	}
	_ = group.Wait() // each one's error was logged
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("recover domains: %w", err)
	}
	select {
	case <-e.closing:
		return shuttingDown() // what was not decided is not swept around
	default:
	}
	defined, active := e.sweep(ctx)
	close(e.boot.swept)
	e.finishResets(ctx) // not before the sweep, which knows the runs only that there were
	e.log.Info("domains recovered", zap.Int("defined", defined), zap.Int("active", active), zap.Duration("took", time.Since(begun)))
	return nil
}

// awaitFinding has a domain adopted.
func (e *Engine) awaitFinding(ctx context.Context, j *job) {
	if err := j.entry.rouse(); err != nil {
		return
	}
	patience := time.NewTimer(adoptLimit)
	defer patience.Stop()
	select {
	case <-j.done:
	case <-patience.C:
		e.log.Warn("a domain is not adopted yet", zap.String("uuid", j.entry.uuid))
	case <-ctx.Done():
	case <-e.closing:
	}
}

// sweep removes what belongs to nobody, and tells the driver what is defined. Neither is waited for by who defines and undefines meanwhile;
// that is told afterwards.
func (e *Engine) sweep(ctx context.Context) (defined, active int) {
	keep := e.boot.unread
	for _, n := range e.table.all() {
		s := n.load()
		if s == nil {
			continue
		}
		if s.persistent() {
			defined++
			keep = append(keep, driver.Ref{UUID: s.uuid})
		}
		if s.active() {
			active++
			keep = append(keep, driver.Ref{UUID: s.uuid, Generation: s.journal.generation})
		}
	}
	if err := e.driver.Sweep(ctx, keep); err != nil {
		e.log.Error("sweep what nobody owns", zap.Error(err))
	}
	e.boot.mu.Lock()
	defer e.boot.mu.Unlock()
	e.reserveAll(ctx)
	e.unreserveAll(ctx, e.boot.left)
	e.boot.told, e.boot.left = true, nil
	return defined, active
}

// postpone notes that a domain is gone whose reservations the driver cannot be told of yet; false if it can.
func (b *boot) postpone(uuid string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.told {
		b.left = append(b.left, uuid)
	}
	return !b.told
}

// awaitSweep lets a call that begins a run wait until that may be, as long as the call does.
func (e *Engine) awaitSweep(ctx context.Context, name string) error {
	select {
	case <-e.boot.swept:
		return nil
	default:
	}
	waiting, cancel := turn(ctx)
	defer cancel()
	select {
	case <-e.boot.swept:
		return nil
	case <-waiting.Done():
		return busy(name, "start domain", recoverJob)
	case <-e.closing:
		return shuttingDown()
	}
}

// called is the name in a reference, for messages.
func called(ref *davitv1.DomainRef) string {
	switch r := ref.GetRef().(type) {
	case *davitv1.DomainRef_Uuid:
		return r.Uuid
	case *davitv1.DomainRef_Id:
		return formatID(r.Id)
	}
	return ref.GetName()
}
