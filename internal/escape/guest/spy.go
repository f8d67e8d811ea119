package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stranger is a process that does not run our program, as far as one can see.
type stranger struct {
	dir string
	pid int
	// hidden: one may not even ask what it runs.
	hidden bool
}

// strangers looks at every process but ourselves.
func strangers(r *report) []stranger {
	var own unix.Stat_t
	if unix.Stat("/proc/self/exe", &own) != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	r.try("scan", err)
	var found []stranger
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		s := stranger{dir: "/proc/" + e.Name(), pid: pid}
		var stat unix.Stat_t
		switch err := unix.Stat(s.dir+"/exe", &stat); err {
		case nil:
			if stat.Dev == own.Dev && stat.Ino == own.Ino {
				continue
			}
		case unix.EACCES, unix.EPERM:
			s.hidden = true
		default: // it is gone, or a thread of the kernel
			continue
		}
		found = append(found, s)
	}
	return found
}

// exeOverwrite opens for writing whatever program another process runs that is not the image's: at once, and by a descriptor
// held until the process has ended.
func exeOverwrite(r *report, _ []string) {
	r.begun()
	var held []int
	for again := true; again; again = !stopped() || len(held) > 0 {
		for _, s := range strangers(r) {
			if fd, err := unix.Open(s.dir+"/exe", unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil || !isOwn(fd) {
				r.try("open a program for writing", err)
				_ = unix.Close(fd)
			}
			// By now it may have become the image's own.
			fd, err := unix.Open(s.dir+"/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
			if err == nil && len(held) < 64 && !isOwn(fd) {
				held = append(held, fd)
			} else if err == nil {
				_ = unix.Close(fd)
			}
		}
		held = reopen(r, held)
	}
}

// isOwn tells whether a descriptor is of our own program.
func isOwn(fd int) bool {
	var own, stat unix.Stat_t
	return unix.Stat("/proc/self/exe", &own) == nil && unix.Fstat(fd, &stat) == nil && own.Dev == stat.Dev && own.Ino == stat.Ino
}

// reopen opens for writing what is held, and forgets it once that has worked or can no longer.
func reopen(r *report, held []int) []int {
	var rest []int
	for _, fd := range held {
		again, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if r.try("open a held program for writing", err) {
			_ = unix.Close(again)
		}
		if err == unix.ETXTBSY && !stopped() {
			rest = append(rest, fd)
			continue
		}
		_ = unix.Close(fd)
	}
	return rest
}

// joinSpy reaches for the memory, descriptors, root and control of whoever enters, before it runs the image's program.
func joinSpy(r *report, _ []string) {
	runtime.LockOSThread()
	r.begun()
	for again := true; again; again = !stopped() {
		for _, s := range strangers(r) {
			spyOn(r, s)
		}
		letGo()
	}
}

// letGo frees those that stopped late, and buries those that died while they were held: their parent waits for that.
func letGo() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WALL, nil)
		if err != nil || pid <= 0 {
			return
		}
		if status.Stopped() {
			_ = unix.PtraceDetach(pid)
		}
	}
}

func spyOn(r *report, s stranger) {
	if !s.hidden {
		// It was seen with another program than ours: that alone is what must not be.
		exe, err := os.Readlink(s.dir + "/exe")
		if err == nil && !strings.HasPrefix(exe, "/bin/guest") && !strings.HasPrefix(exe, "/sbin/init") {
			r.try("see a program", nil)
			r.fact("program", exe)
		}
		for _, name := range []string{"mem", "root", "cwd"} {
			fd, err := unix.Open(s.dir+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if r.try("open "+name, err) {
				_ = unix.Close(fd)
			}
		}
	} else {
		r.try("see a program", unix.EACCES)
		for _, name := range []string{"fd", "map_files"} {
			// The process may have become the image's own by now: only refusals are of interest here.
			if _, err := os.ReadDir(s.dir + "/" + name); err != nil {
				r.try("list "+name, err)
			}
		}
	}
	seize(r, s)
}

// seize takes hold of a process and looks at what it runs.
func seize(r *report, s stranger) {
	if err := unix.PtraceSeize(s.pid); err != nil {
		r.try("trace", err)
		return
	}
	_ = unix.PtraceInterrupt(s.pid)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		var status unix.WaitStatus
		if pid, err := unix.Wait4(s.pid, &status, unix.WNOHANG|unix.WALL, nil); err != nil || pid == s.pid {
			break
		}
	}
	exe, err := os.Readlink(s.dir + "/exe")
	if err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != "guest" && exe != "/sbin/init" {
		r.try("trace", nil)
		r.fact("traced", exe)
	}
	_ = unix.PtraceDetach(s.pid)
}

// swapTerminals puts files in the place of the terminals that the next command may be given, until it is stopped.
func swapTerminals(r *report, _ []string) {
	r.begun()
	for again := true; again; again = !stopped() {
		for _, path := range []string{"/dev/pts/0", "/dev/pts/1", "/dev/pts/2", "/dev/console", "/dev/ptmx", "/dev/tty"} {
			err := unix.Unlink(path)
			r.try("remove", err)
			if err == nil {
				r.try("put a link", unix.Symlink("/canary", path))
			}
		}
		r.try("unmount pts", unix.Unmount("/dev/pts", unix.MNT_DETACH))
		_ = unix.Mkdir("/fake", 0o755)
		for n := range 4 {
			_ = unix.Unlink("/fake/" + strconv.Itoa(n)) // the link of the last time
			_ = os.WriteFile("/fake/"+strconv.Itoa(n), nil, 0o666)
		}
		r.try("mount over pts", unix.Mount("/fake", "/dev/pts", "", unix.MS_BIND, ""))
		<-time.After(time.Millisecond)
	}
}
