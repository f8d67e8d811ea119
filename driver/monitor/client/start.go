package client

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/program"
)

// keeperLock is the file in the run folder whose lock who starts a keeper holds.
const keeperLock = "keeper.lock"

// SealedProgram copies the program of the monitors into sealed memory. Where the system forbids programs in memory it
// gives the file itself, with sealed false, which is worth a warning.
func SealedProgram(path string) (file *os.File, sealed bool, err error) { return program.Sealed(path) }

// KeeperOptions say how to start a keeper.
type KeeperOptions struct {
	// Folder is the run folder, where it listens.
	Folder *os.File
	// Program to run, of [SealedProgram].
	Program *os.File
	// Log of the keeper, open for appending; nil drops it.
	Log *os.File
}

// StartKeeper connects to the keeper of a run folder, and starts it if none listens. It runs in a session of its own and
// outlives the caller. Two callers at once get the same one.
func StartKeeper(ctx context.Context, o KeeperOptions) (*Keeper, error) {
	unlock, err := lock(ctx, o.Folder, keeperLock)
	if err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	defer unlock()
	keeper, err := DialKeeper(ctx, o.Folder)
	if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOENT) {
		return keeper, err
	}
	process, err := program.Start(program.Options{
		Program: o.Program, Argv: []string{"davit-monitor", "--keeper"}, Files: []*os.File{o.Folder}, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	defer func() { _ = process.Pidfd.Close() }()
	go reap(process.PID)
	if err := process.Ready(ctx); err != nil {
		return nil, fmt.Errorf("start keeper: %w", errors.Join(err, process.Kill()))
	}
	return DialKeeper(ctx, o.Folder)
}

// reap waits for a keeper that ends while we, who started it, still run.
func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// lock takes the lock of a file in a folder.
func lock(ctx context.Context, folder *os.File, name string) (unlock func(), err error) {
	file, err := openAt(folder, name)
	if err != nil {
		return nil, err
	}
	locked := make(chan error, 1)
	go func() { locked <- flock(file) }()
	select {
	case err = <-locked:
	case <-ctx.Done():
		// The lock comes when its holder lets go, and is dropped at once.
		go func() { _ = errors.Join(<-locked, file.Close()) }()
		return nil, ctx.Err()
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return func() { _ = file.Close() }, nil
}

// openAt opens a lock file in a folder, and makes it if it is not there.
func openAt(folder *os.File, name string) (*os.File, error) {
	var file *os.File
	var openErr error
	raw, err := folder.SyscallConn()
	if err != nil {
		return nil, err
	}
	err = raw.Control(func(dir uintptr) {
		var fd int
		fd, openErr = unix.Openat(int(dir), name, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		if openErr == nil {
			file = os.NewFile(uintptr(fd), name)
		}
	})
	if err = errors.Join(err, openErr); err != nil {
		return nil, fmt.Errorf("open %q: %w", name, err)
	}
	return file, nil
}

// flock waits for the lock of a file.
func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("lock %q: %w", file.Name(), err)
		}
		return nil
	}
}
