// Package session runs commands in a container for callers that may come and go.
//
// A [Table] holds the sessions of one container. [Table.Run] starts a command and gives its caller an [Attachment]:
// standard output and error, or a terminal, come out of it, and standard input, window sizes and signals go into it. A
// caller that does not read makes the command wait, through its pipes, as a slow reader does in a shell. The exit is told
// exactly; output that is on its way may follow it; the end is told last.
//
// When the caller goes away a session that was made to stay (detach) runs on: its last [Kept] bytes are kept, and when it
// ends its exit is kept for [KeptTime]; [Table.Attach] connects to it again. Any other session ends: with a terminal it is
// hung up (SIGHUP, and the terminal is gone), without one it is killed.
//
// Signals go to the command itself, not to its process group. Input, sizes and signals take effect in the order in which
// they come, so what follows input that the command does not read waits with it.
package session

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// grace is how long output is taken after a command ended while another process, one that it left behind, still has its
// pipes open. What such a process writes later is read and dropped, so that it neither waits nor dies of it.
const grace = time.Second

// firstRead is how much is read of a stream at once until it has that much.
const firstRead = 512

// Stdio is what a command gets to read and write. With a terminal the files are nil.
type Stdio struct {
	// Stdin, Stdout and Stderr of the command.
	Stdin, Stdout, Stderr *os.File
	// TTY asks for a terminal of the container, of the given size.
	TTY           bool
	Rows, Columns uint16
}

// Runner runs commands in a container.
type Runner interface {
	// Run starts a command. The files stay the caller's.
	Run(process *monitorv1.Process, stdio Stdio) (Command, error)
}

// Command is a command that runs.
type Command interface {
	// PID on the host.
	PID() int
	// Terminal is the master of its terminal, which is the caller's; nil if it has none.
	Terminal() *os.File
	// Signal sends it a signal.
	Signal(signal syscall.Signal) error
	// Wait waits until it ended, reaps it and tells how it ended.
	Wait() (*monitorv1.Exit, error)
	// Close lets go of what was needed for it.
	Close() error
}

// Session is a command and what it wrote.
type Session struct {
	id      string
	detach  bool
	command Command
	output  output

	// terminal is the master of the command's terminal, or stdin, stdout and stderr are our ends of its pipes.
	terminal              *os.File
	stdin, stdout, stderr *os.File
	pumps                 sync.WaitGroup
	flowing               atomic.Int32 // streams that are not at their end
	ended                 chan struct{}
	endedAt               time.Time
}

// start runs a command.
func start(runner Runner, exec *monitorv1.Exec) (*Session, error) {
	s := &Session{id: exec.GetId(), detach: exec.GetDetach(), ended: make(chan struct{})}
	stdio := Stdio{TTY: exec.GetTty(), Rows: uint16(exec.GetRows()), Columns: uint16(exec.GetColumns())}
	if !stdio.TTY {
		if err := s.pipes(&stdio, exec.GetStdin()); err != nil {
			s.close()
			return nil, err
		}
	}
	command, err := runner.Run(exec.GetProcess(), stdio)
	for _, f := range []*os.File{stdio.Stdin, stdio.Stdout, stdio.Stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.command, s.terminal = command, command.Terminal()
	return s, nil
}

// pipes makes the pipes of a command without a terminal. Without input its standard input is a pipe that nobody writes
// to, rather than a device of the host.
func (s *Session) pipes(stdio *Stdio, input bool) (err error) {
	if stdio.Stdin, s.stdin, err = pipe(writer); err != nil {
		return err
	}
	if !input {
		_ = s.stdin.Close()
	}
	if s.stdout, stdio.Stdout, err = pipe(reader); err != nil {
		return err
	}
	s.stderr, stdio.Stderr, err = pipe(reader)
	return err
}

// Ends of a pipe.
const (
	reader = iota
	writer
)

// pipe makes a pipe of which one end is ours, on which the runtime waits. The other is a command's, which expects it to block.
func pipe(ours int) (r, w *os.File, err error) {
	var fds [2]int
	if err = unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err = unix.SetNonblock(fds[ours], true); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fds[reader]), unix.Close(fds[writer]))
	}
	return os.NewFile(uintptr(fds[reader]), "|0"), os.NewFile(uintptr(fds[writer]), "|1"), nil
}

// close closes our ends.
func (s *Session) close() {
	for _, f := range []*os.File{s.terminal, s.stdin, s.stdout, s.stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// live reads what the command writes and waits until it ended and has written all. Before that is told, last is called.
func (s *Session) live(last func()) {
	sources := map[*os.File]bool{s.stdout: false, s.stderr: true, s.terminal: false}
	delete(sources, nil)
	s.flowing.Store(int32(len(sources)))
	for source, stderr := range sources {
		s.pumps.Go(func() {
			s.pump(source, stderr)
			s.flowing.Add(-1)
		})
	}
	exit, err := s.command.Wait()
	if err != nil {
		exit = &monitorv1.Exit{How: &monitorv1.Exit_Unknown{Unknown: true}}
	}
	exit.TimeUnixNs = time.Now().UnixNano()
	_ = s.command.Close()
	// A command closes its files before its end is told. Whoever reads them may have to be let do so, and then there is nothing to wait
	// for: the exit and the end go together.
	if s.flowing.Load() > 0 {
		runtime.Gosched()
	}
	if s.flowing.Load() > 0 {
		s.output.ended(exit)
		deadline := time.Now().Add(grace)
		for source := range sources {
			_ = source.SetReadDeadline(deadline)
		}
	}
	s.pumps.Wait()
	if s.stdin != nil {
		_ = s.stdin.Close()
	}
	s.endedAt = time.Now()
	close(s.ended)
	last()
	s.output.finish(exit)
}

// pump reads a stream to its end.
func (s *Session) pump(source *os.File, stderr bool) {
	// Most commands write little, and a page that is touched for the first time is dear.
	buffer := make([]byte, firstRead)
	for {
		n, err := source.Read(buffer)
		s.output.add(stderr, buffer[:n])
		if n == len(buffer) && n < chunkSize/2 {
			buffer = make([]byte, chunkSize/2)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.rest(source, stderr, buffer)
			return
		}
		if err != nil {
			_ = source.Close()
			return
		}
	}
}

// rest takes what a command left in a stream that somebody else has open too.
func (s *Session) rest(source *os.File, stderr bool, buffer []byte) {
	_ = source.SetReadDeadline(time.Time{})
	for left := pending(source); left > 0; {
		n, err := source.Read(buffer[:min(left, len(buffer))])
		if err != nil {
			break
		}
		s.output.add(stderr, buffer[:n])
		left -= n
	}
	if source == s.terminal {
		_ = source.Close()
		return
	}
	go discard(source)
}

// discard reads to the end for those who still write.
func discard(source *os.File) {
	defer func() { _ = source.Close() }()
	buffer := make([]byte, 512)
	for {
		if _, err := source.Read(buffer); err != nil {
			return
		}
	}
}

// pending tells how many bytes can be read at once.
func pending(source *os.File) (n int) {
	raw, err := source.SyscallConn()
	if err != nil {
		return 0
	}
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	if err != nil {
		return 0
	}
	return n
}

// hangup ends a session that nobody is there for.
func (s *Session) hangup() {
	if s.terminal != nil {
		_ = s.command.Signal(syscall.SIGHUP)
		_ = s.terminal.Close() // the kernel hangs up on the whole foreground group
		return
	}
	_ = s.command.Signal(syscall.SIGKILL)
}

// over tells whether the session has ended.
func (s *Session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}
