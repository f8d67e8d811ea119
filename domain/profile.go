package domain

import (
	"path"
	"slices"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Confinement is what a definition's profile, with what the definition changes of it, comes to: how far its domain is shut in.
type Confinement struct {
	// Name of the profile, never unspecified.
	Name davitv1.ProfileName
	// OwnUsers tells that the domain has a user namespace whether or not the definition has an idmap.
	OwnUsers bool
	// Capabilities are those of the bounding set, by the names of their fields in the definition's, in the order of the schema: those
	// of the profile, or all or none if the definition's policy says so, less and more the single ones that it names.
	Capabilities []string
	// NoNewPrivs keeps programs from gaining privileges.
	NoNewPrivs bool
	// Seccomp is the filter of system calls: [SeccompApplication], [SeccompSystem], [SeccompUnconfined], or the name of a
	// profile of the host.
	Seccomp string
	// HostSeccomp tells that Seccomp is the name of a profile of the host, whatever it is called.
	HostSeccomp bool
	// Masked are the paths that nobody in the domain sees, ReadOnly those that nobody there writes.
	Masked, ReadOnly []string
	// Rlimits are the limits of each process, each resource once.
	Rlimits []*davitv1.ResourceLimit
	// Pids is the greatest number of processes of a definition that says none; 0: no limit.
	Pids uint64
	// Delegated tells that the domain has the cgroups below its own.
	Delegated bool
}

// Filters of system calls that davit has itself.
const (
	SeccompApplication = "application"
	SeccompSystem      = "system"
	SeccompUnconfined  = "unconfined"
	// seccompDefault is the word for the filter of the profile.
	seccompDefault = "default"
)

// ProfileName is the profile that a definition names, or that follows from its init.
func ProfileName(def *davitv1.Domain) davitv1.ProfileName {
	if name := def.GetProfile().GetName(); name != davitv1.ProfileName_PROFILE_NAME_UNSPECIFIED {
		return name
	}
	switch path.Base(def.GetOs().GetInit()) {
	case "init", "systemd":
		return davitv1.ProfileName_PROFILE_NAME_SYSTEM
	}
	return davitv1.ProfileName_PROFILE_NAME_APPLICATION
}

// Confine is how far a definition shuts its domain in.
func Confine(def *davitv1.Domain) Confinement {
	c := profileOf(ProfileName(def))
	c.Capabilities = capabilities(c.Capabilities, def.GetFeatures().GetCapabilities())
	p := def.GetProfile()
	if p == nil {
		return c
	}
	if p.NoNewPrivs != nil {
		c.NoNewPrivs = p.GetNoNewPrivs()
	}
	switch s := p.GetSeccomp(); s {
	case "", seccompDefault:
	case SeccompUnconfined:
		c.Seccomp = SeccompUnconfined
	default:
		c.Seccomp, c.HostSeccomp = s, true
	}
	for _, l := range p.GetRlimit() {
		c.Rlimits = slices.DeleteFunc(c.Rlimits, func(o *davitv1.ResourceLimit) bool { return o.GetName() == l.GetName() })
		c.Rlimits = append(c.Rlimits, l)
	}
	for _, u := range p.GetUnmask() {
		shown := func(p string) bool { return p == u.GetPath() }
		c.Masked, c.ReadOnly = slices.DeleteFunc(c.Masked, shown), slices.DeleteFunc(c.ReadOnly, shown)
	}
	return c
}

// profileOf is a named profile as it stands. Its lists are the caller's.
func profileOf(name davitv1.ProfileName) Confinement {
	files := rlimit(davitv1.ResourceName_RESOURCE_NAME_NOFILE, 1024, 512<<10)
	switch name {
	case davitv1.ProfileName_PROFILE_NAME_PRIVILEGED:
		return Confinement{
			Name: name, Capabilities: without(libvirtDrops), Seccomp: SeccompUnconfined, Rlimits: []*davitv1.ResourceLimit{files},
			Delegated: true,
		}
	case davitv1.ProfileName_PROFILE_NAME_SYSTEM:
		return Confinement{
			Name: name, OwnUsers: true, Capabilities: without(libvirtDrops, systemDrops), Seccomp: SeccompSystem, Masked: MaskedPaths(), ReadOnly: ReadOnlyPaths(),
			Rlimits: []*davitv1.ResourceLimit{files}, Pids: 4096, Delegated: true,
		}
	default:
		return Confinement{
			Name: davitv1.ProfileName_PROFILE_NAME_APPLICATION, OwnUsers: true, Capabilities: slices.Clone(applicationKeeps), NoNewPrivs: true,
			Seccomp: SeccompApplication,
			Masked:  MaskedPaths(), ReadOnly: ReadOnlyPaths(),
			Rlimits: []*davitv1.ResourceLimit{
				files, rlimit(davitv1.ResourceName_RESOURCE_NAME_CORE, 0, 0),
				rlimit(davitv1.ResourceName_RESOURCE_NAME_MEMLOCK, 8<<20, 8<<20),
			},
			Pids: 512,
		}
	}
}

func rlimit(name davitv1.ResourceName, soft, hard uint64) *davitv1.ResourceLimit {
	return &davitv1.ResourceLimit{Name: name, Soft: &soft, Hard: &hard}
}
