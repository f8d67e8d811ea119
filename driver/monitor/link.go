package monitor

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// depositTimeout is how long a start waits for the keeper; without it the deposit is made later.
	depositTimeout = 2 * time.Second
	// firstRetry and lastRetry are how long it takes until the keeper is looked for again.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// link keeps the keeper in possession of what must outlive the monitor. When the keeper dies davitd starts a new one, and
// the link gives that one everything again. It lives as long as the process does.
type link struct {
	folder           *os.File
	uuid, generation string
	log              *logline.Log

	mu               sync.Mutex
	deposit          *client.Deposit
	held, namespaces []*os.File
	watched          bool
	keeper           *client.Keeper // the one that was given something last, nil if it is away
}

func newLink(folder *os.File, uuid, generation string, log *logline.Log) *link {
	return &link{folder: folder, uuid: uuid, generation: generation, log: log}
}

// Deposit keeps a run of init at the keeper. A keeper that is away does not hold up the container for long.
func (l *link) Deposit(run client.Deposit) {
	files, err := copies(slices.Concat(run.Consoles, []*os.File{run.Pidfd}))
	if err != nil {
		l.log.Write(logline.Error, "deposit failed", logline.Err(err))
		return
	}
	last := len(files) - 1
	run.UUID, run.Generation, run.Consoles, run.Pidfd = l.uuid, l.generation, files[:last], files[last]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deposit != nil {
		l.deposit.Close()
	}
	l.deposit = &run
	l.send(func(ctx context.Context, k *client.Keeper) error { return k.Deposit(ctx, run) })
}

// Update keeps at the keeper what became of the run of init whose descriptors it has: should the monitor be killed before it could
// tell how it ended, the keeper can.
func (l *link) Update(change func(run *client.Deposit)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deposit == nil {
		return
	}
	change(l.deposit)
	l.send(func(ctx context.Context, k *client.Keeper) error { return k.Deposit(ctx, *l.deposit) })
}

// Hold keeps at the keeper what is held and shared, in place of what was.
func (l *link) Hold(held, namespaces []*os.File) {
	files, err := copies(slices.Concat(held, namespaces))
	if err != nil {
		l.log.Write(logline.Error, "deposit failed", logline.Err(err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(files)+len(l.held)+len(l.namespaces) == 0 {
		return
	}
	wire.CloseAll(l.held)
	wire.CloseAll(l.namespaces)
	l.held, l.namespaces = files[:len(held)], files[len(held):]
	l.send(l.giveHeld)
}

// giveHeld gives what is held and shared. A keeper of an older davit does not take it.
func (l *link) giveHeld(ctx context.Context, k *client.Keeper) error {
	err := k.Hold(ctx, l.uuid, l.held, l.namespaces)
	if wire.KindOf(err) == monitorv1.ErrorKind_ERROR_KIND_INVALID {
		return nil
	}
	return err
}

// copies duplicates files.
func copies(files []*os.File) ([]*os.File, error) {
	own := make([]*os.File, 0, len(files))
	for _, file := range files {
		duplicate, err := wire.Duplicate(file)
		if err != nil {
			wire.CloseAll(own)
			return nil, err
		}
		own = append(own, duplicate)
	}
	return own, nil
}

// send gives the keeper something, and from then on each keeper that comes after it everything.
func (l *link) send(what func(context.Context, *client.Keeper) error) {
	if l.folder == nil {
		return
	}
	if err := l.give(what); err != nil {
		l.log.Write(logline.Warn, "keeper is away", logline.Err(err))
	}
	if !l.watched {
		l.watched = true
		go l.watch(l.keeper)
	}
}

// give gives the keeper something, over the connection there is if it is still good.
func (l *link) give(what func(context.Context, *client.Keeper) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), depositTimeout)
	defer cancel()
	if l.keeper != nil {
		err = what(ctx, l.keeper)
		if _, told := errors.AsType[*wire.Error](err); err == nil || told {
			return err
		}
		l.drop(l.keeper)
	}
	keeper, err := client.DialKeeper(ctx, l.folder)
	if err != nil {
		return err
	}
	if err = what(ctx, keeper); err != nil {
		_ = keeper.Close()
		return err
	}
	l.keeper = keeper
	return nil
}

// drop lets go of a keeper.
func (l *link) drop(keeper *client.Keeper) {
	if keeper != nil && l.keeper == keeper {
		_ = keeper.Close()
		l.keeper = nil
	}
}

// giveAll gives the keeper everything.
func (l *link) giveAll(ctx context.Context, k *client.Keeper) error {
	if l.deposit != nil {
		if err := k.Deposit(ctx, *l.deposit); err != nil {
			return err
		}
	}
	if len(l.held)+len(l.namespaces) == 0 {
		return nil
	}
	return l.giveHeld(ctx, k)
}

// watch waits for the keeper to go, and gives the next one everything again.
func (l *link) watch(keeper *client.Keeper) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		if keeper != nil {
			if err := keeper.Lost(context.Background()); err != nil {
				// It is as good as before; it is watched again once there may be what that takes.
				l.log.Write(logline.Warn, "watch keeper", logline.Err(err))
				<-time.After(wait)
				continue
			}
			wait = firstRetry
		}
		<-time.After(wait)
		keeper = l.again(keeper)
	}
}

// again makes the deposit again in place of a keeper that is gone, if another is there.
func (l *link) again(gone *client.Keeper) *client.Keeper {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(gone)
	if err := l.give(l.giveAll); err != nil {
		return nil
	}
	l.log.Write(logline.Info, "keeper is back")
	return l.keeper
}
