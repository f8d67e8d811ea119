package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// ReadyFD is the descriptor on which the program says that it is ready.
	ReadyFD = 3
	// FirstFD is the first of the descriptors that it is given.
	FirstFD = 4

	// roomFD is how many descriptors above the highest that it is given, and beside one for each, a new process takes
	// while it puts them in their places. Our copy of the program lies above that.
	roomFD = 64
	// maxFault is the most that is read of why the program did not get ready.
	maxFault = 4 << 10
	// ready is what it says when it is.
	ready = "+"
)

// environment tunes the runtime of the new process before it begins: a monitor mostly waits, and its memory is multiplied
// by the number of domains. What the runtime calls a processor, of which GOMAXPROCS is the number, has caches of its own; a
// second one costs more than it gives here. Threads that wait in system calls are not counted and come as they are needed. And
// where the host makes huge pages without being asked, as Debian's kernels do, the little heap of each would take 2 MiB.
// Nobody reads a profile of its memory, but unless it is told so before its first act the runtime takes a sample of that.
func environment() []string {
	return []string{"GOMAXPROCS=1", "GOGC=50", "GOTRACEBACK=all", "GODEBUG=disablethp=1,memprofilerate=0"}
}

// Options say what to start.
type Options struct {
	// Program of [Sealed].
	Program *os.File
	// Argv of it.
	Argv []string
	// Files become its descriptors from [FirstFD] on.
	Files []*os.File
	// Log is its standard output and error; nil drops them.
	Log *os.File
}

// Process is a program that was started. Whoever started it reaps it.
type Process struct {
	// PID of it.
	PID int
	// Pidfd of it.
	Pidfd *os.File

	ready *os.File
}

// Start runs the program. It returns once the exec succeeded; [Process.Ready] tells when it is ready.
func Start(o Options) (*Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("start program: %w", err)
	}
	defer func() { _ = null.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start program: %w", err)
	}
	defer func() { _ = write.Close() }()
	log := o.Log
	if log == nil {
		log = null
	}
	process, err := execute(o, append([]*os.File{null, log, log, write}, o.Files...))
	if err != nil {
		_ = read.Close()
		return nil, fmt.Errorf("start program: %w", err)
	}
	process.ready = read
	return process, nil
}

// execute forks and executes.
func execute(o Options, files []*os.File) (*Process, error) {
	descriptors := make([]uintptr, len(files))
	for i, f := range files {
		if err := with(f, func(fd uintptr) { descriptors[i] = fd }); err != nil {
			return nil, err
		}
	}
	above := int(slices.Max(descriptors)) + len(descriptors) + roomFD
	program := -1
	var dupErr error
	err := with(o.Program, func(fd uintptr) { program, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, above) })
	if dupErr == unix.EINVAL {
		dupErr = unix.EMFILE // above is over the limit
	}
	if err = errors.Join(err, dupErr); err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(program) }()
	// What the new process is to have is passed on by number; all else, whoever left it open, ends with the exec.
	if err = unix.CloseRange(ReadyFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, fmt.Errorf("close other descriptors on exec: %w", err)
	}
	pidfd := -1
	// The path is looked up by the new process, which has a copy of our descriptors until it executes.
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(program), o.Argv, &syscall.ProcAttr{
		Dir: "/", Env: environment(), Files: descriptors, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	runtime.KeepAlive(files)
	runtime.KeepAlive(o.Program)
	if err != nil {
		return nil, err
	}
	if pidfd < 0 {
		return &Process{PID: pid}, errors.New("the kernel has no pidfds")
	}
	return &Process{PID: pid, Pidfd: os.NewFile(uintptr(pidfd), "pidfd")}, nil
}

// Ready waits until the program said that it is ready. If it said why it is not, or ended, or ctx does, that is the
// error, and the program, if it still runs, is left to the caller.
func (p *Process) Ready(ctx context.Context) error {
	defer func() { _ = p.ready.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = p.ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	said, err := io.ReadAll(io.LimitReader(p.ready, maxFault))
	switch {
	case string(said) == ready:
		return nil
	case len(said) > 0:
		return fmt.Errorf("start program: %s", said)
	case ctx.Err() != nil:
		return fmt.Errorf("start program: %w", ctx.Err())
	case err != nil:
		return fmt.Errorf("start program: %w", err)
	}
	return errors.New("start program: it ended before it was ready")
}

// Abandon lets go of a process whose readiness nobody waits for.
func (p *Process) Abandon() { _, _ = p.ready.Close(), p.Pidfd.Close() }

// Kill ends the process.
func (p *Process) Kill() error {
	var killErr error
	err := with(p.Pidfd, func(fd uintptr) { killErr = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	if errors.Is(killErr, unix.ESRCH) {
		killErr = nil
	}
	return errors.Join(err, killErr)
}

// with gives a file's descriptor without changing its mode.
func with(f *os.File, use func(fd uintptr)) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(use)
}
