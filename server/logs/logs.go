package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// Domains is what the logs ask about the domains that there are.
type Domains interface {
	// Lookup gives the name of a domain and whether it is active. ok is false where there is none.
	Lookup(uuid string) (name string, active, ok bool)
	// LookupName gives the UUID of the domain of a name.
	LookupName(name string) (uuid string, ok bool)
}

// Journal is what happened to domains.
type Journal interface {
	// Watch follows it.
	Watch(ctx context.Context, options events.WatchOptions) (*events.Watcher, error)
	// Newest is the position of the last event.
	Newest() *davitv1.EventPosition
}

// Options are what the logs are made of. All but Logger are required.
type Options struct {
	// Dir is the folder of the logs; it is made where missing. The logs are in a folder "d" in it.
	Dir string
	// Domains are those that there are.
	Domains Domains
	// Journal tells what becomes of them.
	Journal Journal
	// Keep is how long the log of a domain is kept after the domain is gone.
	Keep time.Duration
	// MaxGone is how many logs of domains that are gone are kept.
	MaxGone int
	// Logger hears of faults that no caller waits for.
	Logger *zap.Logger
}

// Logs are the logs of all domains. The methods may be called from any goroutine.
type Logs struct {
	options Options
	log     *zap.Logger
	root    *os.Root
	dir     *os.File // of the same folder

	mu   sync.Mutex // held while something is written or removed
	seen progress
}

// Dir is where the folders of domains are, in a folder of logs.
func Dir(dir string) string { return filepath.Join(dir, "d") }

// Open opens the folder. Nothing is read before it is asked for.
func Open(o Options) (*Logs, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	l := &Logs{options: o, log: o.Logger.Named("logs")}
	if err := os.MkdirAll(Dir(o.Dir), 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	var err error
	if l.root, err = os.OpenRoot(Dir(o.Dir)); err != nil {
		return nil, fmt.Errorf("open log folder: %w", err)
	}
	if l.dir, err = l.root.Open("."); err != nil {
		return nil, errors.Join(fmt.Errorf("open log folder: %w", err), l.root.Close())
	}
	return l, nil
}

// Close lets go of the folder. Readers must have ended.
func (l *Logs) Close() error { return errors.Join(l.dir.Close(), l.root.Close()) }

// uuids lists the domains that have a folder, in no order.
func (l *Logs) uuids() ([]string, error) {
	entries, err := l.entries()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, entry := range entries {
		if entry.IsDir() && isUUID(entry.Name()) {
			list = append(list, entry.Name())
		}
	}
	return list, nil
}

// entries are all that is in the folder.
func (l *Logs) entries() ([]fs.DirEntry, error) {
	dir, err := l.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	defer func() { _ = dir.Close() }() // it was only read
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	return entries, nil
}
