package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// identity tells what the process is and has: descriptors, ids, rights, directories.
func identity(r *report, _ []string) {
	r.fact("descriptors", strings.Join(descriptors(), " "))
	status, err := os.ReadFile("/proc/self/status")
	r.try("read status", err)
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp":
			r.fact(name, strings.Join(strings.Fields(value), " "))
		}
	}
	for _, name := range []string{"uid_map", "gid_map"} {
		if text, mapErr := os.ReadFile("/proc/self/" + name); mapErr == nil {
			r.fact(name, strings.Join(strings.Fields(string(text)), " "))
		}
	}
	cwd, err := unix.Getwd()
	if err != nil {
		cwd = err.Error()
	}
	r.fact("cwd", strings.TrimRight(cwd, "\x00"))
	var here, root unix.Stat_t
	if unix.Stat("/", &root) == nil && unix.Lstat("..", &here) == nil {
		r.fact("root", fmt.Sprintf("%d:%d", root.Dev, root.Ino))
	}
	host, _ := os.Hostname()
	r.fact("hostname", host)
}

// descriptors lists the open descriptors but the ones of the Go runtime and of the look itself.
func descriptors() []string {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return []string{err.Error()}
	}
	defer func() { _ = dir.Close() }()
	own := strconv.Itoa(int(dir.Fd()))
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, name := range names {
		target, err := os.Readlink("/proc/self/fd/" + name)
		// Go's own: what it polls with, and the limit of its cgroup that it watches.
		if err != nil || name == own || strings.HasPrefix(target, "anon_inode:[event") || target == "/sys/fs/cgroup/cpu.max" {
			continue
		}
		if n, _ := strconv.Atoi(name); n > 2 {
			name += " (" + target + ")"
		}
		found = append(found, name)
	}
	number := func(s string) int {
		digits, _, _ := strings.Cut(s, " ")
		n, _ := strconv.Atoi(digits)
		return n
	}
	sort.Slice(found, func(i, j int) bool { return number(found[i]) < number(found[j]) })
	return found
}

// environment tells all of the environment.
func environment(r *report, _ []string) {
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		r.fact(name, value)
	}
}

// standardInput tells what its standard files are.
func standardInput(r *report, _ []string) {
	for fd := range 3 {
		var stat unix.Stat_t
		if err := unix.Fstat(fd, &stat); err != nil {
			r.fact(strconv.Itoa(fd), err.Error())
			continue
		}
		kind := map[uint32]string{unix.S_IFCHR: "device", unix.S_IFIFO: "pipe", unix.S_IFREG: "file", unix.S_IFSOCK: "socket"}[stat.Mode&unix.S_IFMT]
		r.fact(strconv.Itoa(fd), fmt.Sprintf("%s %d", kind, unix.Major(stat.Rdev)))
	}
}

// read reads files, a page of each at most.
func read(r *report, args []string) {
	for _, path := range args {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			r.try("read "+path, err)
			continue
		}
		page := make([]byte, 4096)
		n, err := unix.Read(fd, page)
		_ = unix.Close(fd)
		if r.try("read "+path, err) {
			r.fact("text of "+path, string(page[:max(n, 0)]))
		}
	}
}

// walk looks for files by their device and inode, DEV:INO…, everywhere in its sight: below the root over all mounts, in the
// programs, memory maps and descriptors of all processes.
func walk(r *report, args []string) {
	wanted := map[string]bool{}
	for _, id := range args {
		wanted[id] = true
	}
	seen := 0
	look := func(path string) {
		var stat unix.Stat_t
		if unix.Stat(path, &stat) != nil {
			return
		}
		seen++
		if id := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino); wanted[id] {
			r.try("reach a program of the host", nil)
			r.fact("reached by "+path, id)
		}
	}
	_ = filepath.WalkDir("/", func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read is not reached
		}
		if e.IsDir() && (path == "/proc" || path == "/sys") {
			return filepath.SkipDir
		}
		look(path)
		return nil
	})
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		look(p + "/exe")
		for _, dir := range []string{"map_files", "fd"} {
			entries, _ := os.ReadDir(p + "/" + dir)
			for _, e := range entries {
				look(p + "/" + dir + "/" + e.Name())
			}
		}
	}
	r.fact("files seen", strconv.Itoa(seen))
}
