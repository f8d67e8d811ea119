package oci

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// version of what is written: every runtime of today reads it.
const version = "1.2.0"

// Write writes a definition as a bundle's config.json. Its root is named by its path on the host. The warnings tell what OCI cannot
// say, each by its field. A definition whose root is no folder, or whose init runs as a user that is given by name, cannot be
// written; the error is a *[convert.Error].
func Write(def *davitv1.Domain, o Options) ([]byte, []convert.Warning, error) {
	def = proto.CloneOf(def)
	domain.Inactive(def)
	w := &writing{options: o, def: def, said: map[string]bool{}, spec: &specs.Spec{Version: version, Linux: &specs.Linux{}}}
	if convert.Complete(def, &w.Report, convert.Origin{}); !w.Failed() {
		w.write()
	}
	if err := w.Err("write OCI bundle"); err != nil {
		return nil, w.Warnings(), err
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(w.spec); err != nil {
		return nil, nil, err
	}
	return text.Bytes(), w.Warnings(), nil
}

// writing is a definition on its way to a bundle.
type writing struct {
	convert.Report
	options Options
	def     *davitv1.Domain
	spec    *specs.Spec
	said    map[string]bool // fields that are in the bundle, or told of
}

// say says that fields are in the bundle.
func (w *writing) say(fields ...string) {
	for _, f := range fields {
		w.said[f] = true
	}
}

// lose tells of a field that is not.
func (w *writing) lose(field, format string, args ...any) {
	w.say(field)
	w.Warn(convert.Place{Name: field}, format, args...)
}

func (w *writing) write() {
	w.identity()
	w.process()
	w.spec.Mounts = ownMounts()
	w.filesystems()
	w.namespaces()
	w.idmap()
	w.resources()
	w.hostdevs()
	c := domain.Confine(w.def)
	w.spec.Linux.MaskedPaths, w.spec.Linux.ReadonlyPaths = c.Masked, c.ReadOnly
	w.say("profile.name", "profile.unmask", "profile.rlimit", "profile.no_new_privs")
	if c.HostSeccomp {
		w.lose("profile.seccomp", "the filter %q is a file of the host: put what is in it into linux.seccomp", c.Seccomp)
	} else {
		w.say("profile.seccomp")
	}
	if w.def.GetOs().GetArch() == "i686" {
		w.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		w.say("os.arch")
	}
	if !w.Failed() {
		w.leftOver()
	}
}

func (w *writing) identity() {
	w.say("type", "name", "os.type", "devices.emulator", "features.privnet")
	w.spec.Hostname = strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, w.def.GetName())
	if w.spec.Hostname != w.def.GetName() {
		w.lose("name", "a host's name is letters, digits, - and .: it becomes %q", w.spec.Hostname)
	}
}

func (w *writing) process() {
	os := w.def.GetOs()
	p := &specs.Process{
		Args: append([]string{os.GetInit()}, os.GetInitarg()...), Cwd: "/", Terminal: len(w.def.GetDevices().GetConsole()) > 0,
		User: specs.User{UID: w.id("os.inituser", os.GetInituser()), GID: w.id("os.initgroup", os.GetInitgroup())},
	}
	if os.GetInitdir() != "" {
		p.Cwd = os.GetInitdir()
	}
	for _, e := range os.GetInitenv() {
		p.Env = append(p.Env, e.GetName()+"="+e.GetValue())
	}
	w.say("os.init", "os.initarg", "os.initenv", "os.initdir", "devices.console")
	if n := len(w.def.GetDevices().GetConsole()); n > 1 {
		w.lose("devices.console", "a bundle has one terminal; the domain has %d", n)
	}
	w.spec.Process = p
	w.capabilities()
	w.confinement()
	w.labels()
}

// id reads a user or group, which a bundle knows by number.
func (w *writing) id(field, text string) uint32 {
	if text == "" {
		return 0
	}
	n, numeric, err := domain.ParseID(text)
	if err != nil || !numeric {
		w.Fault(convert.Place{Name: field}, text, "is a name; a bundle knows users and groups by number")
	}
	w.say(field)
	return n
}

// capabilities gives init what the domain may have.
func (w *writing) capabilities() {
	set := []string{}
	for _, name := range domain.Confine(w.def).Capabilities {
		set = append(set, "CAP_"+strings.ToUpper(name))
	}
	slices.Sort(set)
	w.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: set, Effective: set, Permitted: set}
	w.say("features.capabilities")
}

// confinement gives processes what the profile says of them.
func (w *writing) confinement() {
	c := domain.Confine(w.def)
	w.spec.Process.NoNewPrivileges = c.NoNewPrivs
	for _, l := range c.Rlimits {
		hard := l.GetSoft()
		if l.Hard != nil {
			hard = l.GetHard()
		}
		w.spec.Process.Rlimits = append(w.spec.Process.Rlimits, specs.POSIXRlimit{
			Type: "RLIMIT_" + strings.TrimPrefix(l.GetName().String(), "RESOURCE_NAME_"), Soft: l.GetSoft(), Hard: hard,
		})
	}
}

func (w *writing) labels() {
	for i, l := range w.def.GetSeclabel() {
		to := map[string]*string{"apparmor": &w.spec.Process.ApparmorProfile, "selinux": &w.spec.Process.SelinuxLabel}[l.GetModel()]
		field := entry("seclabel", i)
		switch {
		case to == nil || *to != "":
			w.lose(field, "a bundle has one label of AppArmor and one of SELinux")
		case l.GetType() == davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC && l.GetLabel() != "":
			*to = l.GetLabel()
			w.say(field)
		case l.GetType() == davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_NONE && l.GetModel() == "apparmor":
			*to = "unconfined"
			w.say(field)
		default:
			w.lose(field, "a bundle has labels as they are; none is made for it")
		}
	}
}

func (w *writing) filesystems() {
	for i, f := range w.def.GetDevices().GetFilesystem() {
		field := entry("devices.filesystem", i)
		if path.Clean(f.GetTargetDir()) == "/" {
			w.root(field, f)
		} else {
			w.mount(field, f)
		}
		for _, lost := range []struct {
			name string
			set  bool
		}{
			{"accessmode", f.GetAccessmode() > davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_PASSTHROUGH},
			{"overlay_upper", f.GetOverlayUpper() != 0},
			{"driver", f.GetDriver() != nil},
		} {
			if lost.set && !w.said[field] {
				w.lose(field+"."+lost.name, "mounts of a bundle have no such thing")
			}
		}
		w.say(field+".type", field+".target_dir", field+".readonly", field+".accessmode")
	}
	if w.spec.Root == nil {
		w.Fault(convert.Place{Name: "devices.filesystem"}, "", "there is no root: a bundle has a folder of its own for /")
	}
}

func (w *writing) root(field string, f *davitv1.Filesystem) {
	w.spec.Root = &specs.Root{Path: f.GetSourceDir(), Readonly: f.GetReadonly()}
	if f.GetType() != davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT {
		w.Fault(convert.Place{Name: field + ".type"}, "", "the root of a bundle is a folder of the host")
	}
	w.say(field + ".source_dir")
}

func (w *writing) mount(field string, f *davitv1.Filesystem) {
	m := specs.Mount{Destination: path.Clean(f.GetTargetDir())}
	switch f.GetType() {
	case davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT:
		m.Type, m.Source, m.Options = "bind", f.GetSourceDir(), []string{"rbind", "rprivate"}
		w.say(field + ".source_dir")
	case davitv1.FilesystemType_FILESYSTEM_TYPE_RAM:
		m.Type, m.Source, m.Options = "tmpfs", "tmpfs", []string{"size=" + strconv.FormatUint(f.GetSourceUsageKib(), 10) + "k"}
		w.say(field + ".source_usage_kib")
	default:
		w.lose(field, "a bundle cannot mount it: the kind of its content is not known")
		return
	}
	if f.GetReadonly() && m.Type == "bind" {
		m.Options = append(m.Options, "ro")
	}
	w.spec.Mounts = append(w.spec.Mounts, m)
}

func (w *writing) namespaces() {
	shared := map[specs.LinuxNamespaceType]string{}
	n := w.def.GetLxcNamespace()
	for _, s := range []struct {
		kind  specs.LinuxNamespaceType
		name  string
		share *davitv1.LxcNamespaceShare
	}{{specs.NetworkNamespace, "net", n.GetSharenet()}, {specs.IPCNamespace, "ipc", n.GetShareipc()}, {specs.UTSNamespace, "uts", n.GetShareuts()}} {
		field := "lxc_namespace.share" + s.name
		switch s.share.GetType() {
		case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID:
			shared[s.kind] = "/proc/" + s.share.GetValue() + "/ns/" + s.name
			w.say(field)
		case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NETNS:
			shared[s.kind] = "/run/netns/" + s.share.GetValue()
			w.say(field)
		case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NAME:
			w.lose(field, "a bundle knows namespaces by their paths, not by the names of domains")
		default:
		}
	}
	for _, kind := range ownNamespaces() {
		w.spec.Linux.Namespaces = append(w.spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: shared[kind]})
	}
}

func (w *writing) idmap() {
	ranges := func(list []*davitv1.IdRange) []specs.LinuxIDMapping {
		var all []specs.LinuxIDMapping
		for _, r := range list {
			all = append(all, specs.LinuxIDMapping{ContainerID: r.GetStart(), HostID: r.GetTarget(), Size: r.GetCount()})
		}
		return all
	}
	m := w.def.GetIdmap()
	l := w.spec.Linux
	l.UIDMappings, l.GIDMappings = ranges(m.GetUid()), ranges(m.GetGid())
	if len(l.UIDMappings) > 0 {
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	}
	w.say("idmap")
}
