package native_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// injectable are the system calls that a start is made of and that may fail for want of something, and what they fail with. Those that
// only wait, read or write are not among them, nor those by which Go's runtime gets memory and threads.
var injectable = map[int32]struct {
	name  string
	errno unix.Errno
}{
	unix.SYS_OPENAT: {"openat", unix.EMFILE}, unix.SYS_OPENAT2: {"openat2", unix.EMFILE}, unix.SYS_SOCKET: {"socket", unix.EMFILE},
	unix.SYS_SOCKETPAIR: {"socketpair", unix.EMFILE}, unix.SYS_ACCEPT4: {"accept4", unix.EMFILE}, unix.SYS_PIPE2: {"pipe2", unix.EMFILE},
	unix.SYS_MEMFD_CREATE: {"memfd_create", unix.EMFILE}, unix.SYS_PIDFD_OPEN: {"pidfd_open", unix.EMFILE}, unix.SYS_DUP3: {"dup3", unix.EMFILE},
	unix.SYS_FCNTL: {"fcntl(F_DUPFD)", unix.EMFILE}, unix.SYS_TIMERFD_CREATE: {"timerfd_create", unix.EMFILE},
	unix.SYS_OPEN_TREE: {"open_tree", unix.ENFILE}, unix.SYS_FSOPEN: {"fsopen", unix.EMFILE}, unix.SYS_FSMOUNT: {"fsmount", unix.ENFILE},
	unix.SYS_CLONE: {"clone", unix.EAGAIN}, unix.SYS_CLONE3: {"clone3", unix.EAGAIN}, unix.SYS_EXECVE: {"execve", unix.EAGAIN},
	unix.SYS_UNSHARE: {"unshare", unix.ENOSPC}, unix.SYS_SETNS: {"setns", unix.ENOMEM}, unix.SYS_FSCONFIG: {"fsconfig", unix.ENOMEM},
	unix.SYS_MOVE_MOUNT: {"move_mount", unix.ENOMEM}, unix.SYS_MOUNT_SETATTR: {"mount_setattr", unix.ENOMEM}, unix.SYS_MOUNT: {"mount", unix.ENOMEM},
	unix.SYS_UMOUNT2: {"umount2", unix.ENOMEM}, unix.SYS_PIVOT_ROOT: {"pivot_root", unix.ENOMEM}, unix.SYS_MKDIRAT: {"mkdirat", unix.ENOSPC},
	unix.SYS_MKNODAT: {"mknodat", unix.ENOSPC}, unix.SYS_SYMLINKAT: {"symlinkat", unix.ENOSPC}, unix.SYS_LINKAT: {"linkat", unix.ENOSPC},
	unix.SYS_RENAMEAT2: {"renameat2", unix.ENOSPC}, unix.SYS_RENAMEAT: {"renameat", unix.ENOSPC}, unix.SYS_FTRUNCATE: {"ftruncate", unix.ENOSPC},
	unix.SYS_FCHOWNAT: {"fchownat", unix.ENOMEM}, unix.SYS_FCHMODAT: {"fchmodat", unix.ENOMEM}, unix.SYS_BIND: {"bind", unix.ENOMEM},
	unix.SYS_LISTEN: {"listen", unix.ENOMEM}, unix.SYS_CONNECT: {"connect", unix.EAGAIN}, unix.SYS_SENDMSG: {"sendmsg", unix.ENOMEM},
	unix.SYS_SENDTO: {"sendto", unix.ENOMEM}, unix.SYS_RECVMSG: {"recvmsg", unix.ENOMEM}, unix.SYS_FLOCK: {"flock", unix.ENOMEM},
	unix.SYS_GETDENTS64: {"getdents64", unix.ENOMEM}, unix.SYS_EPOLL_CTL: {"epoll_ctl", unix.ENOMEM}, unix.SYS_IOCTL: {"ioctl", unix.ENOMEM},
	unix.SYS_SECCOMP: {"seccomp", unix.ENOMEM}, unix.SYS_FSYNC: {"fsync", unix.EIO}, unix.SYS_FDATASYNC: {"fdatasync", unix.EIO},
	unix.SYS_FSTAT: {"fstat", unix.ENOMEM}, unix.SYS_STATX: {"statx", unix.ENOMEM}, unix.SYS_READLINKAT: {"readlinkat", unix.ENOMEM},
}

// notification and answer are struct seccomp_notif and struct seccomp_notif_resp.
type notification struct {
	id         uint64
	pid, flags uint32
	number     int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id           uint64
	value        int64
	fault, flags int32
}

// call is a system call of a start: who makes it, which, and how many of those came before.
type call struct {
	who    string
	number int32
	nth    int
}

func (c call) String() string {
	return fmt.Sprintf("%s %s %d", c.who, injectable[c.number].name, c.nth)
}

// listen has all injectable system calls of this process, and of those that it starts, wait for somebody's answer. It gives the
// descriptor of who answers.
func listen() (int, error) {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for number := range injectable {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(number)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		)
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
		unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// warden answers system calls: one fails, if it is made, and all others are made.
type warden struct {
	fd   int
	fail *call

	mu     sync.Mutex
	armed  bool
	count  map[call]int    // by call, of which nth is 0
	polls  map[uint32]bool // processes whose runtime has its epoll
	calls  []call
	struck bool
}

// watch answers until all processes that ask have ended.
func (w *warden) watch() {
	for {
		fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil {
			continue
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // who asked has been killed
		}
		a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if w.fails(n) {
			a.flags, a.fault = 0, -int32(injectable[n.number].errno)
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
	}
}

// fails counts a call, and tells whether it is the one that is to fail.
func (w *warden) fails(n notification) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed {
		return false
	}
	switch n.number {
	case unix.SYS_FCNTL:
		if n.args[1] != unix.F_DUPFD_CLOEXEC && n.args[1] != unix.F_DUPFD {
			return false
		}
	case unix.SYS_CLONE:
		if n.args[0]&unix.CLONE_THREAD != 0 {
			return false // Go's runtime does without a thread by ending
		}
	case unix.SYS_EPOLL_CTL:
		if !w.polls[n.pid] { // and without its own descriptor in its own epoll too
			w.polls[n.pid] = true
			return false
		}
	}
	who := nameOf(n.pid)
	if who == "" {
		return false
	}
	c := call{who: who, number: n.number}
	w.count[c]++
	c.nth = w.count[c]
	w.calls = append(w.calls, c)
	if w.fail == nil || *w.fail != c {
		return false
	}
	w.struck = true
	return true
}

// nameOf tells whose process it is, nothing if it is the guest's.
func nameOf(pid uint32) string {
	tgid := strconv.Itoa(int(pid))
	text, _ := os.ReadFile(filepath.Join("/proc", tgid, "status"))
	_, after, _ := strings.Cut(string(text), "Tgid:\t")
	tgid, _, _ = strings.Cut(after, "\n")
	line, _ := os.ReadFile(filepath.Join("/proc", tgid, "cmdline"))
	argv := strings.Split(string(line), "\x00")
	exe, _ := os.Readlink(filepath.Join("/proc", tgid, "exe"))
	own, _ := os.Readlink("/proc/self/exe")
	switch {
	case exe == own:
		return "davitd"
	case len(argv) > 1 && strings.Contains(argv[0], "keeper") || slices.Contains(argv, "--keeper"):
		return "keeper"
	case strings.Contains(argv[0], "davit-monitor") || strings.Contains(exe, "davit-monitor"):
		return "monitor"
	}
	return ""
}

// take takes a descriptor of another process.
func take(t *testing.T, pid, number int) int {
	t.Helper()
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(process) }()
	fd, err := unix.PidfdGetfd(process, number, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
