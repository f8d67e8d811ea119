package monitor

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Options say what a monitor is for.
type Options struct {
	// UUID of the domain, and generation of its start.
	UUID, Generation string
	// Folder of the domain's state, where the monitor listens.
	Folder *os.File
	// Keeper is the run folder, where the keeper listens; nil if there is none.
	Keeper *os.File
	// Connection is of a caller who asks before the monitor listens, and is served as soon as it does; nil if there is none.
	Connection *os.File
	// Launcher makes the container.
	Launcher Launcher
	// Log may be nil.
	Log *logline.Log
	// Ready is called when the monitor listens.
	Ready func() error
}

// maxConns is the most connections at once: each session and each reader of a console is one.
const maxConns = 512

// monitor is what the connections share.
type monitor struct {
	container *Container
	link      *link
	log       *logline.Log

	outlets outlets

	mu      sync.Mutex
	watch   *wire.Conn
	quit    chan struct{} // closed when the monitor is to go
	quitted sync.Once
}

// Run is a monitor. It returns when it was told to quit.
func Run(o Options) error {
	ignoreSignals()
	listener, err := wire.Listen(o.Folder, client.MonitorSocket)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	link := newLink(o.Keeper, o.UUID, o.Generation, o.Log)
	m := &monitor{container: NewContainer(o.Launcher, link, o.Log), link: link, log: o.Log, quit: make(chan struct{})}
	m.container.offsets.folder = o.Folder
	version := wire.Version()
	server := &wire.Server{
		Hello: &monitorv1.Hello{
			Version: version, Uuid: o.UUID, Generation: o.Generation, Pid: uint32(os.Getpid()),
		},
		Limit: maxConns, Talk: m.talk,
		Fault: func(err error) { o.Log.Write(logline.Warn, "connection failed", logline.Err(err)) },
	}
	defer server.HangUp()
	o.Log.Write(logline.Info, "monitor listens", logline.Int("pid", os.Getpid()), logline.String("uuid", o.UUID),
		logline.String("generation", o.Generation), logline.String("version", version))
	// Nothing is read of the connection before: where this monitor ends until then, another is given it.
	if err = o.Ready(); err != nil {
		return err
	}
	if o.Connection != nil {
		first, failed := wire.Take(o.Connection)
		if failed != nil {
			o.Log.Write(logline.Error, "connection failed", logline.Err(failed)) // whoever asks looks there once it is closed
			return errors.Join(failed, o.Connection.Close())
		}
		server.Attend(first)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
		// It cannot be reached any more. The container matters more: it is seen to its end.
		o.Log.Write(logline.Error, "listening failed", logline.Err(err))
		<-m.container.Ended()
	case <-m.quit:
	}
	o.Log.Write(logline.Info, "monitor quits")
	select {
	case <-m.container.Ended():
		m.outlets.drain(drainTime)
		m.container.offsets.remove()
	default: // it never had a container: another monitor may still adopt one
	}
	return errors.Join(err, wire.Remove(o.Folder, client.MonitorSocket))
}

// drainTime is how long a monitor that quits waits for readers who do not read.
const drainTime = 200 * time.Millisecond

// ignoreSignals makes the monitor deaf to what would end it; the launch gives its children the default again.
func ignoreSignals() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGUSR1,
		syscall.SIGUSR2, syscall.SIGALRM)
}

// watching makes a connection the one that events are sent to, in place of another.
func (m *monitor) watching(conn *wire.Conn) {
	m.replace(&m.watch, conn)
}

// replace ends a connection of which there is one at a time in favour of another.
func (m *monitor) replace(current **wire.Conn, conn *wire.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if *current != nil {
		_ = (*current).Close() // it may be closed already
	}
	*current = conn
}

// leave makes Run return.
func (m *monitor) leave() { m.quitted.Do(func() { close(m.quit) }) }
