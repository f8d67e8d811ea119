package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// maxSignal is the highest number of a signal.
	maxSignal = 64
	// atOnce is the most pieces that are received at once: what both streams have, the exit and the end.
	atOnce = 4
)

// Attachment is the connection of a session's caller. One goroutine receives while another sends; Close may be called by
// any.
type Attachment struct {
	session *Session
	offset  uint64
	told    bool // the exit
	closed  bool // the end
	gone    chan struct{}
	once    sync.Once
}

func newAttachment(s *Session, offset uint64) *Attachment {
	return &Attachment{session: s, offset: offset, gone: make(chan struct{})}
}

// Opened tells what the attachment is connected to.
func (a *Attachment) Opened() *monitorv1.StreamOpened {
	return &monitorv1.StreamOpened{Pid: uint32(a.session.command.PID()), Offset: a.offset, Name: a.session.id}
}

// Receive waits for output, the exit and the end, in that order but for output that follows the exit. After the end it
// returns io.EOF.
func (a *Attachment) Receive() (*monitorv1.StreamOutput, error) {
	for {
		if a.closed {
			return nil, io.EOF
		}
		output, changed := a.next()
		if output != nil {
			return output, nil
		}
		select {
		case <-changed:
		case <-a.gone:
			return nil, os.ErrClosed
		}
	}
}

// next gives what is there to be received, or a channel that is closed when there may be something.
func (a *Attachment) next() (*monitorv1.StreamOutput, <-chan struct{}) {
	next, exit, over, changed := a.session.output.next()
	switch {
	case next != nil:
		return next, nil
	case exit != nil && !a.told:
		a.told = true
		return &monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Exit{Exit: exit}}, nil
	case over:
		a.closed = true
		return &monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Closed{Closed: &monitorv1.StreamClosed{}}}, nil
	}
	return nil, changed
}

// ReceiveAll is [Attachment.Receive] with what else is there already, up to a few pieces. last tells that the end is among them.
func (a *Attachment) ReceiveAll() (outputs []*monitorv1.StreamOutput, last bool, err error) {
	output, err := a.Receive()
	if err != nil {
		return nil, false, err
	}
	for outputs = append(make([]*monitorv1.StreamOutput, 0, atOnce), output); !a.closed && len(outputs) < atOnce; {
		if output, _ = a.next(); output == nil {
			break
		}
		outputs = append(outputs, output)
	}
	return outputs, a.closed, nil
}

// Handle does what the caller sent. Input waits while the command does not read it; what a command does not want to read
// any more is dropped.
func (a *Attachment) Handle(input *monitorv1.StreamInput) error {
	switch in := input.GetInput().(type) {
	case *monitorv1.StreamInput_Data:
		return a.write(in.Data)
	case *monitorv1.StreamInput_End:
		return a.end()
	case *monitorv1.StreamInput_Size:
		return a.resize(in.Size)
	case *monitorv1.StreamInput_Signal:
		return a.signal(in.Signal)
	}
	return a.refuse("the input is of no known kind")
}

func (a *Attachment) refuse(message string) error {
	return &wire.Error{
		Operation: "send to command", Object: a.session.id, Message: message,
		Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID,
	}
}

// input is where the command reads.
func (a *Attachment) input() *os.File {
	if a.session.terminal != nil {
		return a.session.terminal
	}
	return a.session.stdin
}

func (a *Attachment) write(p []byte) error {
	input := a.input()
	// Whoever closes gone sets a deadline afterwards: either it is seen here or it ends the write.
	_ = input.SetWriteDeadline(time.Time{})
	select {
	case <-a.gone:
		return os.ErrClosed
	default:
	}
	_, err := input.Write(p)
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EIO) || errors.Is(err, os.ErrClosed) {
		return nil // nobody reads it any more
	}
	if err != nil {
		return fmt.Errorf("send to command %q: %w", a.session.id, err)
	}
	return nil
}

// end ends standard input. A terminal has no end; one in canonical mode takes a character for it.
func (a *Attachment) end() error {
	if a.session.terminal == nil {
		_ = a.session.stdin.Close()
		return nil
	}
	var termios *unix.Termios
	a.onTerminal(func(fd int) { termios, _ = unix.IoctlGetTermios(fd, unix.TCGETS) })
	if termios == nil || termios.Lflag&unix.ICANON == 0 {
		return nil
	}
	return a.write(termios.Cc[unix.VEOF : unix.VEOF+1])
}

func (a *Attachment) resize(size *monitorv1.WindowSize) error {
	if a.session.terminal == nil {
		return a.refuse("it has no terminal")
	}
	if size.GetRows() > 65535 || size.GetColumns() > 65535 {
		return a.refuse(fmt.Sprintf("a terminal of %d rows of %d is over the limit of 65535", size.GetRows(),
			size.GetColumns()))
	}
	winsize := &unix.Winsize{Row: uint16(size.GetRows()), Col: uint16(size.GetColumns())}
	a.onTerminal(func(fd int) { _ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, winsize) })
	return nil
}

// onTerminal does something to the terminal, if it is still there.
func (a *Attachment) onTerminal(do func(fd int)) {
	if raw, err := a.session.terminal.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}

func (a *Attachment) signal(number uint32) error {
	if number < 1 || number > maxSignal {
		return a.refuse(fmt.Sprintf("there is no signal %d", number))
	}
	err := a.session.command.Signal(syscall.Signal(number))
	if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send signal to command %q: %w", a.session.id, err)
	}
	return nil
}

// Close lets go of the session, which ends unless it was made to stay or has ended.
func (a *Attachment) Close() {
	a.once.Do(func() {
		close(a.gone)
		if input := a.input(); input != nil {
			_ = input.SetWriteDeadline(time.Unix(1, 0))
		}
		if !a.session.detach && !a.session.over() {
			a.session.hangup()
		}
		a.session.output.detach()
	})
}
