package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// lookEvery and lookTimes bound the wait until another parent has reaped an init that is dead: only then does the
	// kernel tell how it ended.
	lookEvery = 20 * time.Millisecond
	lookTimes = 100
)

// waitOrphan waits until an init without a monitor ended. It stops when the caller hangs up.
func (k *keeper) waitOrphan(conn *wire.Conn, w *monitorv1.WaitOrphan) (answer, error) {
	uuid, pid := w.GetUuid(), int(w.GetPid())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watched := false
	for {
		exit, changed, foreign, err := k.family.orphan(uuid, pid, w.GetAdopted())
		if err != nil {
			return answer{}, err
		}
		if exit != nil {
			return answer{response: &monitorv1.KeeperResponse{Response: &monitorv1.KeeperResponse_Exit{Exit: exit}}}, nil
		}
		if !watched {
			watched = true
			// It goes on when the caller says something after it was answered, or is gone.
			go func() { conn.Hangup(); cancel() }()
		}
		if foreign != nil {
			exit, err := WaitForeign(ctx, foreign)
			if err != nil {
				return answer{}, err
			}
			k.family.judge(uuid, pid, exit)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return answer{}, fmt.Errorf("wait for init: %w", ctx.Err())
		}
	}
}

// WaitForeign waits until a process ended that is not our child, and asks the kernel how. The pidfd is closed.
func WaitForeign(ctx context.Context, pidfd *os.File) (*monitorv1.Exit, error) {
	defer func() { _ = pidfd.Close() }()
	if err := waitDead(ctx, pidfd); err != nil {
		return nil, fmt.Errorf("wait for init: %w", err)
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for range lookTimes {
		if exit, known := remembered(pidfd); known {
			return exit, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for init: %w", ctx.Err())
		}
	}
	exit, _ := remembered(pidfd)
	return exit, nil
}

// waitDead waits until the process of a pidfd ended, without holding a thread. A pidfd that is shared cannot be given to
// the runtime's poller, for that would make it non-blocking for everybody; an epoll descriptor of our own can.
func waitDead(ctx context.Context, pidfd *os.File) error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err = unix.SetNonblock(fd, true); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	epoll := os.NewFile(uintptr(fd), "epoll")
	defer func() { _ = epoll.Close() }()
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var addErr error
	err = raw.Control(func(pidfd uintptr) {
		addErr = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, int(pidfd), &unix.EpollEvent{Events: unix.EPOLLIN})
	})
	if err = errors.Join(err, addErr); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = epoll.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	waiter, err := epoll.SyscallConn()
	if err != nil {
		return err
	}
	err = waiter.Read(func(fd uintptr) bool {
		events := make([]unix.EpollEvent, 1)
		n, waitErr := unix.EpollWait(int(fd), events, 0)
		return waitErr == nil && n > 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
