package escape_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// filtered is the need of a filter of system calls, as the kernel shows it of a guest's init.
var filtered = need{"a seccomp filter", func(s *suite, p profile) string {
	if mode := s.facts[p]["Seccomp"]; mode != "2" {
		return "init has Seccomp " + mode
	}
	return ""
}}

// kernelAttacks aim at the host's kernel.
var kernelAttacks = []attack{
	simple("ESC-19", "release_agent", "write the program that a v1 hierarchy starts, in what is mounted and in hierarchies mounted anew", "release-agent", nil),
	{
		id: "ESC-20", name: "cgroup-leave", tries: "leave its cgroup, and widen its own limits",
		guest: leaveCgroup, control: func(c *scene) string { return c.succeedsNaked("leave-cgroup") },
	},
	simple("ESC-21", "dev-access", "make nodes of disks, memory, kvm, tun and loop devices, and open them", "open-devices", nil),
	{
		id: "ESC-22", name: "fs-mount", tries: "reach the kernel's filesystems: mounts and new namespaces in application, filesystems on disks in system",
		needs: []need{{filtered.name, func(s *suite, p profile) string {
			if p == system { // its guests may mount what a user namespace may
				return ""
			}
			return filtered.lacks(s, p)
		}}},
		guest: mountAnything, control: func(c *scene) string { return c.succeedsNaked("mount-calls") + "; " + c.succeedsNaked("mount-disks") },
	},
	simple("ESC-23", "shocker", "open the root of the disk by a file handle", "use-handle", nil, "open a folder"),
	{
		id: "ESC-24", name: "procfs-knobs", tries: "write settings of the host's kernel, each with the value that it has, also on proc and sysfs mounted anew",
		guest: writeKnobs, control: func(c *scene) string { return c.succeedsNaked("write-knobs") },
	},
	simple("ESC-25", "bpf-perf", "call bpf, perf_event_open, userfaultfd, kexec_load, modules, kcmp, swap and acct", "kernel-calls", []need{filtered}),
	simple("ESC-26", "io_uring", "set up, enter and register io_uring", "io-uring", []need{filtered}),
	{
		id: "ESC-27", name: "keyring", tries: "find a key of the host, and use up keys", needs: []need{filtered},
		guest: useKeys, control: useKeysNaked,
	},
	{
		id: "ESC-28", name: "odd-sockets", tries: "make sockets of all families and of all protocols of netlink", needs: []need{filtered},
		guest: openSockets, control: func(c *scene) string { return c.succeedsNaked("open-sockets") },
	},
	{
		id: "ESC-29", name: "page-cache-write", tries: "reach a file of the host's or of davit's programs, by mounts, maps or descriptors",
		guest: reachPrograms, control: reachProgramsBound,
	},
	simple("ESC-30", "TIOCSTI", "push input into terminals, with plain and widened numbers of the request", "push-input", []need{filtered}),
	{
		id: "ESC-37", name: "seccomp-gap", tries: "call the kernel by i386's and x32's numbers, by clone3 and by numbers of tomorrow; name a profile that there is not",
		needs: []need{filtered}, guest: seccompGap, control: func(c *scene) string { return c.succeedsNaked("foreign-calls") },
	},
	{
		id: "ESC-X6", name: "clock-jump", tries: "set the host's clock",
		guest:   func(c *scene) string { return c.allRefused("set-clock") },
		control: func(c *scene) string { return c.succeedsNaked("set-clock") },
	},
}

// simple is an attack of which nothing may succeed, but for what may, in any profile; it must where nothing stops it.
func simple(id, name, tries, attackName string, needs []need, may ...string) attack {
	return attack{
		id: id, name: name, tries: tries, needs: needs,
		guest:   func(c *scene) string { return c.allRefused(attackName, may...) },
		control: func(c *scene) string { return c.succeedsNaked(attackName, may...) },
	}
}

// allRefused makes an attack as init and as a command, and tells with which errors it was refused.
func (c *scene) allRefused(attackName string, may ...string) string {
	c.t.Helper()
	r := c.both(c.t, domainOptions{}, attackName)
	c.nothing(c.t, r, may...)
	return "refused: " + r.errors()
}

// errors are the names of all errors of a report.
func (r report) errors() string {
	var all []string
	for _, f := range r {
		for name := range f.Refused {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// succeedsNaked makes an attack where nothing stops it.
func (c *scene) succeedsNaked(attackName string, may ...string) string {
	c.t.Helper()
	r := c.naked(c.t, attackName)
	all := r.succeeded(may...)
	if len(all) == 0 {
		c.t.Fatalf("the attack does not work any more: %v", r)
	}
	c.t.Logf("an unconfined child: %s", strings.Join(all, ", "))
	if len(all) > 3 {
		return fmt.Sprintf("an unconfined child: %s and more", strings.Join(all[:3], ", "))
	}
	return "an unconfined child: " + strings.Join(all, ", ")
}

func leaveCgroup(c *scene) string {
	r := c.both(c.t, domainOptions{}, "leave-cgroup")
	limits := 0
	for _, f := range r {
		if !strings.HasPrefix(f.Try, "write ") {
			continue
		}
		moves := strings.HasSuffix(f.Try, "/cgroup.procs") || strings.HasSuffix(f.Try, "/tasks")
		if f.Done > 0 && !moves { // it may move about below its own root, which is all that it sees
			c.escapes(c.t, "%s", f.Try)
		}
		if !moves {
			limits++
		}
	}
	if seen, _ := strconv.Atoi(r.values()["cgroups seen"]); seen > 1 && limits == 0 && c.profile == system {
		c.t.Fatalf("the guest sees no limit of its cgroups: %v", r)
	}
	for word := range strings.FieldsSeq(r.values()["cgroup"]) {
		if _, path, _ := strings.Cut(word, "::"); strings.Contains(word, "davit-") || strings.Contains(path, "..") {
			c.escapes(c.t, "it sees the path of its cgroup: %s", word)
		}
	}
	return "limits cannot be written: " + r.errors()
}

func mountAnything(c *scene) string {
	if c.profile == system {
		return c.allRefused("mount-disks")
	}
	return c.allRefused("mount-calls")
}

func writeKnobs(c *scene) string {
	r := c.both(c.t, domainOptions{}, "write-knobs")
	c.nothing(c.t, r)
	if len(r) < 30 {
		c.t.Fatalf("the guest tried too little: %v", r)
	}
	return "refused or absent: " + r.errors()
}

// hostKey adds a key to the session of the suite and of its children, until it is called off. A session may be the thread's own.
func hostKey(t *testing.T, name string) (remove func()) {
	t.Helper()
	runtime.LockOSThread()
	id, err := unix.AddKey("user", name, []byte("secret"), unix.KEY_SPEC_SESSION_KEYRING)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_SESSION_KEYRING, 0, 0); err != nil {
			t.Errorf("remove key: %v", err)
		}
		runtime.UnlockOSThread()
	}
}

func useKeys(c *scene) string {
	const name = "davit-escape-host"
	defer hostKey(c.t, name)()
	r := c.both(c.t, domainOptions{}, "use-keys", name)
	c.nothing(c.t, r, "add keys")
	if c.profile == application && r.values()["keys added"] != "0" {
		c.escapes(c.t, "it added %s keys", r.values()["keys added"])
	}
	return "the key is not found: " + r.errors()
}

func useKeysNaked(c *scene) string {
	const name = "davit-escape-naked"
	defer hostKey(c.t, name)()
	if r := c.naked(c.t, "use-keys", name); r.done("find a key of the host")+r.done("list a key of the host") == 0 {
		c.t.Fatalf("the attack does not work any more: %v", r)
	}
	return "an unconfined child finds the key"
}

func openSockets(c *scene) string {
	may := []string{}
	for _, family := range []int{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6} {
		may = append(may, "family "+strconv.Itoa(family))
	}
	if c.profile == system { // clients of DHCP need it; it reaches the domain's own network
		may = append(may, "family "+strconv.Itoa(unix.AF_PACKET))
	}
	for protocol := range 23 {
		// Those that configure what is the domain's own, and tell of it.
		if slices.Contains([]int{unix.NETLINK_ROUTE, unix.NETLINK_SOCK_DIAG, unix.NETLINK_KOBJECT_UEVENT, unix.NETLINK_GENERIC, unix.NETLINK_AUDIT, unix.NETLINK_NETFILTER, unix.NETLINK_USERSOCK, unix.NETLINK_FIB_LOOKUP, unix.NETLINK_SELINUX}, protocol) {
			may = append(may, "netlink "+strconv.Itoa(protocol))
		}
	}
	r := c.both(c.t, domainOptions{}, "open-sockets")
	c.nothing(c.t, r, may...)
	return "none but unix, inet, inet6 and netlink of its own namespaces: " + r.errors()
}

// programs are those of the host and of davit, by device and inode.
func (c *scene) programs() []string {
	var ids []string
	for path := range c.host.programs {
		ids = append(ids, rootIdentity(c.t, path))
	}
	return ids
}

func reachPrograms(c *scene) string {
	r := c.both(c.t, domainOptions{}, append([]string{"walk"}, c.programs()...)...)
	c.nothing(c.t, r)
	return fmt.Sprintf("none of %d programs is in sight", len(c.host.programs))
}

func reachProgramsBound(c *scene) string {
	// The same walk in a domain that was given the folder.
	dir := c.rootfs + "-programs"
	if err := os.Mkdir(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Link(c.suite.guest, dir+"/program"); err != nil {
		c.t.Fatal(err)
	}
	devices := "<filesystem type='mount'><source dir='" + dir + "'/><target dir='/opt/programs'/><readonly/></filesystem>"
	r := c.run(c.t, domainOptions{devices: devices}, append([]string{"walk"}, c.programs()...)...)
	if r.done("reach a program of the host") == 0 {
		c.t.Fatalf("the walk does not find what is there: %v", r)
	}
	return "a domain that is given a program by a mount finds it"
}

func seccompGap(c *scene) string {
	var may []string
	if c.profile == system { // it may make namespaces, by whatever call
		may = append(may, "clone3")
	}
	text := c.allRefused("foreign-calls", may...)
	if c.named {
		o := domainOptions{elements: "<davit:profile name='no-such'/>"}
		p := c.profile
		c.profile = daemonItself // which names none of its own
		c.refused(c.t, o, "a profile that there is not")
		c.profile = p
		text += "; the unknown profile too"
	}
	return text
}
