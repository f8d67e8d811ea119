package wire

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// Limits of the wire.
const (
	// Protocol is the version that this package speaks.
	Protocol = 1
	// Revision is what it knows beyond the first release of that.
	Revision = RevisionBeside
	// RevisionConnection is the first in which a keeper gives the monitor that it starts a connection.
	RevisionConnection = 1
	// RevisionHarvest is the first in which a keeper looks for monitors that have died before it says that one is there.
	RevisionHarvest = 2
	// RevisionBeside is the first in which a monitor gives a command what init has, and in which a connection serves requests again when
	// its stream is over.
	RevisionBeside = 2
	// MaxFrame is the most bytes of one message.
	MaxFrame = 1 << 20
	// MaxDescriptors is the most descriptors that travel with one frame.
	MaxDescriptors = 64

	// headerSize is the size of a frame's length.
	headerSize = 4
	// keptBuffer is the largest buffer that a quiet connection holds on to.
	keptBuffer = 4 << 10
)

// ErrBroken is a frame that breaks the rules; the connection is of no further use.
var ErrBroken = errors.New("broken frame")

// carrier is a message that names the descriptors that travel with it.
type carrier interface {
	GetDescriptors() []monitorv1.DescriptorKind
}

// Conn is one end of a connection. One goroutine may receive while others send.
type Conn struct {
	file *os.File
	raw  syscall.RawConn
	// frameTimeout bounds the time from the first byte of a frame to its last; 0 does not. A server's connections have
	// one, and no other deadline for reading.
	frameTimeout time.Duration
	header       [headerSize]byte
	first        int // the first field of the last message
	control      []byte
	buffer       []byte
	sending      sync.Mutex
}

// NewConn makes a connection of a stream socket, which it owns from then on, also when it fails.
func NewConn(fd int) (*Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("set socket non-blocking: %w", err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "socket")
	raw, err := connection(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("use socket: %w", err), file.Close())
	}
	return &Conn{file: file, raw: raw}, nil
}

// Take makes a connection of a stream socket that came as a file. That is closed, unless it fails: nobody hears that it is hung up before
// the caller has said why.
func Take(file *os.File) (*Conn, error) {
	fd := -1
	var dupErr error
	raw, err := file.SyscallConn()
	if err == nil {
		err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	}
	if err = errors.Join(err, dupErr); err != nil {
		return nil, fmt.Errorf("use socket: %w", err)
	}
	conn, err := NewConn(fd)
	if err == nil {
		_ = file.Close()
	}
	return conn, err
}

// connection is a socket as the runtime uses it, which can wait for it. The runtime watches what it can, and keeps why it could not to itself:
// the kernel had no memory, or no watch more for this user.
func connection(file *os.File) (syscall.RawConn, error) {
	if errors.Is(file.SetDeadline(time.Time{}), os.ErrNoDeadline) {
		return nil, fmt.Errorf("watch it: %w", unix.ENOMEM)
	}
	return file.SyscallConn()
}

// Waiting tells whether something has come that was not received, or nothing comes any more.
func (c *Conn) Waiting() bool {
	waiting := false
	err := c.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		waiting = err != nil || n > 0
	})
	return waiting || err != nil
}

// SetDeadline bounds all that is sent and received; the zero time does not.
func (c *Conn) SetDeadline(t time.Time) error { return c.file.SetDeadline(t) }

// SetWriteDeadline bounds what is sent.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.file.SetWriteDeadline(t) }

// Abort makes whatever is being sent or received fail at once. The connection can only be closed afterwards.
func (c *Conn) Abort() { _ = c.file.SetDeadline(time.Unix(1, 0)) }

// Close closes the connection; whatever is being sent or received fails.
func (c *Conn) Close() error { return c.file.Close() }

// Send sends a message and the descriptors that it names. It may be called from several goroutines. The files stay the
// caller's.
func (c *Conn) Send(m plain.Message, files ...*os.File) error {
	if err := checkCount(m, len(files)); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	frame, err := appendFrame(nil, m)
	if err != nil {
		return err
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.write(frame, files)
}

// SendAll sends messages of one kind one after the other, without descriptors, by as few system calls as can be.
func SendAll[M plain.Message](c *Conn, messages []M) error {
	var frames []byte
	for _, m := range messages {
		var err error
		if err = checkCount(m, 0); err == nil {
			frames, err = appendFrame(frames, m)
		}
		if err != nil {
			return err
		}
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.write(frames, nil)
}

// appendFrame appends the frame of a message.
func appendFrame(b []byte, m plain.Message) ([]byte, error) {
	at := len(b)
	b, err := plain.Append(append(b, make([]byte, headerSize)...), m)
	if err != nil {
		return nil, fmt.Errorf("send message: %w", err)
	}
	size := len(b) - at - headerSize
	if size > MaxFrame {
		return nil, fmt.Errorf("send message: %d bytes are over the limit of %d", size, MaxFrame)
	}
	binary.BigEndian.PutUint32(b[at:], uint32(size))
	return b, nil
}

// write sends a frame; the descriptors go with its first byte.
func (c *Conn) write(frame []byte, files []*os.File) error {
	control, err := rights(files)
	if err != nil {
		return fmt.Errorf("send descriptors: %w", err)
	}
	for len(frame) > 0 {
		var n int
		var sendErr error
		err := c.raw.Write(func(fd uintptr) bool {
			return ready(func() error {
				n, sendErr = unix.SendmsgN(int(fd), frame, control, nil, unix.MSG_NOSIGNAL)
				return sendErr
			})
		})
		if err = cmp.Or(pollError(err), sendErr); err != nil {
			return fmt.Errorf("send message: %w", err)
		}
		frame, control = frame[n:], nil
	}
	return nil
}

// Receive waits for a message and the descriptors that it names, which are the caller's from then on and are closed on
// exec. It returns io.EOF when the other side hung up between frames.
func (c *Conn) Receive(m plain.Message) ([]*os.File, error) {
	body, files, err := c.read()
	if err == nil {
		c.first = plain.FirstField(body)
		err = parse(body, m, len(files))
	}
	if cap(c.buffer) > keptBuffer {
		c.buffer = nil
	}
	if err != nil {
		CloseAll(files)
		return nil, err
	}
	return files, nil
}

// Strange is the error of the request that was received last, if this release knows none of that number.
func (c *Conn) Strange() error {
	return &Error{
		Operation: "answer request", Object: strconv.Itoa(c.first), Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID,
		Message: "version " + Version() + " does not know it",
	}
}

// parse decodes a frame's body and holds it against the number of descriptors that came with it.
func parse(body []byte, m plain.Message, descriptors int) error {
	if err := plain.Parse(body, m); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if err := checkCount(m, descriptors); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return nil
}

// read reads a frame. The files are given also with an error, for they are open.
func (c *Conn) read() (body []byte, files []*os.File, err error) {
	if c.control == nil {
		c.control = make([]byte, unix.CmsgSpace(4*MaxDescriptors))
	}
	n, files, err := c.receive(c.header[:], c.control)
	if err != nil {
		return nil, files, err
	}
	if c.frameTimeout > 0 {
		if err = c.file.SetReadDeadline(time.Now().Add(c.frameTimeout)); err != nil {
			return nil, files, fmt.Errorf("receive message: %w", err)
		}
		defer func() { err = errors.Join(err, c.file.SetReadDeadline(time.Time{})) }()
	}
	if err := c.fill(c.header[n:]); err != nil {
		return nil, files, err
	}
	size := binary.BigEndian.Uint32(c.header[:])
	if size > MaxFrame {
		return nil, files, fmt.Errorf("%w: %d bytes are over the limit of %d", ErrBroken, size, MaxFrame)
	}
	if cap(c.buffer) < int(size) {
		c.buffer = make([]byte, size)
	}
	c.buffer = c.buffer[:size]
	return c.buffer, files, c.fill(c.buffer)
}

// fill reads the rest of a frame, with which no descriptors may come.
func (c *Conn) fill(p []byte) error {
	for len(p) > 0 {
		n, files, err := c.receive(p, c.control)
		if len(files) > 0 {
			CloseAll(files)
			return fmt.Errorf("%w: descriptors within a frame", ErrBroken)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// receive reads some bytes, and the descriptors that come with them.
func (c *Conn) receive(p, control []byte) (int, []*os.File, error) {
	var n, controlLen, flags int
	var recvErr error
	err := c.raw.Read(func(fd uintptr) bool {
		return ready(func() error {
			n, controlLen, flags, _, recvErr = unix.Recvmsg(int(fd), p, control, unix.MSG_CMSG_CLOEXEC)
			return recvErr
		})
	})
	if err = cmp.Or(pollError(err), recvErr); err != nil {
		return 0, nil, fmt.Errorf("receive message: %w", err)
	}
	files, err := received(control[:controlLen])
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = fmt.Errorf("%w: more than %d descriptors, or too many open files", ErrBroken, MaxDescriptors)
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, files, err
}

// Hangup waits until the other side hangs up or says something, whichever is first, and reads nothing. It tells whether
// it hung up. Nobody else may receive meanwhile.
func (c *Conn) Hangup() bool {
	var n int
	var peekErr error
	err := c.raw.Read(func(fd uintptr) bool {
		var p [1]byte
		return ready(func() error {
			n, _, peekErr = unix.Recvfrom(int(fd), p[:], unix.MSG_PEEK)
			return peekErr
		})
	})
	return err != nil || peekErr != nil || n == 0
}

// Duplicate is the same connection, to wait on with [Conn.Lost] while the other one is used.
func (c *Conn) Duplicate() (*Conn, error) {
	file, err := Duplicate(c.file)
	if err != nil {
		return nil, err
	}
	raw, err := connection(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("use socket: %w", err), file.Close())
	}
	return &Conn{file: file, raw: raw}, nil
}

// Lost waits until the other side hangs up, and reads nothing. Somebody else may receive meanwhile, over a duplicate. An error says that
// this is not known of the other side.
func (c *Conn) Lost() error {
	if err := c.raw.Read(isHungUp); err != nil {
		return fmt.Errorf("wait for the end of a connection: %w", err)
	}
	return nil
}

// HungUp tells whether the other side is gone, also when what it said before is still unread.
func (c *Conn) HungUp() bool { return hungUpOn(c.raw) }

// HungUp is [Conn.HungUp] of a socket that no connection was made of.
func HungUp(socket *os.File) bool {
	raw, err := socket.SyscallConn()
	return err != nil || hungUpOn(raw)
}

func hungUpOn(raw syscall.RawConn) bool {
	gone := false
	err := raw.Control(func(fd uintptr) { gone = isHungUp(fd) })
	return gone || err != nil
}

func isHungUp(fd uintptr) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}

// Peer tells who the other side was when it connected, or listened.
func (c *Conn) Peer() (*unix.Ucred, error) {
	var cred *unix.Ucred
	var credErr error
	err := c.raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return nil, fmt.Errorf("get peer's credentials: %w", err)
	}
	return cred, nil
}

// ready makes a system call on a non-blocking socket, again when a signal interrupted it, and tells whether it had
// something to do: false makes the poller wait.
func ready(call func() error) bool {
	for {
		err := call()
		if !errors.Is(err, unix.EINTR) {
			return !errors.Is(err, unix.EAGAIN)
		}
	}
}

// pollError is what went wrong with waiting on a descriptor. The runtime has an error of its own for one that was closed.
func pollError(err error) error {
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrClosed
	}
	return err
}
