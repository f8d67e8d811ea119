package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// spy looks into every other process for ever, and tells what it finds of one that is not a guest: a program, a
// descriptor beyond the standard files, a root or working directory of the host.
func spy([]string) error {
	say("spying")
	for {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() {
				look(pid)
			}
		}
	}
}

func look(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	exe, err := os.Readlink(dir + "/exe")
	if err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != "guest" {
		sayf("spied program %s of %d\n", exe, pid)
		if fd, err := unix.Open(dir+"/exe", unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
			sayf("spied program %s of %d writable as %d\n", exe, pid, fd)
		}
		if entries, err := os.ReadDir(dir + "/fd"); err == nil {
			sayf("spied %d descriptors of %d\n", len(entries), pid)
		}
		if err := unix.PtraceSeize(pid); err == nil {
			sayf("spied on %d by ptrace\n", pid)
			// Seen is enough; a process that is held would hang whoever waits for it.
			_ = unix.PtraceInterrupt(pid)
			_ = unix.PtraceDetach(pid)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}
