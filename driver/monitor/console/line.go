package console

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// drainTime bounds the reading of what a dead container left in its pty. It is over in microseconds unless somebody
	// else has the terminal open.
	drainTime = time.Second
	// transfer is how much is read at once: the kernel hands out no more of a pty.
	transfer = 4 << 10
)

// line is the pty of one run of init.
type line struct {
	master *os.File
	// terminal is the guest's side. Holding it keeps the line up while the guest has it closed; without it the master
	// would tell of a hang-up again and again.
	terminal *os.File
	// writing is held by who writes to the master.
	writing sync.Mutex
	// drained is closed when everything was read.
	drained chan struct{}
}

// newLine takes a pty into use, by descriptors of its own.
func newLine(master *os.File) (*line, error) {
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &line{drained: make(chan struct{})}
	var openErr error
	err = raw.Control(func(fd uintptr) { openErr = l.open(fd) })
	if err = errors.Join(err, openErr); err != nil {
		return nil, err
	}
	return l, nil
}

// open makes the line's own descriptors of a master's.
func (l *line) open(master uintptr) error {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	terminal, _, errno := unix.Syscall(unix.SYS_IOCTL, master, unix.TIOCGPTPEER, flags)
	if errno != 0 {
		return errno
	}
	own, err := unix.FcntlInt(master, unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(own, true)
	}
	l.terminal = os.NewFile(terminal, "terminal")
	if own >= 0 {
		l.master = os.NewFile(uintptr(own), "console")
	}
	if err != nil {
		l.close()
	}
	return err
}

// pump reads until the line is down.
func (l *line) pump(hear func(p []byte)) {
	defer close(l.drained)
	buffer := make([]byte, transfer)
	for {
		n, err := l.master.Read(buffer)
		if n > 0 {
			hear(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// drain hangs up: the kernel hands out what is left in the pty before it tells the pump.
func (l *line) drain() {
	_ = l.terminal.Close()
	_ = l.master.SetReadDeadline(time.Now().Add(drainTime))
	<-l.drained
	l.close()
}

func (l *line) close() {
	_ = l.terminal.Close()
	if l.master != nil {
		_ = l.master.Close()
	}
}

// write writes until all is written, the line is down, or stop is closed and [line.interrupt] called.
func (l *line) write(p []byte, stop <-chan struct{}) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	// An interruption before this has closed stop; one after it ends the write.
	_ = l.master.SetWriteDeadline(time.Time{})
	select {
	case <-stop:
		return os.ErrClosed
	default:
	}
	_, err := l.master.Write(p)
	return err
}

// interrupt ends a write that waits.
func (l *line) interrupt() { _ = l.master.SetWriteDeadline(time.Unix(1, 0)) }

func (l *line) resize(size *unix.Winsize) error {
	raw, err := l.master.SyscallConn()
	if err != nil {
		return err
	}
	var resizeErr error
	err = raw.Control(func(fd uintptr) { resizeErr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
	return errors.Join(err, resizeErr)
}
