package native

import (
	"fmt"
	"slices"
	"strings"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/monitor/wire"
	"github.com/davitd/davit/driver/seccomp"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Facts are what a plan takes from the host. They are gathered once, so that the same definition gives the same plan.
type Facts struct {
	// Capabilities that this kernel has and davitd may hand out, as bits.
	Capabilities uint64
	// Cgroup2 tells that there is a cgroup2 tree, in which each domain has a cgroup of its own.
	Cgroup2 bool
	// OwnUsr tells that the host's /usr is a mount of its own, which an overlay of "/" does not show.
	OwnUsr bool
	// UpperDir is the folder in which kept changes of overlays lie, one folder a domain.
	UpperDir string
	// Range is the range of host ids for a domain that needs one and names none.
	Range Range
	// CPUs and Nodes are the processors and the memory nodes that are online; nil where a definition is not about them, or
	// that cannot be known.
	CPUs, Nodes *domain.Cpuset
	// Clocks are the hardware clocks that the host has, by the names of their nodes: "rtc0".
	Clocks map[string]*monitorv1.DeviceNode
	// Sources are what the devices of the definition are made of, by the devices' names.
	Sources map[string]Source
	// Filter is the filter of system calls that the definition asks for, FilterFault why it cannot be had, FilterWarnings what of it is
	// passed over.
	Filter         seccomp.Program
	FilterFault    string
	FilterWarnings []string
	// Modules are the kernel's modules of security by which processes are labelled: apparmor, selinux.
	Modules []string
	// Unmappable are why filesystems cannot show other ids than they have, by the filesystems' names.
	Unmappable map[string]string
	// Space is why the limits of space of filesystems cannot be kept, by the filesystems' names.
	Space map[string]string
}

const (
	// scrollback is how much of a console's output is kept.
	scrollback = 64 << 10
	// maxPtys bounds the terminals of a domain: the host has 4096 for all.
	maxPtys = 1024
	// shmBytes bounds the shared memory of a domain.
	shmBytes = 64 << 20
)

// Plan turns a definition, which domain.Validate has accepted, into what a monitor does. It touches nothing.
func Plan(def *davitv1.Domain, facts Facts) (*monitorv1.Plan, error) {
	l, err := newLayout(def, facts)
	if err != nil {
		return nil, err
	}
	if err := checkDevices(def, facts); err != nil {
		return nil, err
	}
	if err := checkHost(def, facts); err != nil {
		return nil, err
	}
	ids := l.idMaps()
	return &monitorv1.Plan{
		Uuid: def.GetUuid(), Name: def.GetName(),
		Namespaces: &monitorv1.Namespaces{
			User: len(ids.uid) > 0, Ipc: !shares(def, ipcKind), Uts: !shares(def, utsKind), Net: !shares(def, netKind), Cgroup: true,
		},
		Shared: shared(def), UidMap: ids.uid, GidMap: ids.gid,
		Init: initProcess(def, facts), Consoles: consoles(def), Policy: policy(def),
		Operations: l.operations(), MemoryLimitBytes: memoryLimit(def), Furnish: hasNetwork(def), Held: heldNames(def),
	}, nil
}

// The kinds of namespaces that a domain can share.
const (
	netKind = monitorv1.NamespaceKind_NAMESPACE_KIND_NET
	ipcKind = monitorv1.NamespaceKind_NAMESPACE_KIND_IPC
	utsKind = monitorv1.NamespaceKind_NAMESPACE_KIND_UTS
)

// operations are the steps in order: the root, what the kernel makes, the filesystems as listed, and last what hides parts
// of them.
func (l *layout) operations() []*monitorv1.Operation {
	c := domain.Confine(l.def)
	steps := []*monitorv1.Operation{l.root()}
	add := func(ops ...*monitorv1.Operation) { steps = append(steps, ops...) }
	if l.hostRoot {
		add(l.hostFolders()...)
	}
	add(kernel(monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_PROC, "/proc", false))
	add(kernel(monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_SYSFS, "/sys", c.Name != davitv1.ProfileName_PROFILE_NAME_PRIVILEGED))
	if l.facts.Cgroup2 {
		add(kernel(monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_CGROUP2, "/sys/fs/cgroup", !c.Delegated))
	}
	add(dev(append(clockNodes(l.def, l.facts), deviceNodes(l.def, l.facts)...)))
	for i, t := range terminals(l.def) {
		add(consoleBind(i, t.node))
	}
	if len(l.def.GetDevices().GetConsole()) > 0 {
		add(consoleBind(0, "console"))
	}
	add(l.mountSteps()...)
	for _, p := range c.Masked {
		add(&monitorv1.Operation{Step: &monitorv1.Operation_Mask{Mask: &monitorv1.Mask{Path: p}}})
	}
	for _, p := range c.ReadOnly {
		only := &monitorv1.ReadOnly{Path: p}
		if !shares(l.def, netKind) {
			only.Except = slices.Clone(writableBelow(l.def)[p])
		}
		add(&monitorv1.Operation{Step: &monitorv1.Operation_ReadOnly{ReadOnly: only}})
	}
	// What is shared is as its owner made it.
	if !shares(l.def, utsKind) {
		add(&monitorv1.Operation{Step: &monitorv1.Operation_Hostname{Hostname: &monitorv1.Hostname{Name: hostname(l.def)}}})
	}
	if !shares(l.def, netKind) {
		add(&monitorv1.Operation{Step: &monitorv1.Operation_LoopbackUp{LoopbackUp: &monitorv1.LoopbackUp{}}})
	}
	return steps
}

// mountSteps are the filesystems as listed, and before them what a whole system would mount itself.
func (l *layout) mountSteps() []*monitorv1.Operation {
	var steps []*monitorv1.Operation
	if isSystem(l.def) && !l.hostRoot && !l.mounts("/run") {
		steps = append(steps, tmpfs("/run", 0o755, 0))
	}
	return append(steps, l.filesystems()...)
}

// writableBelow are what of a path that nobody else writes is the domain's own where it has a network namespace of its own: as with
// libvirt, its router turns forwarding on there. A whole system applies its sysctl.d, which systemd does only where it may write all of
// the network's; what is not the namespace's own is not there, or the kernel refuses it.
func writableBelow(def *davitv1.Domain) map[string][]string {
	if isSystem(def) {
		return map[string][]string{"/proc/sys": {"/proc/sys/net"}}
	}
	return map[string][]string{"/proc/sys": {"/proc/sys/net/ipv4", "/proc/sys/net/ipv6"}}
}

// dev is /dev with the nodes that every program may rely on, and more.
func dev(more []*monitorv1.DeviceNode) *monitorv1.Operation {
	d := &monitorv1.Dev{MaxPtys: maxPtys, ShmSizeBytes: shmBytes, Mqueue: true}
	for _, n := range nodes {
		d.Nodes = append(d.Nodes, &monitorv1.DeviceNode{Name: n.name, Major: n.major, Minor: n.minor, Mode: 0o666})
	}
	d.Nodes = append(d.Nodes, more...)
	for _, l := range [][2]string{
		{"fd", "/proc/self/fd"},
		{"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"},
		{"ptmx", "pts/ptmx"},
	} {
		d.Links = append(d.Links, &monitorv1.Symlink{Name: l[0], Target: l[1]})
	}
	return &monitorv1.Operation{Step: &monitorv1.Operation_Dev{Dev: d}}
}

// nodes are the character devices of every domain.
var nodes = []struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

func kernel(kind monitorv1.KernelFilesystemType, target string, readOnly bool) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_KernelFilesystem{
		KernelFilesystem: &monitorv1.KernelFilesystem{Type: kind, Target: target, ReadOnly: readOnly},
	}}
}

func consoleBind(console int, name string) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_ConsoleBind{
		ConsoleBind: &monitorv1.ConsoleBind{Console: uint32(console), Name: name},
	}}
}

func tmpfs(target string, mode uint32, size uint64) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_Tmpfs{Tmpfs: &monitorv1.Tmpfs{
		Target: target, Mode: mode, SizeBytes: size,
		Flags: []monitorv1.MountFlag{monitorv1.MountFlag_MOUNT_FLAG_NOSUID, monitorv1.MountFlag_MOUNT_FLAG_NODEV},
	}}}
}

// consoles are the terminals of the domain.
func consoles(def *davitv1.Domain) []*monitorv1.Console {
	var out []*monitorv1.Console
	for _, t := range terminals(def) {
		out = append(out, &monitorv1.Console{Alias: t.alias, ScrollbackBytes: scrollback})
	}
	return out
}

// policy says what follows the end of init, in the few words that a monitor knows.
func policy(def *davitv1.Domain) *monitorv1.Policy {
	const destroy, restart = davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY, davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	action := func(said, otherwise davitv1.LifecycleAction) monitorv1.Action {
		if domain.ActionOn(said, otherwise) == restart {
			return monitorv1.Action_ACTION_RESTART
		}
		return monitorv1.Action_ACTION_DESTROY
	}
	return &monitorv1.Policy{
		OnPoweroff: action(def.GetOnPoweroff(), destroy),
		OnReboot:   action(def.GetOnReboot(), restart),
		OnCrash:    action(def.GetOnCrash(), destroy),
		Backoff:    backoff(def.GetRestart()),
	}
}

// initProcess is what runs as process 1.
func initProcess(def *davitv1.Domain, facts Facts) *monitorv1.Process {
	os := def.GetOs()
	p := &monitorv1.Process{
		Argv: append([]string{os.GetInit()}, os.GetInitarg()...), Env: environment(def),
		Cwd: os.GetInitdir(), User: os.GetInituser(), Group: os.GetInitgroup(),
		MemoryPolicy: memoryPolicy(def),
	}
	confine(p, def, facts)
	if len(def.GetDevices().GetConsole()) > 0 {
		p.Console = 1
	}
	return p
}

// memoryPolicy is where a domain's memory comes from when it is not bound to nodes, which its cgroup does.
func memoryPolicy(def *davitv1.Domain) *monitorv1.MemoryPolicy {
	mode := map[davitv1.NumaMode]monitorv1.MemoryPolicyMode{
		davitv1.NumaMode_NUMA_MODE_PREFERRED:  monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_PREFERRED,
		davitv1.NumaMode_NUMA_MODE_INTERLEAVE: monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_INTERLEAVE,
	}[def.GetNumatune().GetMode()]
	set, err := domain.ParseNodeset(def.GetNumatune().GetNodeset())
	if mode == 0 || err != nil {
		return nil
	}
	policy := &monitorv1.MemoryPolicy{Mode: mode}
	for n := range domain.MaxNode {
		if set.Has(n) {
			policy.Nodes = append(policy.Nodes, uint32(n))
		}
	}
	return policy
}

// isSystem tells a whole system from an application: a privileged domain by its init, as if it named no profile.
func isSystem(def *davitv1.Domain) bool {
	name := domain.ProfileName(def)
	if name == davitv1.ProfileName_PROFILE_NAME_PRIVILEGED {
		name = domain.ProfileName(&davitv1.Domain{Os: def.GetOs()})
	}
	return name == davitv1.ProfileName_PROFILE_NAME_SYSTEM
}

// environment is what libvirt gives to init, with a longer PATH, and what the definition adds or replaces.
func environment(def *davitv1.Domain) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"TERM=linux",
		"container=lxc-libvirt",
		"HOME=/",
		"container_uuid=" + def.GetUuid(),
		"LIBVIRT_LXC_UUID=" + def.GetUuid(),
		"LIBVIRT_LXC_NAME=" + def.GetName(),
	}
	if line := def.GetOs().GetCmdline(); line != "" {
		env = append(env, "LIBVIRT_LXC_CMDLINE="+line)
	}
	if n := len(def.GetDevices().GetConsole()); n > 1 {
		// systemd logs people in on all that are named here, and takes no other names than these: the nodes of consoles are made
		// first, in their order. The first console is /dev/console.
		var ttys []string
		for i := 1; i < n; i++ {
			ttys = append(ttys, fmt.Sprintf("pts/%d", i))
		}
		env = append(env, "container_ttys="+strings.Join(ttys, " "))
	}
	for _, e := range def.GetOs().GetInitenv() {
		env = wire.Setenv(env, e.GetName(), e.GetValue())
	}
	return env
}

// hostname is the domain's name as libvirt filters it, cut to what the kernel takes; the UUID where nothing is left.
func hostname(def *davitv1.Domain) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return -1
	}, def.GetName())
	if name == "" {
		return def.GetUuid()
	}
	return name[:min(len(name), 64)]
}

// userAndGroup splits USER[:GROUP].
func userAndGroup(s string) (user, group string) {
	user, group, _ = strings.Cut(s, ":")
	return user, group
}
