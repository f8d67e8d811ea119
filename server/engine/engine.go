package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/store"
)

// Store keeps definitions over restarts of the host, and the state of domains over restarts of the daemon. Its methods
// return once what they write is safe, and change nothing when they fail.
type Store interface {
	// Load reads all definitions; the names of files that could not be read come beside them.
	Load() ([]store.Definition, []string, error)
	// Put stores a definition, new or in place of the one with its UUID.
	Put(def *davitv1.Domain) error
	// Delete removes a definition and its autostart.
	Delete(uuid string) error
	// SetAutostart tells whether a defined domain starts with the daemon.
	SetAutostart(uuid string, on bool) error
	// PutStatus stores the state of a domain.
	PutStatus(status store.Status) error
	// DeleteStatus removes it.
	DeleteStatus(uuid string) error
	// Statuses reads all.
	Statuses() ([]store.Status, error)
	// PutRequest stores what is known of a request that carries an id.
	PutRequest(r store.Request) error
	// DeleteRequest forgets one.
	DeleteRequest(r store.Request) error
	// Requests reads all.
	Requests() ([]store.Request, error)
	// NextID is a number that no domain had since the host was started.
	NextID() (uint32, error)
	// Autostarted tells whether SetAutostarted was called since the host was started.
	Autostarted() (bool, error)
	// SetAutostarted notes that autostart is done.
	SetAutostarted() error
}

// Journal keeps events in order.
type Journal interface {
	// Append stores an event, then sends it to those who watch.
	Append(event *davitv1.Event, origin events.Origin) (*davitv1.EventPosition, error)
	// Origin is that of the last event of a domain that had one.
	Origin(uuid string) (events.Origin, bool)
	// Forget drops the origin of a domain that has no state any more.
	Forget(uuid string)
	// Newest is the position of the last event.
	Newest() *davitv1.EventPosition
	// Oldest is the position of the first event that is kept.
	Oldest() *davitv1.EventPosition
	// Watch follows the journal.
	Watch(ctx context.Context, options events.WatchOptions) (*events.Watcher, error)
}

// Options are the parts that an engine works with. All but Logger and the limits are required.
type Options struct {
	// Driver makes containers. The engine does not close it.
	Driver driver.Driver
	// Store keeps definitions and states.
	Store Store
	// Journal keeps events.
	Journal Journal
	// Host fills in what a definition leaves to the host.
	Host domain.HostDefaults
	// Logger hears of state changes and of faults that no caller waits for.
	Logger *zap.Logger
	// JobLimit is how long a job may take in the driver, one minute when 0. A job that is given up leaves the domain as
	// the driver's events tell.
	JobLimit time.Duration
	// Parallel is how many domains are recovered or started by autostart at once, 16 when 0.
	Parallel int
	// Started, if not nil, hears of each start that succeeded: where its time went, and how long it took. It may be called by many at once.
	Started func(phases []*davitv1.StartPhase, took time.Duration)
}

// Engine is the table of domains. Its methods may be called from any goroutine.
type Engine struct {
	driver   driver.Driver
	store    Store
	journal  Journal
	host     domain.HostDefaults
	log      *zap.Logger
	jobLimit time.Duration
	parallel int
	started  func([]*davitv1.StartPhase, time.Duration)

	table    table
	answers  answers
	blind    [32]byte // key of the etags of those who may only look
	sessions sessions
	boot     boot

	closing chan struct{}   // closed when Close begins
	aborted context.Context //nolint:containedctx // ends the jobs that Close did not wait for
	abort   context.CancelFunc
	once    sync.Once
	actors  sync.WaitGroup
}

// New makes an engine without domains; [Engine.Recover] finds them.
func New(o Options) (*Engine, error) {
	switch {
	case o.Driver == nil:
		return nil, errors.New("make engine: no driver")
	case o.Store == nil:
		return nil, errors.New("make engine: no store")
	case o.Journal == nil:
		return nil, errors.New("make engine: no journal")
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.JobLimit == 0 {
		o.JobLimit = time.Minute
	}
	if o.Parallel == 0 {
		o.Parallel = 16
	}
	e := &Engine{
		driver: o.Driver, store: o.Store, journal: o.Journal, host: o.Host, log: o.Logger.Named("engine"),
		jobLimit: o.JobLimit, parallel: o.Parallel, started: o.Started, closing: make(chan struct{}),
		boot: newBoot(o.Parallel),
	}
	_, _ = rand.Read(e.blind[:]) // never fails
	e.answers.forget = e.forgetRequest
	e.aborted, e.abort = context.WithCancel(context.Background())
	return e, nil
}

// Done is closed once the engine is closing.
func (e *Engine) Done() <-chan struct{} { return e.closing }

// Close stops the actors and leaves the domains running. Calls that wait end with code UNAVAILABLE, reason
// SHUTTING_DOWN, and so do consoles and commands. Jobs that have begun are waited for until ctx ends, then they are told
// to give up. Neither the driver nor the store is closed.
func (e *Engine) Close(ctx context.Context) error {
	e.once.Do(func() {
		e.table.close()
		close(e.closing)
	})
	e.sessions.close()
	stop := context.AfterFunc(ctx, e.abort)
	e.actors.Wait()
	if inTime := stop(); !inTime {
		return fmt.Errorf("close engine: %w", context.Cause(ctx))
	}
	e.abort()
	return nil
}
