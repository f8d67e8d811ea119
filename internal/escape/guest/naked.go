package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The commands of this file are the controls: what a careless runtime does. They run on the host, in namespaces of their own.

// naked runs an attack without any defence, as root of the host: ROOT ATTACK…. The suite gives it a mount and a pid namespace;
// the root gets proc, the host's sys, a small dev and a pts.
func naked(r *report, args []string) {
	root := args[0]
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return unix.Mount("proc", root+"/proc", "proc", 0, "") },
		func() error { return unix.Mount("/sys", root+"/sys", "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return nakedDev(root + "/dev") },
		func() error { return unix.Chroot(root) },
		func() error { return unix.Chdir("/") },
	} {
		if err := step(); err != nil {
			r.fact("error", err.Error())
			return
		}
	}
	err := unix.Exec("/bin/guest", append([]string{"guest"}, args[1:]...), os.Environ())
	r.fact("error", fmt.Sprintf("run /bin/guest: %v", err))
}

// nakedReadOnly is naked with a volume that is given to be read: ROOT VOLUME ATTACK….
func nakedReadOnly(r *report, args []string) {
	root, volume := args[0], args[1]
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return unix.Mount(volume, root+"/vol", "", unix.MS_BIND, "") },
		func() error {
			return unix.Mount("", root+"/vol", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		},
	} {
		if err := step(); err != nil {
			r.fact("error", err.Error())
			return
		}
	}
	naked(r, append([]string{root}, args[2:]...))
}

// nakedDev makes a folder of devices that is nobody else's.
func nakedDev(dev string) error {
	if err := unix.Mount("dev", dev, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := unix.Mknod(dev+"/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			return err
		}
	}
	for _, dir := range []string{"pts", "shm"} {
		if err := unix.Mkdir(dev+"/"+dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", dev+"/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return err
	}
	if err := unix.Mount("shm", dev+"/shm", "tmpfs", 0, "size=4m"); err != nil {
		return err
	}
	return unix.Symlink("pts/ptmx", dev+"/ptmx")
}

// naiveJoin enters the pid namespace of a process and runs its own program there for a moment, as runtimes did before they
// copied themselves: PID.
func naiveJoin(r *report, args []string) {
	runtime.LockOSThread()
	ns, err := unix.Open("/proc/"+args[0]+"/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Setns(ns, unix.CLONE_NEWPID)
	}
	if !r.try("join", err) {
		return
	}
	p, err := os.StartProcess("/proc/self/exe", []string{"runtime", "linger"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if r.try("run", err) {
		_, _ = p.Wait()
	}
}

// naiveFurnish prepares a root by the names of paths, following whatever is there: ROOT.
func naiveFurnish(r *report, args []string) {
	for _, dir := range []string{"dev/pts", "dev/shm", "proc", "sys", "tmp", "run", "etc"} {
		r.try("make folder "+dir, os.MkdirAll(args[0]+"/"+dir, 0o755))
	}
	for path, target := range map[string]string{"dev/fd": "/proc/self/fd", "dev/stdin": "/proc/self/fd/0", "dev/ptmx": "pts/ptmx"} {
		r.try("link "+path, os.Symlink(target, args[0]+"/"+path))
	}
	for _, path := range []string{"etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/mtab", "run/container", "proc/self/oom_score_adj"} {
		_ = os.MkdirAll(filepath.Dir(args[0]+"/"+path), 0o755)
		r.try("write "+path, os.WriteFile(args[0]+"/"+path, []byte("0"), 0o644))
	}
}

// naiveMount looks whether a folder is one and then mounts on it by name, again and again, until a mount lands elsewhere: TARGET
// PREFIX, where all that begins with PREFIX is inside.
func naiveMount(r *report, args []string) {
	r.try("private mounts", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	for range 200_000 {
		var stat unix.Stat_t
		if unix.Lstat(args[0], &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if unix.Mount("naive", args[0], "tmpfs", 0, "size=4k") != nil {
			continue
		}
		table, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			if strings.Contains(line, " - tmpfs naive ") {
				if !strings.HasPrefix(fields[4], args[1]) {
					r.try("mount outside", nil)
					r.fact("mounted on", fields[4])
					return
				}
				_ = unix.Unmount(fields[4], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
			}
		}
	}
	r.try("mount outside", syscall.ENOENT)
}

// naiveMask hides a file of proc behind the image's own dev/null: ROOT.
func naiveMask(r *report, args []string) {
	root := args[0]
	r.try("private mounts", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	r.try("mount proc", unix.Mount("proc", root+"/proc", "proc", 0, ""))
	r.try("mask", unix.Mount(root+"/dev/null", root+"/proc/timer_list", "", unix.MS_BIND, ""))
	text, err := os.ReadFile(root + "/proc/timer_list")
	r.try("read the mask", err)
	r.fact("mask", string(text))
}

// naiveCwd enters a root with a descriptor of the host still open, and takes the working directory from the image: ROOT.
func naiveCwd(r *report, args []string) {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	r.try("open", err)
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("proc", args[0]+"/proc", "proc", 0, "") },
		func() error { return unix.Chroot(args[0]) },
		func() error { return unix.Chdir("/proc/self/fd/" + strconv.Itoa(fd)) },
	} {
		if err := step(); err != nil {
			r.try("enter", err)
			return
		}
	}
	identity(r, nil)
}

// runByPath runs a program by its name as found in PATH: NAME.
func runByPath(r *report, args []string) {
	p, err := os.StartProcess("/bin/"+args[0], args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if r.try("run "+args[0], err) {
		_, _ = p.Wait()
	}
}

// trap marks that it was run.
func trap(*report, []string) { _ = os.WriteFile("/sprung", []byte("sprung"), 0o644) }
