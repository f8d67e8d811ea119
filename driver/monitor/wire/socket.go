package wire

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// backlog is how many callers wait to be accepted before the next has to wait to connect.
	backlog = 128
	// connectTimeout is how long a caller waits for room in the backlog.
	connectTimeout = 5 * time.Second
)

// address names a socket through the descriptor of its folder.
func address(folder *os.File, name string) (addr *unix.SockaddrUnix, err error) {
	raw, err := folder.SyscallConn()
	if err != nil {
		return nil, err
	}
	err = raw.Control(func(fd uintptr) {
		addr = &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(int(fd)) + "/" + name}
	})
	return addr, err
}

// Dial connects to the socket of that name in a folder. If nobody listens the error is ECONNREFUSED or ENOENT.
func Dial(folder *os.File, name string) (*Conn, error) {
	addr, err := address(folder, name)
	if err != nil {
		return nil, fmt.Errorf("connect to %q: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	// A full backlog makes a blocking connect wait, where a non-blocking one would have to try again and again.
	timeout := unix.NsecToTimeval(connectTimeout.Nanoseconds())
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %q: %w", name, err), unix.Close(fd))
	}
	for {
		if err = unix.Connect(fd, addr); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %q: %w", name, err), unix.Close(fd))
	}
	return NewConn(fd)
}

// wantPause is how long is waited for what has run out.
const wantPause = 10 * time.Millisecond

// Listener is a socket that listens.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
	// spare is a descriptor that is given up to hang up on a caller when there are no more; nil while somebody else has it.
	spare *os.File
}

// Listen makes a socket of that name in a folder, which only its owner can connect to, in place of one that is there.
func Listen(folder *os.File, name string) (*Listener, error) {
	if err := Remove(folder, name); err != nil {
		return nil, err
	}
	addr, err := address(folder, name)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	// The mode of the socket's file is that of the inode behind the descriptor, less the umask: there is no instant at
	// which others could connect.
	if err = errors.Join(unix.Fchmod(fd, 0o600), unix.Bind(fd, addr), unix.Listen(fd, backlog)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %q: %w", name, err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), name)
	raw, err := connection(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %q: %w", name, err), file.Close())
	}
	spare, err := os.Open(os.DevNull)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %q: %w", name, err), file.Close())
	}
	return &Listener{file: file, raw: raw, spare: spare}, nil
}

// Accept waits for a caller. When there are no more descriptors, callers are hung up on until there are. It fails with
// os.ErrClosed once the listener is closed.
func (l *Listener) Accept() (*Conn, error) {
	for {
		fd, err := l.accept()
		switch {
		case err == nil:
			conn, failed := NewConn(fd)
			if failed == nil {
				return conn, nil
			}
			<-time.After(wantPause) // it was hung up on, as for want of a descriptor
		case errors.Is(err, unix.ECONNABORTED):
		case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
			<-time.After(wantPause)
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			if err = l.turnAway(); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("accept caller: %w", err)
		}
	}
}

func (l *Listener) accept() (fd int, err error) {
	pollErr := l.raw.Read(func(listener uintptr) bool {
		return ready(func() error {
			fd, _, err = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return err
		})
	})
	return fd, cmp.Or(pollError(pollErr), err)
}

// turnAway hangs up on a caller for want of descriptors, and waits for the next. Left in the queue it would be offered
// again and again.
func (l *Listener) turnAway() error {
	if l.spare == nil {
		<-time.After(wantPause)
		l.spare, _ = os.Open(os.DevNull)
		return nil
	}
	_ = l.spare.Close()
	err := l.raw.Control(func(listener uintptr) {
		if fd, _, err := unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK); err == nil {
			_ = unix.Close(fd)
		}
	})
	if err != nil {
		return fmt.Errorf("accept caller: %w", err)
	}
	// Whoever opened something at this instant has it. That is nothing to stop listening for.
	if l.spare, _ = os.Open(os.DevNull); l.spare == nil {
		return nil
	}
	// Without a descriptor the kernel does not even tell whether somebody calls; poll does.
	err = l.raw.Read(func(listener uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		n, failed := unix.Poll(poll, 0)
		return n > 0 || failed != nil
	})
	if err != nil {
		return fmt.Errorf("accept caller: %w", pollError(err))
	}
	return nil
}

// Close stops listening. The name stays in the folder.
func (l *Listener) Close() error {
	err := l.file.Close()
	if l.spare != nil {
		err = errors.Join(err, l.spare.Close())
	}
	return err
}

// Pair makes two connections that are each other's other end.
func Pair() (a, b *Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	if a, err = NewConn(fds[0]); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[1]))
	}
	if b, err = NewConn(fds[1]); err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, b, nil
}

// Remove removes a socket's name from a folder. It may be gone.
func Remove(folder *os.File, name string) error {
	addr, err := address(folder, name)
	if err == nil {
		err = os.Remove(addr.Name)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove socket %q: %w", name, err)
	}
	return nil
}
