package main

import (
	"errors"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// foreignCalls makes system calls by another numbering than the machine's own, and by numbers of tomorrow.
func foreignCalls(r *report, _ []string) {
	if has32 {
		// The filter may answer with death.
		err := exec.Command("/proc/self/exe", "int80").Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == -1 {
			err = unix.EPERM
		}
		r.try("call of i386", err)
		r.reach("call of x32", call(0x40000000|uintptr(unix.SYS_GETPID)))
	}
	r.reach("clone3", call(unix.SYS_CLONE3, 0, 0))
	r.reach("a call of tomorrow", call(1000))
}

// int80Child ends with success where io_uring_setup, which no domain has, gets through by i386's number: whatever then comes of its
// arguments. That a whole system may run programs of i386 is meant.
func int80Child(*report, []string) {
	if int80(unix.SYS_IO_URING_SETUP) == -int(unix.ENOSYS) {
		os.Exit(1)
	}
	os.Exit(0)
}
