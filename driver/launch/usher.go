package launch

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An usher makes the child of a launch where there are namespaces already: only a process of its own can enter a user namespace, and
// only who is in one makes mount and PID namespaces that belong to it. It shares our memory and our descriptors, enters, clones, and
// is gone, all within one system call of ours. The child is ours and not the usher's.
type usher struct {
	enter [3]entry
	args  *cloneArgs
	child *machine
	// program is where the child begins.
	program uintptr
	// tid is the child's number, which the kernel writes here as it makes the child; 0 if there is none.
	tid int32
	// errno is why there is none.
	errno syscall.Errno
}

// entry is a namespace to enter; none if the flag is 0.
type entry struct{ namespace, flag uintptr }

// usherStack is how much of the child's stack its usher has, at the top: the child begins while the usher is still there.
const usherStack = 2 << 10

// spawnUshered clones a child that shares our memory, as [spawnShared] does, into namespaces that there are.
func spawnUshered(a *assembler, lines *lines, args *cloneArgs, into [3]entry) (*child, error) {
	c := &child{machine: a.machine(int(lines.reportIn.Fd()))}
	if err := c.shareMemory(args); err != nil {
		return nil, err
	}
	args.stackSize -= usherStack
	own := &cloneArgs{
		flags: unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_FILES, exitSignal: uint64(unix.SIGCHLD),
		stack: args.stack + args.stackSize, stackSize: usherStack,
	}
	u := &usher{enter: into, args: args, child: c.machine, program: addressOf(run), errno: unix.ESRCH}
	args.flags |= unix.CLONE_PARENT | unix.CLONE_PARENT_SETTID
	args.parentTID = uint64(uintptr(unsafe.Pointer(&u.tid)))
	args.exitSignal = 0 // its end is signalled as the usher's would be
	err := c.clone(a, lines, args, func(*cloneArgs, *machine) (uintptr, syscall.Errno) { return u.bring(own) })
	if err != nil {
		c.release(a)
		return nil, err
	}
	return c, nil
}

// bring has the usher do its work, and reaps it.
func (u *usher) bring(own *cloneArgs) (pid uintptr, errno syscall.Errno) {
	defer runtime.KeepAlive(u)
	usher, errno := forkUsher(own, u)
	if errno != 0 {
		return 0, errno
	}
	for {
		if _, err := unix.Wait4(int(usher), nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	if u.tid != 0 {
		return uintptr(u.tid), 0
	}
	return 0, u.errno
}

// forkUsher makes an usher and returns when it is gone.
//
//go:noinline
//go:norace
//go:nocheckptr
func forkUsher(own *cloneArgs, u *usher) (pid uintptr, errno syscall.Errno) {
	entry := addressOf(showIn)
	beforeFork()
	pid, failed := cloneShared(uintptr(unsafe.Pointer(own)), unsafe.Sizeof(*own), unsafe.Pointer(u), entry)
	afterFork()
	return pid, syscall.Errno(failed)
}

// showIn is what an usher does. Like [run], it has no Go runtime.
//
//go:nosplit
//go:norace
//go:nocheckptr
func showIn(u *usher) {
	var errno syscall.Errno
	for i := range u.enter {
		if e := &u.enter[i]; errno == 0 && e.flag != 0 {
			_, _, errno = syscall.RawSyscall6(unix.SYS_SETNS, e.namespace, e.flag, 0, 0, 0, 0)
		}
	}
	if errno == 0 {
		_, failed := cloneShared(uintptr(unsafe.Pointer(u.args)), unsafe.Sizeof(*u.args), unsafe.Pointer(u.child), u.program)
		errno = syscall.Errno(failed)
	}
	u.errno = errno
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0)
	}
}
