package keeper

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// childInfo is the part of siginfo_t that waitid(2) fills in, on 64-bit systems.
type childInfo struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	uid                uint32
	status             int32
	_                  [100]byte
}

// waitid waits for nobody: it tells which child is dead, and reaps it unless flags say not to. A pid of 0 means that none
// is.
func waitid(kind, id, flags int) (info childInfo, err error) {
	for {
		err = unix.Waitid(kind, id, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|flags, nil)
		if !errors.Is(err, unix.EINTR) {
			return info, err
		}
	}
}

// The codes of a childInfo.
const codeExited = 1 // CLD_EXITED; all others are deaths by a signal

// exit is how a child ended.
func (c *childInfo) exit() *monitorv1.Exit {
	if c.code == codeExited {
		return exited(&monitorv1.Exit{How: &monitorv1.Exit_Code{Code: uint32(c.status)}})
	}
	return exited(&monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(c.status)}})
}

// exited dates an exit.
func exited(exit *monitorv1.Exit) *monitorv1.Exit {
	exit.TimeUnixNs = time.Now().UnixNano()
	return exit
}

// waitPidfd is waitid for the process of a pidfd.
func waitPidfd(pidfd *os.File, flags int) (info childInfo, err error) {
	var waitErr error
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return info, err
	}
	err = raw.Control(func(fd uintptr) { info, waitErr = waitid(unix.P_PIDFD, int(fd), flags) })
	return info, errors.Join(err, waitErr)
}

// isChild tells whether the process of a pidfd is a child of ours, running or dead.
func isChild(pidfd *os.File) bool {
	_, err := waitPidfd(pidfd, unix.WNOWAIT)
	return err == nil
}

// dead tells whether the process of a pidfd has ended.
func dead(pidfd *os.File) bool {
	ended := false
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, pollErr := unix.Poll(poll, 0)
		ended = pollErr == nil && n > 0
	})
	return err == nil && ended
}

// remembered asks the kernel how a process ended that somebody else has reaped. Kernels before 6.15 do not know; later ones tell
// SIGKILL of an init that called reboot(2), by which they end it, where its parent is told SIGHUP or SIGINT. So whoever has
// reaped an init tells the keeper, and the kernel is asked only where nobody is left who could have.
func remembered(pidfd *os.File) (exit *monitorv1.Exit, known bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	var infoErr error
	raw, err := pidfd.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { infoErr = unix.IoctlPidfdInfo(int(fd), &info) })
	}
	if errors.Join(err, infoErr) != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return exited(&monitorv1.Exit{How: &monitorv1.Exit_Unknown{Unknown: true}}), false
	}
	status := syscall.WaitStatus(info.Exit_code)
	if status.Signaled() {
		return exited(&monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(status.Signal())}}), true
	}
	return exited(&monitorv1.Exit{How: &monitorv1.Exit_Code{Code: uint32(status.ExitStatus())}}), true
}
