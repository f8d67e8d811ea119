package main

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// flood writes so many MiB to its terminal, with all that a terminal may mind and never the end of a line.
func flood(r *report, args []string) {
	mib, _ := strconv.Atoi(args[0])
	chunk := bytes.Repeat([]byte("\x1b[2J\x1b]0;title\x07\x00\xff\x9b6n<fake>"), 2048)
	for written := 0; written < mib<<20; {
		n, err := os.Stdout.Write(chunk)
		if err != nil {
			r.try("write", err)
			return
		}
		written += n
	}
	_, _ = os.Stdout.WriteString("\n")
	r.try("flood", nil)
}

// as runs a program as a user: UID PROGRAM ARGUMENT….
func as(r *report, args []string) {
	uid, _ := strconv.Atoi(args[0])
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	r.try("run "+args[1], cmd.Run())
}

// exhaust takes as much as it gets of all that a host has but once, and keeps it: MOUNTS at most, which take their time.
func exhaust(r *report, args []string) {
	mounts, _ := strconv.Atoi(args[0])
	count := func(what string, most int, one func(n int) error) {
		var err error
		n := 0
		for ; n < most && err == nil; n++ {
			err = one(n)
		}
		if err != nil {
			r.try(what, err)
			n--
		}
		r.fact(what, strconv.Itoa(n))
	}
	count("terminals", 4096, func(int) error {
		_, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		return err
	})
	count("inotify", 100_000, func(int) error {
		_, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		return err
	})
	count("cgroups", 5000, func(n int) error { return os.Mkdir("/sys/fs/cgroup/exhaust-"+strconv.Itoa(n), 0o755) })
	deep := "/sys/fs/cgroup/exhaust"
	count("cgroups within each other", 100, func(int) error {
		deep += "/x"
		return os.MkdirAll(deep, 0o755)
	})
	count("keys", 2000, func(n int) error {
		_, err := unix.AddKey("user", "exhaust-"+strconv.Itoa(n), []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
		return err
	})
	// On many places: one that is mounted upon again and again is gone through from the bottom each time.
	for n := range 1000 {
		_ = os.MkdirAll("/dev/shm/mounts/"+strconv.Itoa(n), 0o755)
	}
	count("mounts", mounts, func(n int) error {
		return unix.Mount("/dev", "/dev/shm/mounts/"+strconv.Itoa(n%1000), "", unix.MS_BIND, "")
	})
	// Of these a host minds a few already: they are taken down one by one.
	count("network namespaces", 100, func(int) error { return holdNetwork() })
	shm, err := os.OpenFile("/dev/shm/fill", os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		mib := make([]byte, 1<<20)
		count("MiB of shm", 4096, func(int) error {
			_, err := shm.Write(mib)
			return err
		})
		_ = os.Remove("/dev/shm/fill")
		_ = shm.Close()
	}
	count("processes", 100_000, func(int) error {
		// Where one was killed memory is the limit; to go on would only have the kernel look for the next, again and again.
		if pid, _ := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid > 0 {
			return unix.ENOMEM
		}
		return fork(pauseRaw)
	})
}

// holdNetwork makes a network namespace and keeps it.
func holdNetwork() error {
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the namespace's last process, its file stays open
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- err
			return
		}
		_, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY, 0)
		made <- err
	}()
	return <-made
}

// fork makes a process that goes on with body, which makes raw system calls alone: nothing of Go's runtime runs there any more. It
// is what the kernel kills first when memory is short.
func fork(body func()) error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		at := unix.AT_FDCWD
		fd, _, _ := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(&scorePath[0])), unix.O_WRONLY, 0, 0, 0)
		_, _, _ = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&highestScore[0])), uintptr(len(highestScore)))
		_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		body()
	}
	return nil
}

var (
	scorePath    = []byte("/proc/self/oom_score_adj\x00")
	highestScore = []byte("1000")
)

// pauseRaw waits for ever.
func pauseRaw() {
	for {
		_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// bomb makes processes that make processes, whatever becomes of them, and processes that fill memory, for ever.
func bomb(r *report, _ []string) {
	r.try("bomb", fork(bombRaw))
	r.try("fill memory", fork(fillRaw))
}

func bombRaw() {
	for {
		_, _, _ = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	}
}

// fillRaw has children fill memory until they are killed, again and again.
func fillRaw() {
	for {
		pid, _, _ := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if pid != 0 {
			_, _, _ = unix.RawSyscall6(unix.SYS_WAIT4, pid, 0, 0, 0, 0, 0)
			continue
		}
		for {
			const size = 1 << 20
			private := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_POPULATE
			_, _, _ = unix.RawSyscall6(unix.SYS_MMAP, 0, size, unix.PROT_READ|unix.PROT_WRITE, uintptr(private), ^uintptr(0), 0)
		}
	}
}

// setClock sets the time zone of the kernel to what it is, which needs the right to set its clock.
func setClock(r *report, _ []string) {
	zone := [2]int32{}
	r.reach("settimeofday", settimeofday(&zone))
	r.reach("clock_adjtime", adjustClock())
}
