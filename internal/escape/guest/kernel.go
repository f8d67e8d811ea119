package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// knobFiles are settings of the host's kernel. One that can be opened for writing is one too many; below /proc/sys the value that is
// there is then written back, but to files where every write acts. (pid_max is not among them: from Linux 6.14 on it belongs to the
// pid namespace, as binfmt_misc does to the user namespace from 6.7 on.)
var knobFiles = []string{
	"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/core_pipe_limit", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
	"/proc/sys/kernel/poweroff_cmd", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops", "/proc/sys/kernel/sysrq",
	"/proc/sys/kernel/printk", "/proc/sys/kernel/kptr_restrict", "/proc/sys/kernel/dmesg_restrict", "/proc/sys/kernel/randomize_va_space",
	"/proc/sys/kernel/perf_event_paranoid", "/proc/sys/kernel/unprivileged_bpf_disabled", "/proc/sys/kernel/modules_disabled",
	"/proc/sys/kernel/kexec_load_disabled", "/proc/sys/kernel/threads-max", "/proc/sys/kernel/cap_last_cap",
	"/proc/sys/kernel/sched_rt_runtime_us", "/proc/sys/kernel/ftrace_enabled", "/proc/sys/kernel/keys/maxkeys",
	"/proc/sys/kernel/keys/root_maxkeys", "/proc/sys/kernel/pty/max", "/proc/sys/kernel/random/uuid", "/proc/sys/kernel/io_uring_disabled",
	"/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/kernel/watchdog", "/proc/sys/kernel/numa_balancing", "/proc/sys/kernel/usermodehelper/bset",
	"/proc/sys/kernel/usermodehelper/inheritable", "/proc/sys/fs/binfmt_misc/register", "/proc/sys/fs/binfmt_misc/status",
	"/proc/sys/fs/suid_dumpable", "/proc/sys/fs/protected_symlinks", "/proc/sys/fs/protected_hardlinks", "/proc/sys/fs/protected_fifos",
	"/proc/sys/fs/file-max", "/proc/sys/fs/nr_open", "/proc/sys/fs/pipe-max-size", "/proc/sys/fs/inotify/max_user_watches",
	"/proc/sys/fs/aio-max-nr", "/proc/sys/fs/mount-max", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches",
	"/proc/sys/vm/panic_on_oom", "/proc/sys/vm/mmap_min_addr", "/proc/sys/vm/swappiness", "/proc/sys/vm/compact_memory",
	"/proc/sys/vm/max_map_count", "/proc/sys/vm/min_free_kbytes", "/proc/sys/vm/nr_hugepages", "/proc/sys/dev/tty/ldisc_autoload",
	"/proc/sys/dev/tty/legacy_tiocsti", "/proc/sys/net/core/bpf_jit_enable", "/proc/sys/net/core/bpf_jit_harden",
	"/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/proc/kcore", "/proc/mtrr", "/proc/acpi/wakeup", "/proc/scsi/scsi",
	"/proc/fs/nfsd", "/proc/bus/pci/00/00.0", "/proc/timer_stats", "/proc/latency_stats", "/proc/kmsg", "/proc/slabinfo",
	"/sys/kernel/uevent_helper", "/sys/kernel/profiling", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/mm/ksm/run",
	"/sys/kernel/debug/sched_features", "/sys/kernel/tracing/tracing_on", "/sys/kernel/security/lockdown", "/sys/power/state",
	"/sys/power/wakeup_count", "/sys/module/printk/parameters/time", "/sys/block/vda/queue/scheduler",
	"/sys/firmware/efi/efivars", "/sys/bus/pci/rescan", "/sys/devices/system/cpu/cpu1/online",
}

// actsOnWrite are files of which no value can be written back: to open them is enough.
var actsOnWrite = []string{"drop_caches", "compact_memory", "register", "random/uuid", "usermodehelper", "_disabled", "binfmt_misc"}

// writeKnobs opens the settings of the kernel for writing, also on a proc and a sysfs mounted anew.
func writeKnobs(r *report, _ []string) {
	places := []string{""}
	for _, kind := range []string{"proc", "sysfs"} {
		place := "/tmp/new-" + kind
		_ = unix.Mkdir(place, 0o755)
		if err := unix.Mount(kind, place, kind, 0, ""); err == nil {
			places = append(places, place)
			defer func() { _ = unix.Unmount(place, unix.MNT_DETACH) }()
		}
	}
	for _, place := range places {
		for _, path := range knobFiles {
			name := path
			if place != "" {
				if !strings.HasPrefix(path, "/"+strings.TrimSuffix(strings.TrimPrefix(place, "/tmp/new-"), "fs")) {
					continue
				}
				_, rest, _ := strings.Cut(path[1:], "/")
				name = place + "/" + rest
			}
			writeBack(r, name)
		}
	}
}

// writeBack opens a file for writing and writes what it says.
func writeBack(r *report, path string) {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) == nil && (stat.Mode&unix.S_IFMT == unix.S_IFCHR || stat.Mode&unix.S_IFMT == unix.S_IFDIR) {
		return // a mask
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		r.try("write "+path, err)
		return
	}
	defer func() { _ = unix.Close(fd) }()
	acts := slices.ContainsFunc(actsOnWrite, func(part string) bool { return strings.Contains(path, part) })
	if strings.Contains(path, "proc/sys/") && !acts {
		if before, readErr := os.ReadFile(path); readErr == nil {
			_, err = unix.Write(fd, before)
		}
	}
	r.try("write "+path, err)
}

// leaveCgroup writes to every file of the cgroups in sight by which one could leave or widen them: itself into the one above, and
// limits as they are.
func leaveCgroup(r *report, _ []string) {
	var dirs []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && len(dirs) < 200 {
			dirs = append(dirs, path)
		}
		return nil
	})
	r.fact("cgroups seen", strconv.Itoa(len(dirs)))
	self, _ := os.ReadFile("/proc/self/cgroup")
	r.fact("cgroup", strings.Join(strings.Fields(string(self)), " "))
	for _, dir := range dirs {
		// A folder that was delegated is the guest's own: what is above it is not, and its limits are not.
		for _, name := range []string{
			"memory.limit_in_bytes", "memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max", "cpu.cfs_quota_us", "devices.allow", "devices.deny",
			"cpuset.cpus", "cpuset.mems", "blkio.weight", "io.max", "cgroup.kill", "cgroup.freeze", "freezer.state", "release_agent", "notify_on_release",
		} {
			openGroup(r, dir, name)
		}
		openGroup(r, dir, "cgroup.procs")
		openGroup(r, dir, "tasks")
	}
}

func openGroup(r *report, dir, name string) {
	path := dir + "/" + name
	if filepath.Clean(dir) == "/sys/fs" {
		return
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return
	}
	if err == nil {
		_ = unix.Close(fd)
	}
	r.try("write "+filepath.Clean(path), err)
}

// releaseAgent looks for a release_agent to write: in what is mounted, and in hierarchies mounted anew.
func releaseAgent(r *report, _ []string) {
	_ = unix.Mkdir("/tmp/cg", 0o755)
	places := []string{"/sys/fs/cgroup"}
	mounted, _ := filepath.Glob("/sys/fs/cgroup/*")
	places = append(places, mounted...)
	for _, place := range places {
		path := place + "/release_agent"
		if err := writeAgent(path); !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			r.try("write release_agent", err)
		}
	}
	for _, controller := range []string{"rdma", "misc", "memory", "cpu", "pids", "devices", "freezer", "blkio", "name=systemd", "none,name=davit-escape"} {
		err := unix.Mount("cgroup", "/tmp/cg", "cgroup", 0, controller)
		if err != nil {
			r.try("mount cgroup", err)
			continue
		}
		r.try("write release_agent", writeAgent("/tmp/cg/release_agent"))
		_ = unix.Unmount("/tmp/cg", unix.MNT_DETACH)
	}
}

// writeAgent writes the agent that is there, or none.
func writeAgent(path string) error {
	before, err := os.ReadFile(path)
	if err != nil && word(err) == "ENOENT" {
		return unix.ENOENT
	}
	if len(before) == 0 {
		before = []byte("\n")
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	_, err = unix.Write(fd, before)
	return err
}

// devices are nodes of the host that guests are fond of. Nothing is written to any.
var devices = []struct {
	name         string
	mode         uint32
	major, minor uint32
}{
	{"mem", unix.S_IFCHR, 1, 1},
	{"kmem", unix.S_IFCHR, 1, 2},
	{"port", unix.S_IFCHR, 1, 4},
	{"kmsg", unix.S_IFCHR, 1, 11},
	{"tty0", unix.S_IFCHR, 4, 0},
	{"ttyS0", unix.S_IFCHR, 4, 64},
	{"console", unix.S_IFCHR, 5, 1},
	{"loop0", unix.S_IFBLK, 7, 0},
	{"loop-control", unix.S_IFCHR, 10, 237},
	{"disk", unix.S_IFBLK, 254, 0},
	{"sda", unix.S_IFBLK, 8, 0},
	{"vda", unix.S_IFBLK, 253, 0},
	{"tun", unix.S_IFCHR, 10, 200},
	{"fuse", unix.S_IFCHR, 10, 229},
	{"kvm", unix.S_IFCHR, 10, 232},
	{"vsock", unix.S_IFCHR, 10, 242},
	{"mapper", unix.S_IFCHR, 10, 236},
	{"userfaultfd", unix.S_IFCHR, 10, 126},
	{"hpet", unix.S_IFCHR, 10, 228},
	{"rtc", unix.S_IFCHR, 254, 0},
}

// openDevices makes nodes and opens them to read, and opens what is in dev.
func openDevices(r *report, _ []string) {
	for _, d := range devices {
		for _, dir := range []string{"/tmp", "/dev"} {
			path := dir + "/node-" + d.name
			if !r.try("make node "+d.name, unix.Mknod(path, d.mode|0o600, int(unix.Mkdev(d.major, d.minor)))) {
				continue
			}
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
			if r.try("open node "+d.name, err) {
				_ = unix.Close(fd)
			}
			_ = unix.Unlink(path)
		}
	}
}

// useHandle opens the root of the host's disk by its file handle.
func useHandle(r *report, _ []string) {
	at, err := unix.Open("/bin", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if !r.try("open a folder", err) {
		return
	}
	for inode := range uint32(3) {
		// A handle of type FILEID_INO32_GEN: inode and generation.
		handle := unix.NewFileHandle(1, []byte{byte(inode + 1), 0, 0, 0, 0, 0, 0, 0})
		fd, err := unix.OpenByHandleAt(at, handle, unix.O_RDONLY)
		if err == nil {
			_ = unix.Close(fd)
		}
		if err == unix.ESTALE { // it was looked up
			err = nil
		}
		r.try("open by handle", err)
	}
}

// call makes a system call on a thread of its own.
func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // what it may change is the thread's, which ends
		_, _, errno := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			done <- errno
			return
		}
		done <- nil
	}()
	return <-done
}

// mountCalls makes each of the system calls of mounting, with useless arguments.
func mountCalls(r *report, _ []string) {
	bad := ^uintptr(0)
	text := func(s string) uintptr {
		p, _ := unix.BytePtrFromString(s)
		return uintptr(unsafe.Pointer(p))
	}
	_ = unix.Mkdir("/tmp/mnt", 0o755)
	r.reach("mount", unix.Mount("none", "/tmp/mnt", "tmpfs", 0, "size=4k"))
	r.reach("umount2", call(unix.SYS_UMOUNT2, text("/no-such"), 0))
	r.reach("pivot_root", call(unix.SYS_PIVOT_ROOT, text("/no-such"), text("/no-such")))
	r.reach("open_tree", call(unix.SYS_OPEN_TREE, bad, text("bin"), 1))
	r.reach("move_mount", call(unix.SYS_MOVE_MOUNT, bad, text("x"), bad, text("x"), 0))
	r.reach("fsopen", call(unix.SYS_FSOPEN, text("no-such-fs"), 0))
	r.reach("fsconfig", call(unix.SYS_FSCONFIG, bad, 6, 0, 0, 0))
	r.reach("fsmount", call(unix.SYS_FSMOUNT, bad, 0, 0))
	r.reach("fspick", call(unix.SYS_FSPICK, bad, text("x"), 0))
	r.reach("mount_setattr", call(unix.SYS_MOUNT_SETATTR, bad, text("x"), 0, 0, 0))
	for name, flag := range map[string]uintptr{
		"mount": unix.CLONE_NEWNS, "uts": unix.CLONE_NEWUTS, "ipc": unix.CLONE_NEWIPC, "net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID,
		"cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
	} {
		if flag == unix.CLONE_NEWNS || flag == unix.CLONE_NEWTIME {
			r.try("unshare "+name, child("exit", flag))
			continue
		}
		r.try("unshare "+name, call(unix.SYS_UNSHARE, flag))
	}
	r.try("clone into a user namespace", child("exit", unix.CLONE_NEWUSER))
	r.reach("clone3", call(unix.SYS_CLONE3, 0, 0))
}

// child runs ourselves in new namespaces.
func child(attack string, flags uintptr) error {
	cmd := exec.Command("/proc/self/exe", attack)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	return cmd.Run()
}

// mountDisks mounts filesystems whose code reads disks or speaks to the network. Some kernels let nfs and cifs read their options before
// they refuse.
func mountDisks(r *report, _ []string) {
	_ = unix.Mkdir("/tmp/mnt", 0o755)
	_ = os.WriteFile("/tmp/disk", make([]byte, 1<<20), 0o600)
	for _, kind := range []string{"ext4", "ext3", "ext2", "xfs", "btrfs", "vfat", "iso9660", "squashfs", "erofs", "f2fs", "ntfs3", "nfs", "cifs", "9p", "debugfs", "tracefs", "securityfs", "configfs", "bpf", "devtmpfs", "efivarfs"} {
		err := unix.Mount("/tmp/disk", "/tmp/mnt", kind, 0, "")
		if err == unix.ENODEV { // the kernel lacks it
			continue
		}
		if err == nil {
			_ = unix.Unmount("/tmp/mnt", unix.MNT_DETACH)
		}
		r.try("mount "+kind, err)
	}
}

// kernelCalls makes system calls that no guest needs and that have been ways into the kernel.
func kernelCalls(r *report, _ []string) {
	self := uintptr(os.Getpid())
	text := func(s string) uintptr {
		p, _ := unix.BytePtrFromString(s)
		return uintptr(unsafe.Pointer(p))
	}
	perf := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	r.reach("bpf", call(unix.SYS_BPF, 0, 0, 0))
	r.reach("perf_event_open", call(unix.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&perf)), 0, ^uintptr(0), ^uintptr(0), 0))
	r.reach("userfaultfd", call(unix.SYS_USERFAULTFD, ^uintptr(0)))
	r.reach("kexec_load", call(unix.SYS_KEXEC_LOAD, 0, 1<<20, 0, ^uintptr(0)))
	r.reach("init_module", call(unix.SYS_INIT_MODULE, 0, 0, text("")))
	r.reach("finit_module", call(unix.SYS_FINIT_MODULE, ^uintptr(0), text(""), 0))
	r.reach("delete_module", call(unix.SYS_DELETE_MODULE, text("no-such-module"), unix.O_NONBLOCK))
	r.reach("kcmp", call(unix.SYS_KCMP, self, self, 99, 0, 0))
	r.reach("acct", call(unix.SYS_ACCT, text("/no-such/file")))
	r.reach("swapon", call(unix.SYS_SWAPON, text("/no-such/file"), 0))
	r.reach("swapoff", call(unix.SYS_SWAPOFF, text("/no-such/file")))
	r.reach("lookup_dcookie", call(unix.SYS_LOOKUP_DCOOKIE, 0, 0, 0))
}

// ioUring makes the three calls of io_uring.
func ioUring(r *report, _ []string) {
	var params [120]byte
	r.reach("io_uring_setup", call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0]))))
	r.reach("io_uring_enter", call(unix.SYS_IO_URING_ENTER, ^uintptr(0), 0, 0, 0, 0, 0))
	r.reach("io_uring_register", call(unix.SYS_IO_URING_REGISTER, ^uintptr(0), 99, 0, 0))
}

// useKeys looks for a key of the host, and adds as many as it may: NAME.
func useKeys(r *report, args []string) {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", args[0], 0)
	if r.try("find a key of the host", err) {
		r.fact("key", strconv.Itoa(id))
	}
	if text, readErr := os.ReadFile("/proc/keys"); readErr == nil && strings.Contains(string(text), args[0]) {
		r.try("list a key of the host", nil)
	}
	added := 0
	for n := range 300 {
		if _, err = unix.AddKey("user", fmt.Sprintf("davit-guest-%d", n), []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING); err == nil {
			added++
		}
	}
	r.fact("keys added", strconv.Itoa(added))
	r.try("add keys", err)
}

// openSockets makes a socket of every family and every protocol of netlink, and connects none.
func openSockets(r *report, _ []string) {
	for family := range 46 {
		err := error(unix.EAFNOSUPPORT)
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
			fd, e := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
			if e == nil {
				_ = unix.Close(fd)
				err = nil
				break
			}
			err = e
		}
		if family != unix.AF_NETLINK {
			r.try("family "+strconv.Itoa(family), err)
		}
	}
	for protocol := range 23 {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		if err == nil {
			_ = unix.Close(fd)
		}
		r.try("netlink "+strconv.Itoa(protocol), err)
	}
}

// pushInput types into terminals: its own and whatever is open.
func pushInput(r *report, _ []string) {
	letter := byte('x')
	pasted := [2]byte{3, 0}
	for _, path := range []string{"", "/dev/console", "/dev/tty", "/dev/ptmx"} {
		fd := 0
		if path != "" {
			var err error
			if fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
				continue
			}
		}
		for _, high := range []uintptr{0, 1 << 32} {
			r.reachTerminal("TIOCSTI", call(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI|high, uintptr(unsafe.Pointer(&letter))))
			r.reachTerminal("TIOCLINUX", call(unix.SYS_IOCTL, uintptr(fd), unix.TIOCLINUX|high, uintptr(unsafe.Pointer(&pasted))))
		}
	}
}

// reachTerminal is reach for a request that not every file knows.
func (r *report) reachTerminal(name string, err error) {
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EIO) {
		r.try(name, err)
		return
	}
	r.reach(name, err)
}

// connect reaches for listeners, HOST:PORT or @NAME.
func connect(r *report, args []string) {
	for _, to := range args {
		if strings.HasPrefix(to, "@") || strings.HasPrefix(to, "/") {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.Connect(fd, &unix.SockaddrUnix{Name: to})
				_ = unix.Close(fd)
			}
			r.try("connect", err)
			continue
		}
		port, _ := strconv.Atoi(to)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
			_ = unix.Close(fd)
		}
		r.try("connect", err)
	}
}

// killAll kills every process in sight, and looks for davit's.
func killAll(r *report, _ []string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		name, err := os.ReadFile("/proc/" + e.Name() + "/comm")
		if err == nil && (strings.HasPrefix(string(name), "davit") || strings.HasPrefix(string(name), "monitor")) {
			r.try("see davit's process", nil)
		}
	}
	_ = filepath.WalkDir("/", func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read is not reached
		}
		if path == "/proc" || path == "/sys" {
			return filepath.SkipDir
		}
		if e.Type()&os.ModeSocket != 0 {
			r.try("see a socket", nil)
			r.fact("socket", path)
		}
		return nil
	})
	r.fact("kill", fmt.Sprint(unix.Kill(-1, unix.SIGKILL)))
}
