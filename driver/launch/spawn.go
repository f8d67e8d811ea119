package launch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A child is a process that was cloned.
type child struct {
	pid   int
	pidfd *os.File
	// fd is where the kernel puts the number of the pidfd: on the heap, as the kernel has its address, and a stack may move.
	fd int32
	// machine and stack are what a child that shares our memory works with.
	machine *machine
	stack   []byte
}

// stackSize is far more than [run] needs.
const stackSize = 16 << 10

// spawn clones a child with a copy of our memory that runs a program.
func spawn(a *assembler, lines *lines, args *cloneArgs) (*child, error) {
	c := &child{machine: a.machine(int(lines.reportIn.Fd()))}
	copying.Lock()
	defer copying.Unlock()
	return c, c.clone(a, lines, args, fork)
}

// spawnShared clones a child that shares our memory and runs a program. When the program has become another, or the child
// is gone, [child.release] is called. No process that is not ours may be able to look into the child meanwhile, for it would look
// into us.
func spawnShared(a *assembler, lines *lines, args *cloneArgs) (*child, error) {
	c := &child{machine: a.machine(int(lines.reportIn.Fd()))}
	if err := c.shareMemory(args); err != nil {
		return nil, err
	}
	if err := c.clone(a, lines, args, forkShared); err != nil {
		c.release(a)
		return nil, err
	}
	return c, nil
}

// everyChild is what is asked of the kernel for each: it handles no signal in our way.
const everyChild = unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND

// shareMemory has the child share our memory, on a stack of its own.
func (c *child) shareMemory(args *cloneArgs) error {
	stack, err := unix.Mmap(-1, 0, stackSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("map stack: %w", err)
	}
	c.stack = stack
	args.flags |= unix.CLONE_VM
	args.stack, args.stackSize = uint64(uintptr(unsafe.Pointer(&stack[0]))), stackSize
	return nil
}

// clone makes the process.
func (c *child) clone(a *assembler, lines *lines, args *cloneArgs, fork func(*cloneArgs, *machine) (uintptr, syscall.Errno)) error {
	args.flags |= everyChild
	args.pidFD = uint64(uintptr(unsafe.Pointer(&c.fd)))
	pid, errno := fork(args, c.machine)
	runtime.KeepAlive(c)
	a.keepAlive()
	if errno != 0 {
		return errno
	}
	lines.closeChildEnds()
	// Waiting for it then holds no thread.
	_ = unix.SetNonblock(int(c.fd), true)
	c.pid, c.pidfd = int(pid), os.NewFile(uintptr(c.fd), "pidfd")
	return nil
}

// release gives back what a child worked with.
func (c *child) release(a *assembler) {
	a.keepAlive()
	runtime.KeepAlive(c.machine)
	if c.stack != nil {
		_ = unix.Munmap(c.stack)
	}
	c.machine, c.stack = nil, nil
}

// awaitExec waits until the child runs the program of a process. One that was ended before, and could not tell, has closed its end of
// the reports as well.
func (c *child) awaitExec(a *assembler, lines *lines, p *monitorv1.Process) error {
	if _, err := lines.await(a, 0); err != nil {
		return explain(err)
	}
	return c.hasRun(p)
}

// hasRun tells whether a child that has closed its end of the reports runs the program of a process, or did.
func (c *child) hasRun(p *monitorv1.Process) error {
	// Behind the name, which may hold anything, are six fields and the flags. Whoever cannot read them does not know whether there is an end
	// to wait for.
	text, err := readProc(strconv.Itoa(c.pid), "stat", make([]byte, 512))
	if err != nil {
		return failed(step{operation: opRun, object: p.GetArgv()[0]}, err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) > 6 {
		if flags, _ := strconv.Atoi(fields[6]); flags&neverRan == 0 {
			return nil
		}
	}
	e := &Error{Operation: opRun, Object: p.GetArgv()[0], Message: killedBefore}
	exit, err := c.wait()
	if err == nil && len(p.GetSeccomp()) > 0 && exit.Signal != unix.SIGKILL {
		e.Kind = monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE
		e.Message = "system call filter " + quote(p.GetSeccompName()) + " killed the process before its program ran: " + exit.String()
	}
	return e
}

// neverRan is the kernel's flag of a process that has called no execve (PF_FORKNOEXEC). It has the flag until it is reaped.
const neverRan = 0x40

// destroy ends the child, whatever it does, and leaves nothing of it.
func (c *child) destroy() {
	_ = c.signal(unix.SIGKILL)
	_, _ = c.wait()
	_ = c.pidfd.Close()
}

func (c *child) signal(s syscall.Signal) error {
	return unix.PidfdSendSignal(int(c.pidfd.Fd()), s, nil, 0)
}

// wait waits for the end of the process and reaps it.
func (c *child) wait() (Exit, error) {
	connection, err := c.pidfd.SyscallConn()
	if err != nil {
		return Exit{}, err
	}
	var info exitInfo
	var failed error
	err = connection.Read(func(fd uintptr) bool {
		info, failed = reap(int(fd))
		return failed != nil || info.pid != 0
	})
	if err = errors.Join(err, failed); err != nil {
		return Exit{}, err
	}
	return info.exit(), nil
}

// exitInfo is the part of siginfo_t that waitid(2) fills in.
type exitInfo struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	uid                uint32
	status             int32
	_                  [100]byte
}

// reap asks whether a process has ended, and reaps it if it has; pid is 0 if not.
func reap(pidfd int) (exitInfo, error) {
	for {
		var info exitInfo
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_PIDFD, uintptr(pidfd),
			uintptr(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG, 0, 0)
		switch errno {
		case 0:
			return info, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return exitInfo{}, nil
		default:
			return info, errno
		}
	}
}

// Codes of a siginfo_t of SIGCHLD.
const codeExited = 1

func (i exitInfo) exit() Exit {
	if i.code == codeExited {
		return Exit{Code: int(i.status)}
	}
	return Exit{Signal: syscall.Signal(i.status)}
}
