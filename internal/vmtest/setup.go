package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// place is a mount of the guest's set-up.
type place struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

// mountAll makes targets and mounts.
func mountAll(places ...place) error {
	for _, p := range places {
		if err := os.MkdirAll(p.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(p.source, p.target, p.kind, p.flags, p.data); err != nil {
			return fmt.Errorf("mount %s at %s: %w", p.source, p.target, err)
		}
	}
	return nil
}

// mountKernelFolders mounts what the kernel serves.
func mountKernelFolders() error {
	return mountAll(
		place{"proc", "/proc", "proc", 0, ""},
		place{"sysfs", "/sys", "sysfs", 0, ""},
		place{"devtmpfs", "/dev", "devtmpfs", 0, ""},
	)
}

// loadModules loads the modules of the initramfs, in the order of their names.
func loadModules() error {
	files, err := filepath.Glob("/" + moduleFolder + "/*")
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(file.Fd()), "", 0)
		_ = file.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load module %s: %w", path, err)
		}
	}
	return nil
}

// enterRoot makes the host's root, under an overlay in memory, the guest's.
func enterRoot(g guestConfig) error {
	const root = "/root"
	if err := mountAll(place{fsTag, "/host", "virtiofs", 0, ""}, place{"rw", "/rw", "tmpfs", 0, "mode=755,size=75%"}); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir("/rw/upper", 0o755), os.Mkdir("/rw/work", 0o755)); err != nil {
		return err
	}
	places := []place{
		{"root", root, "overlay", 0, "lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work"},
		{"/dev/vda", root + "/tmp", "ext4", 0, ""},
		{"run", root + "/run", "tmpfs", 0, "mode=755"},
		{"/host" + g.Modules, root + "/lib/modules/" + g.Version, "", unix.MS_BIND, ""},
	}
	for _, s := range g.Shares {
		places = append(places, place{"/host" + s, root + s, "", unix.MS_BIND, ""})
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		places = append(places, place{dir, root + dir, "", unix.MS_MOVE, ""})
	}
	if err := mountAll(places...); err != nil {
		return err
	}
	if err := os.Chmod(root+"/tmp", 0o1777); err != nil {
		return err
	}
	for _, dir := range []string{"/host", "/rw"} {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return os.Chdir("/")
}

// wantedModules are loaded where the kernel does not ask for them by itself.
var wantedModules = []string{"fuse", "loop", "tun", "overlay", "veth", "bridge"}

// setUp does what an init does before it starts anything.
func setUp() error {
	if err := mountAll(
		place{"devpts", "/dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666"},
		place{"shm", "/dev/shm", "tmpfs", 0, "mode=1777"},
		place{"mqueue", "/dev/mqueue", "mqueue", 0, ""},
	); err != nil {
		return err
	}
	for name, target := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		if err := os.Symlink("/proc/self/fd"+target, "/dev/"+name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if err := os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"); err != nil {
		return err
	}
	// Not every kernel has all of them as modules; what a test needs it says itself.
	_ = exec.Command("modprobe", append([]string{"-qa"}, wantedModules...)...).Run()
	if err := unix.Sethostname([]byte("vmtest")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	limit := unix.Rlimit{Cur: 1 << 19, Max: 1 << 19}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise limit of files: %w", err)
	}
	return raiseLoopback()
}

// raiseLoopback brings lo up.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("raise lo: %w", err)
	}
	return nil
}

const cgroupRoot = "/sys/fs/cgroup"

// mountCgroups makes the layout.
func mountCgroups(layout string) error {
	if layout == "v2" {
		return mountCgroup2()
	}
	names, err := v1Controllers()
	if err != nil {
		return err
	}
	if err := mountAll(place{"cgroup", cgroupRoot, "tmpfs", 0, "mode=755"}); err != nil {
		return err
	}
	for _, name := range names {
		if err := mountAll(place{name, filepath.Join(cgroupRoot, name), "cgroup", 0, name}); err != nil {
			return err
		}
	}
	if layout == "hybrid" {
		if err := mountAll(place{"cgroup2", cgroupRoot + "/unified", "cgroup2", 0, "nsdelegate"}); err != nil {
			return err
		}
	}
	return mountAll(place{"systemd", cgroupRoot + "/systemd", "cgroup", 0, "none,name=systemd"})
}

// v1Controllers are those that this kernel has for version 1.
func v1Controllers() ([]string, error) {
	file, err := os.Open("/proc/cgroups")
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var names []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 4 && words[3] == "1" {
			names = append(names, words[0])
		}
	}
	return names, nil
}

// mountCgroup2 makes the tree as systemd does, and stands in it like a service.
func mountCgroup2() error {
	if err := mountAll(place{"cgroup2", cgroupRoot, "cgroup2", 0, "nsdelegate,memory_recursiveprot"}); err != nil {
		return err
	}
	const service = cgroupRoot + "/system.slice/vmtest.service"
	if err := os.MkdirAll(service, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{cgroupRoot, cgroupRoot + "/system.slice"} {
		text, err := os.ReadFile(dir + "/cgroup.controllers")
		if err != nil {
			return err
		}
		for c := range strings.FieldsSeq(string(text)) {
			if err := os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+c), 0); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(service+"/cgroup.procs", []byte("0"), 0)
}
