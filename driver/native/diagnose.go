package native

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var _ driver.Diagnoser = (*Driver)(nil)

// How a thing is.
const (
	good    = davitv1.Health_HEALTH_GOOD
	limited = davitv1.Health_HEALTH_LIMITED
	broken  = davitv1.Health_HEALTH_BROKEN
)

// Diagnose looks at what containers need: rights, kernel, namespaces, cgroups, monitor, host ids. Each is tried where that
// leaves nothing behind, and read from /proc and /sys where not.
func (d *Driver) Diagnose(context.Context) ([]*davitv1.Finding, error) {
	return []*davitv1.Finding{
		d.diagnoseRights(), diagnoseKernel(), diagnoseMounts(), diagnoseOverlay(), diagnoseUserNamespaces(),
		d.diagnoseCgroups(), d.diagnoseFreezer(), d.diagnoseSwap(), diagnoseSeccomp(), diagnoseModules(),
		diagnoseMemfd(), d.diagnoseMonitor(), d.diagnoseIDs(),
	}, nil
}

// found says that a thing is well.
func found(subject, format string, args ...any) *davitv1.Finding {
	return &davitv1.Finding{Subject: subject, Health: good, Seen: fmt.Sprintf(format, args...)}
}

// lacking says what a thing that is not well disables, how to mend it, and which fields of a definition ask for it.
func lacking(f *davitv1.Finding, health davitv1.Health, disables, remedy string, fields ...string) *davitv1.Finding {
	f.Health, f.Disables, f.Remedy, f.Fields = health, disables, remedy, fields
	return f
}

// needed are the rights without which no container can be made.
var needed = map[string]uint{
	"sys_admin": unix.CAP_SYS_ADMIN, "setuid": unix.CAP_SETUID, "setgid": unix.CAP_SETGID, "chown": unix.CAP_CHOWN,
	"mknod": unix.CAP_MKNOD, "net_admin": unix.CAP_NET_ADMIN, "kill": unix.CAP_KILL, "dac_override": unix.CAP_DAC_OVERRIDE,
	"setfcap": unix.CAP_SETFCAP, "sys_chroot": unix.CAP_SYS_CHROOT, "setpcap": unix.CAP_SETPCAP,
}

func (d *Driver) diagnoseRights() *davitv1.Finding {
	var missing []string
	for name, bit := range needed {
		if d.facts.Capabilities&(1<<bit) == 0 {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	f := found("rights of the daemon", "user %d, all capabilities that containers need", os.Geteuid())
	if len(missing) > 0 {
		f.Seen = "without the capabilities " + strings.Join(missing, ", ")
		return lacking(f, limited, "whatever needs them", "do not bound the capabilities of the daemon's unit (CapabilityBoundingSet=)")
	}
	return f
}

// oldest is the first kernel that davit runs on.
const oldestMajor, oldestMinor = 5, 15

func diagnoseKernel() *davitv1.Finding {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return &davitv1.Finding{Subject: "kernel", Seen: err.Error()}
	}
	release := unix.ByteSliceToString(name.Release[:])
	f := found("kernel", "%s", release)
	major, rest, _ := strings.Cut(release, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(strings.TrimRight(minor, "-+abcdefghijklmnopqrstuvwxyz"))
	if a < oldestMajor || a == oldestMajor && b < oldestMinor {
		return lacking(f, broken, "all domains", fmt.Sprintf("boot a kernel from %d.%d on", oldestMajor, oldestMinor))
	}
	return f
}

// diagnoseMounts tries the calls by which the tree of a container is put together, on nothing: a call that the kernel has
// says that the descriptor is none.
func diagnoseMounts() *davitv1.Finding {
	f := found("mounts", "detached and idmapped mounts")
	var missing []string
	if _, err := unix.OpenTree(-1, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLOEXEC); errors.Is(err, unix.ENOSYS) {
		missing = append(missing, "open_tree")
	}
	if err := unix.MoveMount(-1, "", -1, "", unix.MOVE_MOUNT_F_EMPTY_PATH); errors.Is(err, unix.ENOSYS) {
		missing = append(missing, "move_mount")
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &attr); errors.Is(err, unix.ENOSYS) {
		missing = append(missing, "mount_setattr")
	}
	if len(missing) > 0 {
		f.Seen = "the kernel lacks " + strings.Join(missing, ", ")
		return lacking(f, broken, "all domains", "boot a kernel from 5.15 on, and let no filter of system calls stand above the daemon")
	}
	return f
}

func diagnoseOverlay() *davitv1.Finding {
	f := found("overlay", "the kernel has it")
	if filesystems, err := os.ReadFile("/proc/filesystems"); err == nil && slices.Contains(strings.Fields(string(filesystems)), "overlay") {
		return f
	}
	f.Seen = "it is not among the kernel's file systems"
	return lacking(f, limited, "domains without a root of their own, and copy on write", "modprobe overlay",
		"devices.filesystem.overlay_upper")
}

func diagnoseUserNamespaces() *davitv1.Finding {
	const name = "/proc/sys/user/max_user_namespaces"
	f := found("user namespaces", "there may be many")
	text, err := os.ReadFile(name)
	if err != nil {
		f.Seen = "the kernel has none"
		return lacking(f, limited, "domains with <idmap>, and those without a root of their own", "boot a kernel with CONFIG_USER_NS", "idmap")
	}
	most, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	f.Seen = fmt.Sprintf("max_user_namespaces is %d", most)
	if most == 0 {
		return lacking(f, limited, "domains with <idmap>, and those without a root of their own",
			"sysctl -w user.max_user_namespaces=15000", "idmap")
	}
	return f
}

// wanted are the controllers with what they are for.
var wanted = []struct {
	name, disables string
	fields         []string
}{
	{"memory", "memory limits and the watch for the OOM killer", []string{"memory_kib", "current_memory_kib", "memtune"}},
	{"cpu", "shares and quotas of processors", []string{"cputune"}},
	{"cpuset", "the choice of processors and cells", []string{"vcpu.cpuset", "numatune"}},
	{"io", "limits of disks", []string{"blkiotune"}},
	{"pids", "limits of processes", []string{"pids_limit"}},
	{"devices", "the policy of devices", []string{"devices.disk", "devices.hostdev", "clock.timer"}},
}

func (d *Driver) diagnoseCgroups() *davitv1.Finding {
	f := found("cgroups", "%s, with %s", d.cgroups.Layout, strings.Join(d.cgroups.Controllers(), ", "))
	var missing, disables, fields []string
	for _, w := range wanted {
		if !d.cgroups.Has(w.name) {
			missing, disables, fields = append(missing, w.name), append(disables, w.disables), append(fields, w.fields...)
		}
	}
	if len(missing) == 0 {
		return f
	}
	f.Seen += "; without " + strings.Join(missing, ", ")
	remedy := "boot without cgroup_disable=, or delegate the controllers to the daemon's unit (Delegate=yes)"
	if d.cgroups.Layout == cgroup.Hybrid {
		remedy = "mount the controllers, or boot with systemd.unified_cgroup_hierarchy=1"
	}
	return lacking(f, limited, strings.Join(disables, "; "), remedy, fields...)
}

// diagnoseFreezer tells how domains are suspended and ended.
func (d *Driver) diagnoseFreezer() *davitv1.Finding {
	f := found("freezer", "domains can be suspended")
	if !d.cgroups.Has("freezer") {
		f.Seen = "there is none"
		return lacking(f, limited, "suspend, and the end of a domain in one step", "mount cgroup2, or the freezer controller")
	}
	return f
}

// diagnoseSwap tells whether memory and swap together are counted.
func (d *Driver) diagnoseSwap() *davitv1.Finding {
	f := found("swap accounting", "swap is limited")
	swaps, err := os.ReadFile("/proc/swaps")
	if err == nil && strings.Count(strings.TrimSpace(string(swaps)), "\n") == 0 {
		f.Seen = "the host has no swap"
		return f
	}
	if !d.countsSwap() {
		f.Seen = "the kernel does not count it"
		return lacking(f, limited, "memtune's swap_hard_limit", "boot with swapaccount=1", "memtune.swap_hard_limit_kib")
	}
	return f
}

// countsSwap tells whether the kernel counts a group's swap: version 1 shows a file for it, version 2 does so unless it was
// told not to.
func (d *Driver) countsSwap() bool {
	v1 := filepath.Join(d.opts.CgroupRoot, "memory")
	if _, err := os.Stat(filepath.Join(v1, "memory.limit_in_bytes")); err == nil {
		_, err = os.Stat(filepath.Join(v1, "memory.memsw.limit_in_bytes"))
		return err == nil
	}
	arguments, _ := os.ReadFile("/proc/cmdline")
	return !slices.Contains(strings.Fields(string(arguments)), "swapaccount=0")
}

func diagnoseSeccomp() *davitv1.Finding {
	f := found("system call filters", "the kernel has them")
	// Without a filter to look at, a kernel that has them says that the address is none.
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, 0); errno != unix.EFAULT {
		f.Seen = "the kernel has none"
		return lacking(f, limited, "guests that filter their own system calls, as systemd does for its services",
			"boot a kernel with CONFIG_SECCOMP_FILTER")
	}
	return f
}

// diagnoseModules tells which modules of security are there. davit needs none, and some stand in its way.
func diagnoseModules() *davitv1.Finding {
	f := found("security modules", "none tells of itself")
	if text, err := os.ReadFile("/sys/kernel/security/lsm"); err == nil {
		f.Seen = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/sys/fs/selinux/enforce"); err == nil && strings.TrimSpace(string(text)) == "1" {
		f.Seen += "; SELinux is enforcing"
		return lacking(f, limited, "labels of domains: they run under the daemon's", "see that the policy lets the daemon's domain mount and exec")
	}
	return f
}

func diagnoseMemfd() *davitv1.Finding {
	f := found("programs in sealed memory", "allowed")
	text, err := os.ReadFile("/proc/sys/vm/memfd_noexec")
	if err == nil && strings.TrimSpace(string(text)) == "2" {
		f.Seen = "vm.memfd_noexec is 2"
		return lacking(f, limited, "monitors that nobody can change: they run from their file", "sysctl -w vm.memfd_noexec=1")
	}
	return f
}

func (d *Driver) diagnoseMonitor() *davitv1.Finding {
	f := found("monitor", "%s", d.opts.MonitorPath)
	program, err := elf.Open(d.opts.MonitorPath)
	if err != nil {
		f.Seen = fmt.Sprintf("%s: %v", d.opts.MonitorPath, err)
		return lacking(f, limited, "the next start of the daemon", "install davit-monitor there, or name it by monitor_path")
	}
	defer func() { _ = program.Close() }()
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		f.Seen += ", which needs libraries"
		return lacking(f, limited, "small and quick monitors", "build davit-monitor with CGO_ENABLED=0")
	}
	return f
}

// diagnoseIDs tells whether ids that davit hands out belong to users of the host.
func (d *Driver) diagnoseIDs() *davitv1.Finding {
	p := d.ids.pool
	f := found("host ids", "%d ranges of %d from %d on", p.Count, p.Size, p.Base)
	if p.spare() > 0 {
		f.Seen += fmt.Sprintf(", and %d after them", p.spare())
	}
	others, err := p.subordinates()
	if err != nil {
		f.Seen = err.Error()
		return lacking(f, limited, "domains in user namespaces", "mend "+strings.Join(p.Subordinate, " or "))
	}
	all, taken := p.occupied(rangesOf(others)), 0
	for _, is := range all {
		if is {
			taken++
		}
	}
	if taken > 0 {
		f.Seen += fmt.Sprintf("; %d of them belong to users of the host (%s)", taken, strings.Join(p.Subordinate, ", "))
	}
	switch {
	case taken == len(all):
		return lacking(f, limited, "domains in user namespaces that do not name their own ids", "choose another [idmap] in the configuration")
	case taken > len(all)/2:
		return lacking(f, limited, "many domains in user namespaces at once", "choose another [idmap] in the configuration")
	}
	return f
}
