// Package keeper is the process above all monitors of a davitd instance.
//
// It is their parent, and as a subreaper the parent of last resort of all that they leave behind: when a monitor is
// killed, its container's init becomes the keeper's child, and the keeper can say exactly how it ended. It keeps a second
// copy of each domain's most precious descriptors, init's pidfd and the masters of the consoles, for a monitor that adopts
// such a container. It does nothing else, so that there is little that it could die of: a signal, or that the kernel has no memory or thread
// for it.
//
// davitd starts it (client.StartKeeper) and it outlives davitd. If it is killed nevertheless, monitors and containers run
// on; davitd starts another, and the monitors give that one their descriptors again. It is then the parent of none of
// them, and can tell an exit only as far as the kernel remembers it with a pidfd (from 6.15).
package keeper

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// maxConns is the most connections at once: each monitor holds one, and davitd a few.
const maxConns = 16 << 10

// Options say where a keeper listens.
type Options struct {
	// Folder is the run folder, where the keeper listens.
	Folder *os.File
	// Log may be nil.
	Log *logline.Log
	// Ready is called when the keeper listens.
	Ready func() error
}

// keeper is what the connections share.
type keeper struct {
	log    *logline.Log
	family *family

	quit    chan struct{} // closed when the keeper is to go
	quitted sync.Once
}

// Run is a keeper. It returns when it was told to quit.
func Run(o Options) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGUSR1,
		syscall.SIGUSR2, syscall.SIGALRM)
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, syscall.SIGCHLD)
	defer signal.Stop(deaths)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	listener, err := wire.Listen(o.Folder, client.KeeperSocket)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	k := &keeper{log: o.Log, family: newFamily(o.Folder, o.Log), quit: make(chan struct{})}
	defer k.family.close()
	server := &wire.Server{
		Hello: &monitorv1.Hello{Version: wire.Version(), Pid: uint32(os.Getpid())},
		Limit: maxConns, Talk: k.talk,
		Fault: func(err error) { o.Log.Write(logline.Warn, "connection failed", logline.Err(err)) },
	}
	defer server.HangUp()
	o.Log.Write(logline.Info, "keeper listens", logline.Int("pid", os.Getpid()),
		logline.String("version", wire.Version()))
	if err := o.Ready(); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	for {
		select {
		case <-deaths:
			k.family.reap()
		case err := <-served:
			// It cannot be reached any more; davitd will start another.
			return err
		case <-k.quit:
			o.Log.Write(logline.Info, "keeper quits")
			return wire.Remove(o.Folder, client.KeeperSocket)
		}
	}
}

// leave makes Run return.
func (k *keeper) leave() { k.quitted.Do(func() { close(k.quit) }) }
