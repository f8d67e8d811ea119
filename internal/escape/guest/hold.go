package main

import (
	"os/exec"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// holdCalls installs a filter of its own that asks it about a call and never answers, and makes that call.
func holdCalls(r *report, _ []string) {
	installed := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread is lost: it waits for an answer that never comes
		_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		// If the call is getpriority, ask; else allow.
		program := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_GETPRIORITY},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&filter)))
		runtime.KeepAlive(program)
		if errno != 0 {
			installed <- errno
			return
		}
		installed <- nil
		_, _ = unix.Getpriority(unix.PRIO_PROCESS, 0)
	}()
	r.try("install a notifying filter", <-installed)
	<-time.After(50 * time.Millisecond) // the call is made by then, mostly; if not, the next process is entered all the same
}

// runForAWhile runs a program for a second: PROGRAM ARGUMENT….
func runForAWhile(r *report, args []string) {
	cmd := exec.Command(args[0], args[1:]...)
	if !r.try("start", cmd.Start()) {
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		r.try("run", err)
	case <-time.After(time.Second):
		_ = cmd.Process.Kill()
		r.try("run", <-ended)
	}
}
