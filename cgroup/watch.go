package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// notices watches a control file of version 2 whose changes the kernel tells: cgroup.events, memory.events. It uses the
// runtime's poller, so that a wait costs no thread.
type notices struct{ file *os.File }

// watch begins to watch a control file of f.
func (f *folder) watch(name string) (*notices, error) {
	file, err := f.openFile(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	// Only a file that the poller took knows deadlines.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("watch %s: %w", f.join(name), cause(err))
	}
	return &notices{file: file}, nil
}

// Close lets go of the file.
func (n *notices) Close() error { return n.file.Close() }

// until waits until the file's values satisfy done. It fails when its cgroup is removed, with an error that is [gone], if
// something changes after that.
func (n *notices) until(ctx context.Context, done func(map[string]uint64) bool) error {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch %s: %w", n.file.Name(), cause(err))
	}
	stop := context.AfterFunc(ctx, func() { _ = n.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var failed error
	// The file is read inside, after the poller was armed: a change between reading and waiting is not lost.
	err = raw.Read(func(fd uintptr) bool {
		var values map[string]uint64
		values, failed = readKeyed(int(fd))
		return failed != nil || done(values)
	})
	switch {
	case failed != nil:
		return fmt.Errorf("read %s: %w", n.file.Name(), failed)
	case ctx.Err() != nil && err != nil:
		return ctx.Err()
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("watch %s: %w", n.file.Name(), cause(err))
	}
	return nil
}

// readKeyed reads an open file of keys and numbers from its beginning, by which the kernel knows what the reader has seen.
func readKeyed(fd int) (map[string]uint64, error) {
	buf := make([]byte, 4096)
	size, err := unix.Pread(fd, buf, 0)
	for errors.Is(err, unix.EINTR) {
		size, err = unix.Pread(fd, buf, 0)
	}
	if err != nil {
		return nil, err
	}
	return parseKeyed(string(buf[:size]))
}
