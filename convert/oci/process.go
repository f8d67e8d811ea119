package oci

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (r *reading) process(p *specs.Process) {
	r.environment(p.Env)
	r.arguments(p)
	if p.Cwd != "/" {
		r.def.Os.Initdir = p.Cwd
	}
	r.to("process.cwd", "os.initdir")
	r.def.Os.Inituser, r.def.Os.Initgroup = id(p.User.UID), id(p.User.GID)
	r.to("process.user.uid", "os.inituser")
	r.to("process.user.gid", "os.initgroup")
	if p.Terminal {
		port := uint32(0)
		r.def.Devices.Console = []*davitv1.Console{{TargetPort: &port}}
		r.carry("process.terminal")
	}
	r.capabilities(p.Capabilities)
	r.confinement(p)
	r.label("process.apparmorProfile", "apparmor", p.ApparmorProfile)
	r.label("process.selinuxLabel", "selinux", p.SelinuxLabel)
}

func (r *reading) environment(env []string) {
	for i, e := range env {
		at := entry("process.env", i)
		name, value, ok := strings.Cut(e, "=")
		if !ok {
			r.fault(at, e, `is not a variable: "NAME=value"`)
		}
		r.to(at, entry("os.initenv", len(r.def.Os.Initenv)))
		r.def.Os.Initenv = append(r.def.Os.Initenv, &davitv1.InitEnv{Name: name, Value: value})
	}
}

func (r *reading) arguments(p *specs.Process) {
	if len(p.Args) == 0 {
		r.fault("process.args", "", "is missing or empty: a domain runs a program")
		return
	}
	program, rest := p.Args[0], p.Args[1:]
	switch {
	case path.IsAbs(program):
	case strings.Contains(program, "/"):
		program = path.Join("/", p.Cwd, program)
	default:
		if found := r.find(program); found != "" {
			program = found
			break
		}
		r.warn("process.args[0]", "%q has no path: /usr/bin/env looks for it", program)
		program, rest = "/usr/bin/env", p.Args
	}
	r.def.Os.Init, r.def.Os.Initarg = program, rest
	r.to("process.args", "os.initarg")
	r.to("process.args[0]", "os.init")
}

// find looks for a program in the folders of PATH, below the root.
func (r *reading) find(program string) string {
	if r.options.Root == nil || program == "" || r.spec.Root == nil {
		return ""
	}
	root := r.options.Root(r.absolute(r.spec.Root.Path))
	if root == nil {
		return ""
	}
	folders := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range r.def.Os.Initenv {
		if e.Name == "PATH" {
			folders = e.Value
		}
	}
	for i, folder := range strings.Split(folders, ":") {
		if i == 64 {
			break
		}
		full := path.Join("/", folder, program)
		if name := strings.TrimPrefix(full, "/"); fs.ValidPath(name) {
			if info, err := fs.Lstat(root, name); err == nil && !info.IsDir() {
				return full
			}
		}
	}
	return ""
}

func (r *reading) label(at, model, label string) {
	if label == "" {
		return
	}
	l := &davitv1.SecurityLabel{Type: davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC, Model: model, Label: label}
	if label == "unconfined" && model == "apparmor" {
		l = &davitv1.SecurityLabel{Type: davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_NONE, Model: model}
	}
	r.to(at, entry("seclabel", len(r.def.Seclabel)))
	r.def.Seclabel = append(r.def.Seclabel, l)
}

// capabilities reads the bounding set, which is what the processes of a domain may have. Without one they have none, as with runc.
func (r *reading) capabilities(c *specs.LinuxCapabilities) {
	if c == nil {
		c = &specs.LinuxCapabilities{}
	}
	const at = "process.capabilities."
	bounding := map[string]bool{}
	for i, word := range c.Bounding {
		name, known := convert.CapabilityName(word)
		if known {
			bounding[name] = true
			r.carry(entry(at+"bounding", i))
		}
	}
	for field, set := range map[string][]string{"effective": c.Effective, "permitted": c.Permitted} {
		if len(set) == len(c.Bounding) && within(set, c.Bounding) {
			r.carry(at + field)
		}
	}
	if within(c.Inheritable, c.Bounding) {
		r.carry(at + "inheritable")
	}
	if r.spec.Process.User.UID == 0 && within(c.Ambient, c.Bounding) {
		r.carry(at + "ambient") // root has them all the same
	}
	r.def.Features.Capabilities = capabilitiesOf(bounding)
	r.origin.Set("features.capabilities", r.place("process.capabilities"), "")
}

// confinement reads what a profile says of processes, where it is another than that of the domain says.
func (r *reading) confinement(p *specs.Process) {
	usual := domain.Confine(r.def)
	profile := &davitv1.Profile{}
	if p.NoNewPrivileges != usual.NoNewPrivs {
		profile.NoNewPrivs = &p.NoNewPrivileges
		r.origin.Set("profile.no_new_privs", r.place("process.noNewPrivileges"), "")
	}
	r.carry("process.noNewPrivileges")
	for i, l := range p.Rlimits {
		name, known := davitv1.ResourceName_value["RESOURCE_NAME_"+strings.TrimPrefix(l.Type, "RLIMIT_")]
		at := entry("process.rlimits", i)
		if !known || name == 0 || slices.ContainsFunc(profile.Rlimit, func(o *davitv1.ResourceLimit) bool { return int32(o.GetName()) == name }) {
			continue // left over
		}
		limit := &davitv1.ResourceLimit{Name: davitv1.ResourceName(name), Soft: &l.Soft, Hard: &l.Hard}
		r.carry(at)
		if !slices.ContainsFunc(usual.Rlimits, func(o *davitv1.ResourceLimit) bool { return proto.Equal(o, limit) }) {
			r.origin.Set(entry("profile.rlimit", len(profile.Rlimit)), r.place(at), "")
			profile.Rlimit = append(profile.Rlimit, limit)
		}
	}
	if profile.NoNewPrivs != nil || len(profile.Rlimit) > 0 {
		r.def.Profile = profile
	}
}

func within(set, of []string) bool {
	all := map[string]bool{}
	for _, c := range of {
		all[c] = true
	}
	return !slices.ContainsFunc(set, func(c string) bool { return !all[c] })
}

// capabilitiesOf says a set in the fewest words: all but some, or some alone.
func capabilitiesOf(set map[string]bool) *davitv1.Capabilities {
	c := &davitv1.Capabilities{Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_DENY}
	all := convert.Capabilities()
	on := len(set) <= len(all)/2
	if !on {
		c.Policy = davitv1.CapabilityPolicy_CAPABILITY_POLICY_ALLOW
	}
	for _, name := range all {
		if set[name] == on {
			convert.SetCapability(c, name, on)
		}
	}
	return c
}
