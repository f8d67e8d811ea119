package launch

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The Go runtime prepares a thread for a fork and cleans up behind it; syscall.forkExec uses these, and package
// runtime keeps them open to others on purpose (go.dev/issue/67401).

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags      uint64
	pidFD      uint64
	childTID   uint64
	parentTID  uint64
	exitSignal uint64
	stack      uint64
	stackSize  uint64
	tls        uint64
	setTID     uint64
	setTIDSize uint64
	cgroup     uint64
}

// machine is a program as the child sees it: plain memory, nothing that Go manages.
type machine struct {
	code   *instruction
	args   *uintptr
	count  int32
	slots  *uintptr
	report *report
	// pipe takes the reports.
	pipe uintptr
}

// fork makes a child that runs the program. It has a copy of the parent's memory, so nothing that it does shows here. The
// caller keeps alive what the program points to.
//
//go:noinline
//go:norace
//go:nocheckptr
func fork(args *cloneArgs, m *machine) (pid uintptr, errno syscall.Errno) {
	beforeFork()
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	// All signals are blocked, as in [forkShared], and what would handle them is gone by the clone: there is nothing to clean up.
	run(m)
	return 0, 0
}

// cloneShared makes a child that shares the caller's memory and runs the program on the stack that the arguments name.
// It calls the function that begins at entry, in Go's own way of calling, with m.
func cloneShared(args, size uintptr, m unsafe.Pointer, entry uintptr) (pid, errno uintptr)

// addressOf is where the code of a function begins: a function value points to it.
func addressOf[T any](f func(*T)) uintptr { return **(**uintptr)(unsafe.Pointer(&f)) }

// forkShared makes a child that runs the program in the parent's own memory, beside it. It writes to the program's slots and
// to its stack, and to nothing else; both must stay until it has run another program or is gone. All signals are
// blocked in it until the program says otherwise.
//
//go:noinline
//go:norace
//go:nocheckptr
func forkShared(args *cloneArgs, m *machine) (pid uintptr, errno syscall.Errno) {
	entry := addressOf(run)
	beforeFork()
	pid, failed := cloneShared(uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), unsafe.Pointer(m), entry)
	afterFork()
	return pid, syscall.Errno(failed)
}

// run goes through a program and does not return. It runs in a child without a Go runtime: it must not allocate, grow its
// stack, panic, or call anything but system calls.
//
//go:nosplit
//go:norace
//go:nocheckptr
func run(m *machine) {
	var args [6]uintptr
	var result uintptr
	var errno syscall.Errno
	for at := int32(0); at < m.count; {
		in := (*instruction)(unsafe.Add(unsafe.Pointer(m.code), uintptr(at)*unsafe.Sizeof(instruction{})))
		for i := range args {
			if args[i] = 0; i >= int(in.count) {
				continue
			}
			args[i] = *argumentAt(m, in, i)
			if in.kind(i) == slot {
				args[i] = *slotAt(m, args[i])
			}
		}
		result, errno = 0, 0
		next := int32(in.then)
		switch in.number() {
		case trapFail:
			errno = syscall.Errno(args[0])
		case trapJumpIf:
			if args[0] == 0 {
				next = 0
			}
		case trapFirstByte:
			if *(*byte)(unsafe.Pointer(slotAt(m, args[0]))) != byte(args[1]) {
				errno = syscall.Errno(args[2])
			}
		case trapTry:
			if left := slotAt(m, args[0]); *left == 0 {
				errno = syscall.Errno(args[1])
			} else {
				*left--
			}
		default:
			result, _, errno = syscall.RawSyscall6(in.number(), args[0], args[1], args[2], args[3], args[4], args[5])
			if errno == 0 && in.exact && result != *argumentAt(m, in, int(in.count)) {
				errno = syscall.EPIPE
			}
		}
		if errno == 0 {
			*slotAt(m, uintptr(in.out)) = result
		} else if next = branchFor(in, errno); next < 0 {
			giveUp(m, at, errno)
		}
		if next == 0 {
			next = at + 1
		}
		at = next
	}
	giveUp(m, m.count, syscall.ENOEXEC)
}

//go:nosplit
//go:norace
//go:nocheckptr
func slotAt(m *machine, n uintptr) *uintptr {
	return (*uintptr)(unsafe.Add(unsafe.Pointer(m.slots), n*unsafe.Sizeof(uintptr(0))))
}

//go:nosplit
//go:norace
//go:nocheckptr
func argumentAt(m *machine, in *instruction, i int) *uintptr {
	return (*uintptr)(unsafe.Add(unsafe.Pointer(m.args), (uintptr(in.first)+uintptr(i))*unsafe.Sizeof(uintptr(0))))
}

// branchFor is where an error leads, or -1 if it is a failure.
//
//go:nosplit
//go:norace
func branchFor(in *instruction, errno syscall.Errno) int32 {
	for i := range in.on {
		if in.on[i].errno == uint16(errno) {
			return int32(in.on[i].to)
		}
	}
	return -1
}

// giveUp tells the parent which instruction failed, and ends the child: by a fault, if its filter of system calls leaves it no other way.
//
//go:nosplit
//go:norace
//go:nocheckptr
func giveUp(m *machine, at int32, errno syscall.Errno) {
	m.report.kind, m.report.index, m.report.value = reportFailed, at, int64(errno)
	_, _, _ = syscall.RawSyscall6(unix.SYS_WRITE, m.pipe, uintptr(unsafe.Pointer(m.report)), unsafe.Sizeof(*m.report), 0, 0, 0)
	_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
	for {
		*slotAt(&machine{}, 0) = 0 // there is nothing
	}
}
