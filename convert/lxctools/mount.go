package lxctools

import (
	"path"
	"slices"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func mountKeys() []Key {
	return []Key{
		{
			Name: "lxc.mount.fstab", Old: "lxc.mount",
			Becomes: "a filesystem for each line of the file, before those of lxc.mount.entry", Why: "as of lxc.mount.entry", read: (*reading).fstab,
		},
		{
			Name: "lxc.mount.entry", List: true,
			Becomes: "filesystem: of type mount for bind mounts, with readonly for ro; of type ram for tmpfs, with its size, or half of the domain's memory; " +
				"of type block for devices and of type file for images (loop). A device of the host that is bound to its own path becomes a hostdev. " +
				"create= is done for every filesystem. Nothing for what every domain has: proc, sysfs, devpts, /dev/shm, /dev/mqueue",
			Why:  "filesystems of a definition must be there (optional is lost) and have no options but ro; other kinds, and targets in /proc, /sys and /dev, are not possible",
			read: (*reading).mountEntries,
		},
		{
			Name: "lxc.mount.auto", Becomes: "nothing for proc, sys:ro, sys:mixed and cgroup in their usual forms: every domain has them",
			Why: "/proc, /sys and cgroups of a domain are as davit makes them, never wholly writable", read: (*reading).autoMounts,
		},
	}
}

// mount is one line of an fstab(5).
type mount struct {
	source, target, kind string
	options              []string
}

// parseMount reads a line; \040 and its like stand for blanks in it.
func parseMount(line string) (m mount, ok bool) {
	words := strings.Fields(line)
	if len(words) < 3 || len(words) > 6 {
		return m, false
	}
	for i := range words {
		words[i] = octal(words[i])
	}
	m = mount{source: words[0], target: words[1], kind: words[2]}
	if len(words) > 3 {
		m.options = strings.Split(words[3], ",")
	}
	return m, true
}

// octal puts characters for \ooo, as getmntent(3) does.
func octal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\\`, `\`).Replace(s)
}

func (m mount) has(option string) bool { return slices.Contains(m.options, option) }

// option is the value of "name=value".
func (m mount) option(name string) string {
	for _, o := range m.options {
		if value, ok := strings.CutPrefix(o, name+"="); ok {
			return value
		}
	}
	return ""
}

func (r *reading) mountEntries(list []setting) {
	r.limitMemory()
	for _, s := range list {
		r.mount(s, s.value)
	}
}

// fstab reads the file that a setting names.
func (r *reading) fstab(list []setting) {
	r.limitMemory()
	s := list[0]
	l := &loader{report: &r.Report, options: r.options}
	shown, name, err := l.resolve(s)
	if err == nil {
		var text string
		if text, err = l.read(s, name); err == nil {
			r.fstabLines(shown, text, s)
			return
		}
	}
	r.fault(s, s.value, "%s", err)
}

func (r *reading) fstabLines(name, text string, s setting) {
	r.File(name)
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "", line[0] == '#':
		case number > maxSettings:
			r.fault(s, s.value, "has more than %d lines", maxSettings)
			return
		default:
			r.mount(setting{key: s.key, given: s.given, value: line, file: name, line: number}, line)
		}
	}
}

// mount converts one line.
func (r *reading) mount(s setting, line string) {
	m, ok := parseMount(line)
	if !ok {
		r.fault(s, line, `is not a mount: "SOURCE TARGET TYPE OPTIONS 0 0"`)
		return
	}
	m.target = r.target(s, m.target)
	if r.isOwn(s, m) {
		return
	}
	f := &davitv1.Filesystem{TargetDir: m.target, Readonly: m.has("ro")}
	switch {
	case m.has("bind") || m.has("rbind"), m.kind == "none":
		f.Type, f.SourceDir = davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, m.source
		if !path.IsAbs(m.source) && r.root != "" && m.has("relative") {
			f.SourceDir = path.Join(r.root, m.source)
		}
	case m.kind == "tmpfs":
		f.Type, f.SourceUsageKib = davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, r.tmpfsSize(s, m)
		if f.Readonly {
			r.warn(s, "a filesystem in memory is always writable")
			f.Readonly = false
		}
	case m.has("loop"):
		f.Type, f.SourceFile = davitv1.FilesystemType_FILESYSTEM_TYPE_FILE, m.source
		f.Driver = &davitv1.FilesystemDriver{Type: "loop", Format: "raw"}
	case strings.HasPrefix(m.source, "/dev/"):
		f.Type, f.SourceDev = davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK, m.source
	default:
		r.warn(s, "a domain cannot mount a filesystem of type %q", m.kind)
		return
	}
	r.mountOptions(s, m)
	r.filesystem(s, f)
}

// target is where a mount stands in the domain. LXC takes a relative target from the root, and an absolute one as a path of
// the host, below the root's own.
func (r *reading) target(s setting, target string) string {
	if !path.IsAbs(target) {
		return path.Join("/", target)
	}
	if r.root != "" && r.root != "/" {
		if below, ok := strings.CutPrefix(path.Clean(target), r.root+"/"); ok {
			return "/" + below
		}
		r.warn(s, "target %q is not below the root %q, and LXC would ignore it; it is taken for a path in the domain", target, r.root)
	}
	return path.Clean(target)
}

// isOwn tells of mounts that stand where every domain has its own.
func (r *reading) isOwn(s setting, m mount) bool {
	in := func(tree string) bool { return m.target == tree || strings.HasPrefix(m.target, tree+"/") }
	switch {
	case m.target == "/proc" && m.kind == "proc", m.target == "/sys" && m.kind == "sysfs",
		m.target == "/dev/pts" && m.kind == "devpts", m.target == "/dev/shm" && m.kind == "tmpfs", m.target == "/dev/mqueue" && m.kind == "mqueue":
		return true
	case in("/dev") && m.source == m.target && (m.has("bind") || m.has("rbind")) && m.option("create") != "dir":
		r.node(s, m)
		return true
	case in("/proc"), in("/sys"), in("/dev"):
		r.warn(s, "every domain has %q as davit makes it; nothing can be mounted at %q", "/"+strings.SplitN(m.target, "/", 3)[1], m.target)
		return true
	}
	return false
}

// isBlock tells whether a device's path is that of a disk.
func isBlock(name string) bool {
	name = strings.TrimPrefix(name, "/dev/")
	for _, prefix := range []string{"sd", "vd", "xvd", "hd", "nvme", "mmcblk", "loop", "dm-", "mapper/", "disk/", "md", "sr", "zd", "nbd", "block/"} {
		if strings.HasPrefix(name, prefix) && name != "loop-control" && !isController(name) {
			return true
		}
	}
	return false
}

// isController tells nvme0 from nvme0n1.
func isController(name string) bool {
	return strings.HasPrefix(name, "nvme") && !strings.Contains(name[len("nvme"):], "n")
}

// node makes a device of the host out of a bind mount of its node. The nodes that every domain has it has already.
func (r *reading) node(s setting, m mount) {
	for _, own := range []string{"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"} {
		if m.target == "/dev/"+own {
			return
		}
	}
	if r.nodes[m.source] {
		return
	}
	r.nodes[m.source] = true
	h := &davitv1.Hostdev{Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES}
	if isBlock(m.source) {
		h.Type, h.SourceBlock = davitv1.HostdevType_HOSTDEV_TYPE_STORAGE, m.source
	} else {
		h.Type, h.SourceChar = davitv1.HostdevType_HOSTDEV_TYPE_MISC, m.source
	}
	r.from(entry("devices.hostdev", len(r.def.Devices.Hostdev)), s)
	r.def.Devices.Hostdev = append(r.def.Devices.Hostdev, h)
	if m.has("optional") {
		r.warn(s, "the device must be there when the domain starts; optional is not carried over")
	}
}

// tmpfsSize is the size in KiB. LXC leaves one without a size to the kernel, which takes half of the host's memory.
func (r *reading) tmpfsSize(s setting, m mount) uint64 {
	size := m.option("size")
	percent, isShare := strings.CutSuffix(size, "%")
	if size == "" {
		percent, isShare = "50", true
	}
	if isShare {
		n, ok := r.number(s, percent, 100)
		if !ok {
			return 0
		}
		kib := max(r.def.MemoryKib*n/100, 1)
		r.warn(s, "a filesystem in memory has a fixed size: %d%% of the domain's memory, %d KiB", n, kib)
		return kib
	}
	bytes, ok := parseBytes(size)
	if !ok {
		r.fault(s, size, "is not a size: bytes, or a number with k, m, g or %%")
	}
	return bytesToKiB(bytes)
}

// mountOptions tells which options are lost.
func (r *reading) mountOptions(s setting, m mount) {
	var lost []string
	for _, o := range m.options {
		name, _, _ := strings.Cut(o, "=")
		switch name {
		case "ro", "rw", "bind", "rbind", "defaults", "create", "loop", "relative", "size", "":
		case "optional":
			r.warn(s, "the source must be there when the domain starts; optional is not carried over")
		default:
			lost = append(lost, o)
		}
	}
	if len(lost) > 0 {
		r.warn(s, "filesystems of a definition have no options like %s", strings.Join(lost[:min(len(lost), 10)], ","))
	}
}

func (r *reading) autoMounts(list []setting) {
	for word := range strings.FieldsSeq(list[0].value) {
		switch strings.TrimSuffix(word, ":force") {
		case "proc", "proc:mixed", "sys", "sys:ro", "sys:mixed", "cgroup", "cgroup:mixed", "cgroup:ro", "cgroup-full", "cgroup-full:mixed", "cgroup-full:ro":
		case "proc:rw", "sys:rw", "cgroup:rw", "cgroup-full:rw":
			r.warn(list[0], "a domain has no writable %s of the host", strings.SplitN(word, ":", 2)[0])
		default:
			r.warn(list[0], "%q is not mounted", word)
		}
	}
}
