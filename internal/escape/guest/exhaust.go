package main

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"syscall"

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

// exhaust takes as much as it gets of all that a host has but once, and keeps it.
func exhaust(r *report, _ []string) {
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
	count("cgroups", 2000, func(n int) error { return os.Mkdir("/sys/fs/cgroup/exhaust-"+strconv.Itoa(n), 0o755) })
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
		_, err := os.StartProcess("/proc/self/exe", []string{"guest", "pause"}, &os.ProcAttr{})
		return err
	})
}

// setClock sets the time zone of the kernel to what it is, which needs the right to set its clock.
func setClock(r *report, _ []string) {
	zone := [2]int32{}
	r.reach("settimeofday", settimeofday(&zone))
	r.reach("clock_adjtime", adjustClock())
}
