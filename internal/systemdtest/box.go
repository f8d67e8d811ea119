package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// boxName is the name under which this program runs as the first process of the box, until systemd takes its place.
const boxName = "systemdtest-box"

// cgroupRoot is where the guest has its cgroups.
const cgroupRoot = "/sys/fs/cgroup"

// box is a running Debian: its own namespaces and cgroup, systemd as init.
type box struct {
	init *exec.Cmd
	dir  string
}

// startBox boots the Debian of a folder. What it changes is in dir.
func startBox(debian, dir, packages string) (*box, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a root folder
		return nil, err
	}
	group := filepath.Join(cgroupRoot, "box")
	if err := os.Mkdir(group, 0o755); err != nil { //nolint:gosec // as all cgroups
		return nil, err
	}
	fd, err := unix.Open(group, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{boxName, debian, dir, packages}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		UseCgroupFD: true, CgroupFD: fd, Setsid: true,
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start box: %w", err)
	}
	return &box{cmd, dir}, nil
}

// boxMain makes the root folder and becomes its systemd. It returns only when it fails.
func boxMain(args []string) error {
	debian, dir, packages := args[0], args[1], args[2]
	// What is unshared is the thread's.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare cgroups: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("part mounts: %w", err)
	}
	root, upper, work := dir+"/root", dir+"/upper", dir+"/work"
	for _, d := range []string{root, upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil { //nolint:gosec // a root folder
			return err
		}
	}
	if err := mountRoot(root, "lowerdir="+debian+",upperdir="+upper+",workdir="+work, packages); err != nil {
		return err
	}
	if err := makeDevices(root + "/dev"); err != nil {
		return err
	}
	// Nobody logs in on a console that is none.
	if err := os.Symlink(os.DevNull, root+"/etc/systemd/system/console-getty.service"); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave old root: %w", err)
	}
	if err := unix.Sethostname([]byte("box")); err != nil {
		return err
	}
	env := []string{"container=systemdtest", "PATH=/usr/sbin:/usr/bin", "TERM=dumb"}
	return unix.Exec("/lib/systemd/systemd", []string{"/lib/systemd/systemd", "--log-level=warning"}, env)
}

// mountRoot mounts the root folder and what the kernel serves in it.
func mountRoot(root, layers, packages string) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"box", root, "overlay", 0, layers},
		{"proc", root + "/proc", "proc", 0, ""},
		{"sysfs", root + "/sys", "sysfs", 0, ""},
		{"cgroup2", root + cgroupRoot, "cgroup2", 0, ""},
		{"dev", root + "/dev", "tmpfs", 0, "mode=755"},
		{"run", root + "/run", "tmpfs", 0, "mode=755"},
		{packages, root + "/mnt", "", unix.MS_BIND, ""},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", strings.TrimPrefix(m.target, root), err)
		}
	}
	return nil
}

// makeDevices makes the devices that every container has. Its console is one that drops what is written.
func makeDevices(dev string) error {
	for name, number := range map[string]uint64{
		"null": unix.Mkdev(1, 3), "zero": unix.Mkdev(1, 5), "full": unix.Mkdev(1, 7), "random": unix.Mkdev(1, 8),
		"urandom": unix.Mkdev(1, 9), "tty": unix.Mkdev(5, 0), "console": unix.Mkdev(1, 3),
	} {
		path := filepath.Join(dev, name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(number)); err != nil { //nolint:gosec // small numbers
			return fmt.Errorf("make %s: %w", name, err)
		}
		if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // as everywhere
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
		"ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	for _, m := range []struct{ name, kind, data string }{
		{"pts", "devpts", "newinstance,ptmxmode=666,mode=620,gid=5"}, {"shm", "tmpfs", "mode=1777"},
	} {
		path := filepath.Join(dev, m.name)
		if err := os.Mkdir(path, 0o755); err != nil { //nolint:gosec // as everywhere
			return err
		}
		if err := unix.Mount(m.name, path, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.name, err)
		}
	}
	return nil
}
