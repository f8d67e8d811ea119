// davitd is the daemon of davit: it defines, starts, watches and stops containers over gRPC.
//
//	davitd                      as root: /etc/davit/davitd.toml, /var/lib/davit, /run/davit
//	davitd --root DIR           everything in one folder, beside any other davitd of the host
//	davitd --root DIR --driver fake    without root: containers are only played
//
// It answers on davit.sock in its run folder. SIGTERM and SIGINT end it; its domains run on, and the next davitd on the same
// folders finds them. So they do when it is killed. SIGHUP lets it read certificates and roles again; a configuration with a
// fault changes nothing, and the log, systemd's status of the unit and davit doctor tell of it.
//
// Exit codes: 0 it was told to end; 1 it could not go on; 2 what it was asked for cannot be (arguments, configuration,
// rights); 3 another davitd has the state folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/monitor/slack"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// version is set by the linker.
var version = "unknown"

// threads are made when the daemon begins: as many as a busy one has.
const threads = 8

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1
	exitUsage = 2
	exitBusy  = 3
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, openDriver)) }

// run is the program. How drivers are made is a parameter for tests, which kill the daemon in the middle of it.
func run(args []string, stdout, stderr io.Writer, open driverMaker) int {
	o, err := parse(args, stdout)
	switch {
	case errors.Is(err, errHelp):
		return exitOK
	case err != nil:
		return fail(stderr, err, exitUsage)
	case o.version:
		_, _ = fmt.Fprintln(stdout, "davitd", version)
		return exitOK
	}
	config, err := o.config()
	if err != nil {
		return fail(stderr, err, exitUsage)
	}
	if o.printConfig {
		_, _ = fmt.Fprint(stdout, config.TOML())
		return exitOK
	}
	if o.check {
		if err := config.CheckFiles(); err != nil {
			return fail(stderr, err, exitUsage)
		}
		_, _ = fmt.Fprintln(stdout, "the configuration is good")
		return exitOK
	}
	if err := allowed(config); err != nil {
		return fail(stderr, err, exitUsage)
	}
	if err := serve(config, o.config, open); err != nil {
		return fail(stderr, err, code(err))
	}
	return exitOK
}

func fail(stderr io.Writer, err error, code int) int {
	_, _ = fmt.Fprintln(stderr, "davitd:", err)
	return code
}

// code is the exit code of a daemon that ended by an error.
func code(err error) int {
	var e *domain.Error
	if errors.As(err, &e) && e.Reason == davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY {
		return exitBusy
	}
	return exitFault
}

// allowed tells whether this user can do what the configuration asks for.
func allowed(c server.Config) error {
	if c.Driver == "lxc" && os.Geteuid() != 0 {
		return fmt.Errorf("open driver %q: it needs root, this is user %d; --driver fake --root DIR plays containers without it",
			c.Driver, os.Geteuid())
	}
	return nil
}

// serve runs the daemon until a signal ends it. When another signal asks for it the configuration is read again.
func serve(config server.Config, again func() (server.Config, error), open driverMaker) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, unix.SIGHUP)
	defer signal.Stop(hangups)
	if err := harden(); err != nil {
		return err
	}
	sockets, err := server.Activation()
	if err != nil {
		return err
	}
	log, level, err := config.Log.Logger()
	if err != nil {
		return err
	}
	if err = slack.Widen(threads); err != nil { // it only costs time
		log.Warn("the runtime watches over threads as ever", zap.Error(err))
	}
	interval, err := server.WatchdogInterval()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	var s *server.Server
	s, err = server.New(server.Options{
		Config: config, Driver: open, Logger: log, Level: level, Version: version, Sockets: sockets,
		Ready: func() {
			warn(log, server.Notify("READY=1"))
			go reload(ctx, hangups, again, s, log) // not before: systemd would take it for ready
			if interval > 0 {
				go server.Watchdog(ctx, interval, s.Alive, log)
			}
		},
	})
	if err != nil {
		return err
	}
	told := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(told)
		stop() // a second signal ends it at once
		log.Info("davitd ends; its domains run on")
		warn(log, server.Notify("STOPPING=1"))
	})
	err = s.Serve(ctx)
	if ctx.Err() != nil {
		<-told // systemd is to hear of it before the end
	}
	return err
}

// reload reads the configuration again at every signal, until ctx ends.
func reload(ctx context.Context, hangups <-chan os.Signal, again func() (server.Config, error), s *server.Server, log *zap.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		warn(log, server.Reloading(func() error { return s.ReloadFrom(again) }))
	}
}

// harden keeps other processes of the host out of this one, and its files to itself.
func harden() error {
	unix.Umask(0o077)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make process non-dumpable: %w", err)
	}
	// A log whose reader has gone must not end the daemon. Asking for the signal, unlike ignoring it, is not inherited
	// by the programs that are started.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	return nil
}
