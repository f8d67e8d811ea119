package monitor

import (
	"context"
	"os"
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

	mu      sync.Mutex
	deposit *client.Deposit
}

func newLink(folder *os.File, uuid, generation string, log *logline.Log) *link {
	return &link{folder: folder, uuid: uuid, generation: generation, log: log}
}

// Deposit keeps descriptors at the keeper. A keeper that is away does not hold up the container for long.
func (l *link) Deposit(pid int, pidfd *os.File, consoles []*os.File) {
	deposit, err := l.copies(pid, pidfd, consoles)
	if err != nil {
		l.log.Write(logline.Error, "deposit failed", logline.Err(err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.deposit == nil
	l.drop()
	l.deposit = deposit
	if l.folder == nil {
		return
	}
	keeper, err := l.give()
	if err != nil {
		l.log.Write(logline.Warn, "keeper is away", logline.Err(err))
	}
	if first {
		go l.watch(keeper)
	} else if keeper != nil {
		_ = keeper.Close()
	}
}

// Conclude keeps at the keeper how the run of init ended whose descriptors it has: should the monitor be killed before it could
// tell, the keeper can.
func (l *link) Conclude(exit *monitorv1.Exit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deposit == nil || l.folder == nil {
		return
	}
	l.deposit.Exit = exit
	keeper, err := l.give()
	if err != nil {
		l.log.Write(logline.Warn, "keeper is away", logline.Err(err))
		return
	}
	_ = keeper.Close()
}

// copies makes the link's own descriptors of a run of init.
func (l *link) copies(pid int, pidfd *os.File, consoles []*os.File) (*client.Deposit, error) {
	d := &client.Deposit{UUID: l.uuid, Generation: l.generation, InitPID: pid}
	var err error
	if d.Pidfd, err = wire.Duplicate(pidfd); err != nil {
		return nil, err
	}
	for _, console := range consoles {
		own, err := wire.Duplicate(console)
		if err != nil {
			wire.CloseAll(append(d.Consoles, d.Pidfd))
			return nil, err
		}
		d.Consoles = append(d.Consoles, own)
	}
	return d, nil
}

// give gives the keeper what is deposited.
func (l *link) give() (*client.Keeper, error) {
	ctx, cancel := context.WithTimeout(context.Background(), depositTimeout)
	defer cancel()
	keeper, err := client.DialKeeper(ctx, l.folder)
	if err != nil {
		return nil, err
	}
	if err := keeper.Deposit(ctx, *l.deposit); err != nil {
		_ = keeper.Close()
		return nil, err
	}
	return keeper, nil
}

// watch waits for the keeper to go, and gives the next one everything again.
func (l *link) watch(keeper *client.Keeper) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		if keeper != nil {
			keeper.Gone(context.Background())
			_ = keeper.Close()
			wait = firstRetry
		}
		<-time.After(wait)
		keeper = l.again()
	}
}

// again makes the deposit again, if the keeper is there.
func (l *link) again() *client.Keeper {
	l.mu.Lock()
	defer l.mu.Unlock()
	keeper, err := l.give()
	if err == nil {
		l.log.Write(logline.Info, "keeper is back")
	}
	return keeper
}

// drop lets go of the copies.
func (l *link) drop() {
	if l.deposit != nil {
		wire.CloseAll(append(l.deposit.Consoles, l.deposit.Pidfd))
	}
}
