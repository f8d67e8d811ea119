package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/health"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/server/admin"
	"github.com/davitd/davit/server/audit"
	"github.com/davitd/davit/server/auth"
	"github.com/davitd/davit/server/engine"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/host"
	"github.com/davitd/davit/server/logs"
	"github.com/davitd/davit/server/metric"
	"github.com/davitd/davit/server/store"
)

// StopLimit is how long Serve waits for the calls that are under way when it is told to end.
const StopLimit = 10 * time.Second

// Options are what a server is made of.
type Options struct {
	// Config is the configuration.
	Config Config
	// Driver makes the driver, once the state folder is locked; the instance id marks all that it makes on the host.
	Driver func(c Config, instance string, log *zap.Logger) (driver.Driver, error)
	// Logger of the daemon, and Level, which is what it logs; one that nobody looks at when it is the zero value.
	Logger *zap.Logger
	Level  zap.AtomicLevel
	// Version of the daemon, for GetVersion.
	Version string
	// Sockets were listened on before, see [Activation]. The others are made.
	Sockets map[string]net.Listener
	// Ready is called when calls are answered. May be nil.
	Ready func()
}

// Server is a daemon that has its state and its sockets, and does not answer yet.
type Server struct {
	options  Options
	log      *zap.Logger
	store    *store.Store
	journal  *events.Journal
	driver   driver.Driver
	engine   *engine.Engine
	logs     *logs.Logs
	audit    *audit.Log
	kernel   *audit.Kernel // the kernel's audit; nil where nothing is handed to it
	recorder *audit.Recorder
	starts   *metric.Starts
	table    auth.Table
	clients  admin.Clients
	gate     *admin.Gate
	network  *auth.Network         // nil where nobody comes in from the network
	stale    atomic.Pointer[error] // why the configuration could not be read again; nil when it could
	calls    *calls
	health   *health.Server
	lull     *lull
	run      *runFolder
	doors    []door
	end      context.CancelFunc // of the calls' context
}

// New opens everything. If it fails, everything is closed again.
func New(o Options) (*Server, error) {
	s := &Server{options: o, log: o.Logger, health: health.NewServer(), lull: newLull()}
	for _, step := range []func() error{s.openState, s.openEngine, s.openLogs, s.openServices, s.openAudit, s.openSockets} {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// openState locks and opens what is on disk.
func (s *Server) openState() error {
	paths := s.options.Config.Paths
	for _, dir := range []string{filepath.Dir(paths.Lib), filepath.Dir(paths.Run), filepath.Dir(paths.Log)} {
		// Where --root, or the configuration, names a folder that is not there.
		// Others pass through it to the read-only socket.
		err := os.Mkdir(dir, 0o711)
		if err == nil {
			err = os.Chmod(dir, 0o711) // the umask took bits away
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make state folder: %w", err)
		}
	}
	var err error
	if s.store, err = store.Open(store.Options{LibDir: paths.Lib, RunDir: paths.Run, Logger: s.log}); err != nil {
		return err
	}
	limits := s.options.Config.Events
	s.journal, err = events.Open(filepath.Join(paths.Lib, "events"), events.Options{
		MaxEvents: limits.MaxEvents, MaxBytes: limits.MaxBytes, MaxLag: limits.MaxLag, Logger: s.log,
	})
	return err
}

// openEngine makes driver and engine.
func (s *Server) openEngine() error {
	d, err := s.options.Driver(s.options.Config, s.store.Instance(), s.log)
	if err != nil { // and d is none, even where it is not nil
		return fmt.Errorf("open driver %q: %w", s.options.Config.Driver, err)
	}
	s.driver = d
	s.starts = metric.NewStarts()
	s.engine, err = engine.New(engine.Options{
		Driver:  s.driver,
		Store:   s.store,
		Journal: s.journal,
		Logger:  s.log,
		Host:    domain.HostDefaults{Arch: host.Architecture(), NewUUID: domain.NewUUID},
		Started: s.starts.Observe,
	})
	return err
}

// openLogs opens the logs of domains.
func (s *Server) openLogs() error {
	var err error
	limits := s.options.Config.Logs
	s.logs, err = logs.Open(logs.Options{
		Dir: s.options.Config.Paths.Log, Domains: s.engine, Journal: s.journal,
		Keep: limits.Keep, MaxGone: limits.MaxGone, Logger: s.log,
	})
	return err
}

// caller tells callers apart by their user or certificate.
func caller(ctx context.Context) string {
	p, _ := auth.PeerOf(ctx)
	return p.Identity()
}
