// Package testdaemon runs a whole daemon inside a test, sockets and all, over the fake driver, so that clients are tested
// against the real server and not against what they believe of it.
package testdaemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	"github.com/davitd/davit/server"
	"github.com/davitd/davit/server/logs"
)

// Version is what the daemon says that it is.
const Version = "0.1.0-test"

// Daemon is a running daemon.
type Daemon struct {
	// Driver makes its containers; it lives on over [Daemon.Restart], as containers do.
	Driver *fake.Driver
	// Socket is where it listens, ReadOnly where everybody may look.
	Socket, ReadOnly string
	// Network is where it listens on the network, if it does.
	Network Network

	tb     testing.TB // nil when there is no test
	config server.Config

	mu    sync.Mutex
	stop  context.CancelFunc // nil when it does not run
	ended chan error
}

// Setup is what a daemon is made of.
type Setup struct {
	Config server.Config
	Driver fake.Options
}

// Start runs a daemon with its state in a temporary folder until the test ends.
func Start(tb testing.TB) *Daemon {
	tb.Helper()
	return StartAs(tb, func(*Setup) {})
}

// StartAs is Start of a daemon that is not as all are.
func StartAs(tb testing.TB, change func(*Setup)) *Daemon {
	tb.Helper()
	d := newDaemon(tb.TempDir(), change)
	d.tb = tb
	if err := d.run(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.Stop)
	return d
}

// Run runs a daemon until stop is called, for examples, which have no test.
func Run() (d *Daemon, stop func(), err error) {
	dir, err := os.MkdirTemp("", "davit-")
	if err != nil {
		return nil, nil, err
	}
	d = newDaemon(dir)
	if err := d.run(); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return d, func() {
		d.Stop()
		_ = os.RemoveAll(dir)
	}, nil
}

func newDaemon(dir string, changes ...func(*Setup)) *Daemon {
	s := Setup{Config: server.Rooted(dir)}
	s.Config.Driver = "fake"
	s.Driver.LogDir = logs.Dir(s.Config.Paths.Log)
	for _, change := range changes {
		change(&s)
	}
	config := s.Config
	return &Daemon{
		Driver:   fake.New(s.Driver),
		Socket:   filepath.Join(config.Paths.Run, server.AdminSocket),
		ReadOnly: filepath.Join(config.Paths.Run, server.ReadOnlySocket),
		config:   config,
	}
}

// Client gives a client of the daemon, closed when the test ends.
func (d *Daemon) Client() *client.Client {
	d.tb.Helper()
	c, err := client.Dial(d.Socket)
	if err != nil {
		d.tb.Fatal(err)
	}
	d.tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Restart stops the daemon and starts it again on the same state. Its domains do not notice.
func (d *Daemon) Restart() {
	d.Stop()
	if err := d.run(); err != nil {
		d.fail(err)
	}
}

// run starts the daemon and returns once it answers.
func (d *Daemon) run() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ready := make(chan struct{})
	logger, address := zap.NewNop(), func() string { return "" }
	if len(d.config.TLS.Listen) > 0 {
		logger, address = heard()
	}
	s, err := server.New(server.Options{
		Config: d.config, Logger: logger, Version: Version, Ready: func() { close(ready) },
		Driver: func(server.Config, string, *zap.Logger) (driver.Driver, error) { return d.Driver, nil },
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	select {
	case err := <-ended:
		stop()
		return err
	case <-ready:
		d.stop, d.ended = stop, ended
		if d.Network.Address = address(); d.Network.Address != "" {
			d.config.TLS.Listen = []string{d.Network.Address} // the same after a restart
		}
		return nil
	}
}

// Stop ends the daemon as it ends on a signal, with every connection to it. It may be called again.
func (d *Daemon) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop == nil {
		return
	}
	d.stop()
	d.stop = nil
	if err := <-d.ended; err != nil {
		d.fail(err)
	}
}

func (d *Daemon) fail(err error) {
	if d.tb == nil {
		panic(err)
	}
	d.tb.Error(err)
}
