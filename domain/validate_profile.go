package domain

import (
	"fmt"
	"path"
	"regexp"
	"slices"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// MostFilterName is the length of the longest name of a filter of the host.
const MostFilterName = 63

// filterName is a name of a profile of the host: its file is found by it, below one folder and nowhere else.
var filterName = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,%d}$`, MostFilterName-1))

// IsFilterWord tells that a name of a filter means none of the host's, whatever files there are.
func IsFilterWord(name string) bool { return name == seccompDefault || name == SeccompUnconfined }

// profile refuses what no profile can be changed to.
func (v *validator) profile(def *davitv1.Domain) {
	p := def.GetProfile()
	if p == nil {
		return
	}
	if s := p.GetSeccomp(); s != "" && !filterName.MatchString(s) {
		v.fault("profile.seccomp", "%s is no name of a filter: 1 to %d letters, digits, and _ . - after the first", quote(s), MostFilterName)
	}
	v.rlimits(p.GetRlimit())
	v.unmask(ProfileName(def), p.GetUnmask())
}

func (v *validator) rlimits(list []*davitv1.ResourceLimit) {
	seen := map[davitv1.ResourceName]int{}
	for i, l := range list {
		if l.GetName() == davitv1.ResourceName_RESOURCE_NAME_UNSPECIFIED {
			v.fault(v.entry("profile.rlimit", i, "name"), "a limit needs the name of a resource, such as nofile")
		} else if first, ok := taken(seen, l.GetName(), i); ok {
			v.fault(v.entry("profile.rlimit", i, "name"), "%s is already limited by rlimit %d", v.wordOf(l, "name"), first+1)
		}
		switch {
		case l.Soft == nil:
			v.fault(v.entry("profile.rlimit", i, "soft"), "a limit needs a number, %d for none", Unbounded)
		case l.Hard != nil && l.GetHard() < l.GetSoft():
			v.fault(v.entry("profile.rlimit", i, "hard"), "hard limit %d is below the soft limit %d", l.GetHard(), l.GetSoft())
		}
	}
}

// Unbounded is a limit of a process that is none (RLIM_INFINITY).
const Unbounded = ^uint64(0)

// unmask refuses paths that the kernel's own files are not shown at: only what a profile hides can be shown.
func (v *validator) unmask(name davitv1.ProfileName, list []*davitv1.UnmaskedPath) {
	seen := map[string]int{}
	hidden := append(MaskedPaths(), ReadOnlyPaths()...)
	for i, u := range list {
		p, place := u.GetPath(), v.entry("profile.unmask", i, "path")
		message := pathFault(p)
		switch {
		case p == "":
			v.fault(place, "a path is missing: one that the profile masks or makes read-only")
		case message != "":
			v.fault(place, "path %s", message)
		case path.Clean(p) != p:
			v.fault(place, "path %s is not in its shortest form, %s", quote(p), quote(path.Clean(p)))
		case name == davitv1.ProfileName_PROFILE_NAME_PRIVILEGED:
			v.fault(place, "profile privileged hides nothing: %s is as the kernel makes it", quote(p))
		case !slices.Contains(hidden, p):
			v.fault(place, "the profile neither masks %s nor makes it read-only, and shows no parts of what it does", quote(p))
		default:
			v.unique(seen, i, place, p, "the path of unmask")
		}
	}
}

// exposed tells what of a definition gives up a wall between the domain and the host.
func exposed(def *davitv1.Domain) []*davitv1.Warning {
	var list []*davitv1.Warning
	warn := func(field, format string, args ...any) {
		list = append(list, &davitv1.Warning{XmlPath: xmlPathOf(field), Field: field, Message: fmt.Sprintf(format, args...)})
	}
	c := Confine(def)
	mapped := len(def.GetIdmap().GetUid()) > 0
	switch {
	case c.Name != davitv1.ProfileName_PROFILE_NAME_PRIVILEGED:
	case mapped:
		warn("profile.name", "not a boundary: no filter of system calls, no path of the kernel hidden, nearly all capabilities within the ids of <idmap>")
	case !hasOwnRoot(def):
		warn("profile.name", "not a boundary: no filter of system calls, no path of the kernel hidden, nearly all capabilities within ids of its own")
	default:
		warn("profile.name", "not a boundary: root of the domain is root of the host, with nearly all its capabilities and no filter of system calls")
	}
	if c.Seccomp == SeccompUnconfined && def.GetProfile().GetSeccomp() == SeccompUnconfined {
		warn("profile.seccomp", "the domain reaches every system call of the host's kernel, and whatever is wrong with one")
	}
	for i, u := range def.GetProfile().GetUnmask() {
		warn(entry("profile.unmask", i, "path"), "%s tells of the host or reaches its kernel", u.GetPath())
	}
	return list
}

// hasOwnRoot tells whether a domain has a root filesystem, and does not run on the host's, which nobody does as the host's root.
func hasOwnRoot(def *davitv1.Domain) bool {
	return slices.ContainsFunc(def.GetDevices().GetFilesystem(), func(f *davitv1.Filesystem) bool {
		return path.Clean(f.GetTargetDir()) == "/" && path.Clean(f.GetSourceDir()) != "/"
	})
}
