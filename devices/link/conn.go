package link

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// conn is a netlink socket of a namespace, for the few requests that each start makes. The kernel answers them while it is asked, so
// nothing is waited for, and several go at once. The library's sockets wait as for a network, with a new buffer of 64 KiB for every
// answer.
type conn struct {
	mu     sync.Mutex
	fd     int
	seq    uint32
	answer []byte // where answers are read
}

const (
	// guestAnswer is enough for what is asked inside, which is answered by that it was done, or was not.
	guestAnswer = 4 << 10
	// hostAnswer is enough for all that the kernel tells of an interface.
	hostAnswer = 32 << 10
)

// connect opens a socket in a namespace, for answers of so many bytes.
func connect(ns *os.File, bytes int) (*conn, error) {
	fd, err := socketIn(ns)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket in namespace: %w", err)
	}
	c := &conn{fd: fd, answer: make([]byte, bytes)}
	// A kernel that is stuck is an error, not a wait without end.
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &nl.SocketTimeoutTv); err != nil {
			c.close()
			return nil, fmt.Errorf("open netlink socket in namespace: %w", err)
		}
	}
	return c, nil
}

// socketIn makes a socket in a namespace. The thread goes there for that, and is back at once.
func socketIn(ns *os.File) (int, error) {
	runtime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return -1, err
	}
	defer func() { _ = unix.Close(own) }()
	if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if back := unix.Setns(own, unix.CLONE_NEWNET); back != nil {
		// The thread stays locked: nobody else may run on it.
		if err == nil {
			_ = unix.Close(fd)
		}
		return -1, errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (c *conn) close() { _ = unix.Close(c.fd) }

// tell makes a request that asks for something, and gives the answer; nil if the kernel only says that it was done.
func (c *conn) tell(request *nl.NetlinkRequest) (answer []byte, err error) {
	request.Flags |= unix.NLM_F_ACK
	_, err = c.exchange([]*nl.NetlinkRequest{request}, func(data []byte) { answer = append([]byte(nil), data...) })
	return answer, err
}

// all makes requests in their order, in one go, and tells which was refused first, and why. Those after it are made all the same.
func (c *conn) all(requests ...*nl.NetlinkRequest) (refused int, err error) {
	if len(requests) == 0 {
		return 0, nil
	}
	requests[len(requests)-1].Flags |= unix.NLM_F_ACK // that of the others is told only if they are refused
	return c.exchange(requests, func([]byte) {})
}

// exchange sends requests, and reads until the last of them is answered.
func (c *conn) exchange(requests []*nl.NetlinkRequest, each func(data []byte)) (refused int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.seq + 1
	var text []byte
	for _, r := range requests {
		c.seq++
		r.Seq = c.seq
		text = append(text, r.Serialize()...) // each is a multiple of four bytes
	}
	if err = again(func() error { return unix.Sendto(c.fd, text, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) }); err != nil {
		return 0, err
	}
	for {
		messages, unheard := c.receive()
		if unheard != nil {
			return 0, unheard
		}
		for _, m := range messages {
			at := int(m.Header.Seq - first)
			if at < 0 || at >= len(requests) {
				continue // of a request that was given up
			}
			if m.Header.Type != unix.NLMSG_ERROR {
				each(m.Data)
				continue
			}
			if bad := errorOf(m.Data); bad != nil && err == nil {
				refused, err = at, bad
			}
			if at == len(requests)-1 {
				return refused, err
			}
		}
	}
}

// receive reads what the kernel has to say, which holds until the next is read.
func (c *conn) receive() ([]syscall.NetlinkMessage, error) {
	var n int
	var from unix.Sockaddr
	err := again(func() (err error) {
		n, from, err = unix.Recvfrom(c.fd, c.answer, unix.MSG_TRUNC)
		return err
	})
	if err != nil {
		return nil, err
	}
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
		return nil, errors.New("somebody else than the kernel answers") // as a guest may in its own namespace
	}
	if n > len(c.answer) {
		return nil, fmt.Errorf("an answer has %d bytes, %d are the limit", n, len(c.answer))
	}
	return syscall.ParseNetlinkMessage(c.answer[:n])
}

// again does what a signal may interrupt.
func again(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
