package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maskedPaths are what runtimes hide of proc and sysfs, and what they make read-only.
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys", "/proc/kpagecgroup", "/proc/kpagecount",
		"/proc/kpageflags", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/slabinfo", "/proc/timer_list", "/proc/timer_stats",
		"/proc/vmallocinfo", "/sys/devices/virtual/dmi", "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/kernel/debug",
		"/sys/kernel/security", "/sys/kernel/slab", "/sys/kernel/tracing",
	}
	readOnlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys"}
)

// maskedKnobs are settings of the host's that lie below what is read-only.
var maskedKnobs = []string{
	"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/sysrq", "/proc/sys/fs/suid_dumpable",
	"/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/sys/kernel/uevent_helper", "/sys/kernel/mm/ksm/run",
	"/sys/power/state",
}

// liftMasks takes away what hides and protects proc and sysfs, by each way that there may be, and looks each time what is below: KEY,
// the name of a key that only the host has.
func liftMasks(r *report, args []string) {
	look := looker{report: r, key: args[0]}
	_ = unix.Mkdir("/tmp/lift", 0o755)
	for _, tree := range []string{"/proc", "/sys"} {
		look.at(tree, "a bind of "+tree, func(place string) error { return unix.Mount(tree, place, "", unix.MS_BIND, "") })
		look.at(tree, "a clone of "+tree, func(place string) error { return cloneTo(tree, place) })
	}
	look.at("/proc", "a new proc", func(place string) error { return unix.Mount("proc", place, "proc", 0, "") })
	look.at("/sys", "a new sysfs", func(place string) error { return unix.Mount("sysfs", place, "sysfs", 0, "") })
	look.nested(args[0])
	for _, path := range readOnlyPaths {
		look.lifted("to remount "+path, unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	}
	look.below("", "remounted")
	_ = os.WriteFile("/tmp/moved", nil, 0o600)
	_ = unix.Mkdir("/tmp/moved-folder", 0o755)
	for i, path := range append(maskedPaths, readOnlyPaths...) {
		if i%2 == 0 {
			var stat unix.Stat_t
			place := "/tmp/moved"
			if unix.Stat(path, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
				place += "-folder"
			}
			if path != "/sys" {
				look.lifted("to move a mask away", unix.Mount(path, place, "", unix.MS_MOVE, ""))
			}
			continue
		}
		look.lifted("to unmount a mask", unix.Unmount(path, unix.MNT_DETACH))
	}
	look.below("", "moved away or unmounted")
}

// lookNested is what a process of a nested namespace does: KEY.
func lookNested(r *report, args []string) {
	look := looker{report: r, key: args[0]}
	look.at("/proc", "a new proc of nested namespaces", func(place string) error { return unix.Mount("proc", place, "proc", 0, "") })
	look.at("/sys", "a new sysfs of nested namespaces", func(place string) error { return unix.Mount("sysfs", place, "sysfs", 0, "") })
	look.at("/proc", "a bind of proc in nested namespaces", func(place string) error { return unix.Mount("/proc", place, "", unix.MS_BIND, "") })
}

// cloneTo mounts the clone of a mount, without those below it.
func cloneTo(tree, place string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, tree, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.MoveMount(fd, "", unix.AT_FDCWD, place, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// looker looks below masks.
type looker struct {
	report *report
	key    string
}

// lifted notes whether a mask could be lifted, which by itself gives nothing away.
func (l looker) lifted(how string, err error) {
	if err != nil {
		l.report.try(how, err)
		return
	}
	l.report.fact("lifted: "+how, "yes")
}

// at looks at a tree that is mounted anew somewhere.
func (l looker) at(tree, how string, mount func(place string) error) {
	place := "/tmp/lift"
	err := mount(place)
	l.lifted(how, err)
	if err != nil {
		return
	}
	defer func() { _ = unix.Unmount(place, unix.MNT_DETACH) }()
	_ = unix.Mount("", place, "", unix.MS_REMOUNT|unix.MS_BIND, "") // writable, if it was not
	l.under(place, tree, how)
}

// below looks at all trees, in their places.
func (l looker) below(place, how string) {
	for _, tree := range []string{"/proc", "/sys"} {
		l.under(place+tree, tree, how)
	}
}

// under looks at a tree that is seen at a place.
func (l looker) under(place, tree, how string) {
	for _, path := range maskedPaths {
		if rest, ok := strings.CutPrefix(path, tree+"/"); ok {
			l.open(place+"/"+rest, path, how)
		}
	}
	for _, path := range maskedKnobs {
		if rest, ok := strings.CutPrefix(path, tree+"/"); ok {
			l.write(place+"/"+rest, path, how)
		}
	}
}

// open reads a file, or some files of a folder, and notes what tells something.
func (l looker) open(at, path, how string) {
	left := 200
	_ = filepath.WalkDir(at, func(file string, e os.DirEntry, err error) error {
		if left--; err != nil || left < 0 || !e.Type().IsRegular() {
			return nil // what cannot be read tells nothing
		}
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			l.report.try("read "+path, err)
			return nil
		}
		defer func() { _ = unix.Close(fd) }()
		text := make([]byte, 16<<10)
		n, err := unix.Read(fd, text)
		if err == nil && l.tells(path, text[:n]) {
			l.report.try("read "+path, nil)
			l.report.fact(fmt.Sprintf("seen by %s: %s%s", how, path, strings.TrimPrefix(file, at)), fmt.Sprintf("%.60q", text[:n]))
		}
		return nil
	})
}

// tells says whether a text says what the guest is not to know.
func (l looker) tells(path string, text []byte) bool {
	switch path {
	case "/proc/keys": // of which everybody sees his own
		return bytes.Contains(text, []byte(l.key))
	case "/proc/kallsyms": // names are those of the kernel's own file; it is where they lie that matters
		for line := range bytes.Lines(text) {
			if f := bytes.Fields(line); len(f) > 1 && len(bytes.Trim(f[0], "0")) > 0 && f[1][0]|0x20 == 't' {
				return true
			}
		}
		return false
	}
	return len(text) > 0
}

// write opens a setting for writing and writes what it says, but where every write acts.
func (l looker) write(at, path, how string) {
	fd, err := unix.Open(at, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == unix.ENOENT {
		return
	}
	if err == nil {
		defer func() { _ = unix.Close(fd) }()
		if before, readErr := os.ReadFile(at); readErr == nil && strings.HasPrefix(path, "/proc/sys/") {
			_, err = unix.Write(fd, before)
		}
	}
	if l.report.try("write "+path, err) {
		l.report.fact(fmt.Sprintf("written by %s: %s", how, path), "yes")
	}
}

// nested looks from namespaces within the guest's own, where it may make them.
func (l looker) nested(key string) {
	cmd := exec.Command("/proc/self/exe", "look-nested", key)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}}, GidMappings: []syscall.SysProcIDMap{{Size: 1}},
	}
	out, err := cmd.Output()
	if !l.report.try("make nested namespaces", err) {
		return
	}
	for line := range bytes.Lines(out) {
		var f finding
		if json.Unmarshal(line, &f) != nil || f.Try == "" {
			continue
		}
		l.report.add(f)
	}
}

// makeWritable writes to what is mounted read-only, by each way that may make it writable: PATH….
func makeWritable(r *report, args []string) {
	_ = unix.Mkdir("/tmp/lift", 0o755)
	for _, path := range args {
		write := func(how, place string, err error) {
			if err != nil {
				r.try(how+" "+path, err)
				return
			}
			fd, err := unix.Open(place+"/written", unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
			if err == nil {
				_ = unix.Close(fd)
			}
			r.try(how+" "+path, err)
		}
		elsewhere := func(how string, mount func(place string) error) {
			// A root may be read-only: what is mounted has its place in dev then.
			place := "/dev/shm/lift"
			_ = unix.Mkdir(place, 0o755)
			err := mount(place)
			write(how, place, err)
			_ = unix.Unmount(place, unix.MNT_DETACH)
		}
		write("write as it is", path, nil)
		elsewhere("bind and remount", func(place string) error {
			if err := unix.Mount(path, place, "", unix.MS_BIND, ""); err != nil {
				return err
			}
			return unix.Mount("", place, "", unix.MS_REMOUNT|unix.MS_BIND, "")
		})
		elsewhere("clone and change", func(place string) error {
			if err := cloneTo(path, place); err != nil {
				return err
			}
			return unix.MountSetattr(unix.AT_FDCWD, place, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		})
		write("remount", path, unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND, ""))
		write("remount the filesystem", path, unix.Mount("", path, "", unix.MS_REMOUNT, ""))
		write("change", path, unix.MountSetattr(unix.AT_FDCWD, path, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}))
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC})
		if err == nil {
			write("change by descriptor", path, unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}))
			_ = unix.Close(fd)
		}

	}
}
