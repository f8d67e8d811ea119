package native

import (
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/seccomp"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// defaultSeccompDir is where the filters of the host are, each NAME.json.
const defaultSeccompDir = "/etc/davit/seccomp"

// filterPath is where a definition names its filter.
const filterPath = "/domain/davit:profile/davit:seccomp/@profile"

// confine gives a process what its definition lets it do. Init and every command beside it come through here, so that no way in is
// wider than another.
func confine(p *monitorv1.Process, def *davitv1.Domain, facts Facts) {
	c := domain.Confine(def)
	p.Capabilities = bounding(c, facts.Capabilities)
	p.NoNewPrivs = c.NoNewPrivs
	p.Rlimits = nil
	for _, l := range c.Rlimits {
		hard := l.GetSoft()
		if l.Hard != nil {
			hard = l.GetHard()
		}
		p.Rlimits = append(p.Rlimits, &monitorv1.Rlimit{Resource: resources[l.GetName()], Soft: l.GetSoft(), Hard: hard})
	}
	p.Seccomp, p.SeccompName = nil, ""
	if c.Seccomp != domain.SeccompUnconfined {
		p.Seccomp, p.SeccompName = facts.Filter.Bytes(), c.Seccomp
	}
	if c.HostSeccomp {
		p.SeccompName = "host filter " + c.Seccomp // it may be called as one of ours
	}
	p.ApparmorProfile, p.SelinuxContext = label(def, apparmor), label(def, selinux)
}

// resources are the kernel's numbers of what is limited.
var resources = map[davitv1.ResourceName]uint32{
	davitv1.ResourceName_RESOURCE_NAME_AS:         unix.RLIMIT_AS,
	davitv1.ResourceName_RESOURCE_NAME_CORE:       unix.RLIMIT_CORE,
	davitv1.ResourceName_RESOURCE_NAME_CPU:        unix.RLIMIT_CPU,
	davitv1.ResourceName_RESOURCE_NAME_DATA:       unix.RLIMIT_DATA,
	davitv1.ResourceName_RESOURCE_NAME_FSIZE:      unix.RLIMIT_FSIZE,
	davitv1.ResourceName_RESOURCE_NAME_LOCKS:      unix.RLIMIT_LOCKS,
	davitv1.ResourceName_RESOURCE_NAME_MEMLOCK:    unix.RLIMIT_MEMLOCK,
	davitv1.ResourceName_RESOURCE_NAME_MSGQUEUE:   unix.RLIMIT_MSGQUEUE,
	davitv1.ResourceName_RESOURCE_NAME_NICE:       unix.RLIMIT_NICE,
	davitv1.ResourceName_RESOURCE_NAME_NOFILE:     unix.RLIMIT_NOFILE,
	davitv1.ResourceName_RESOURCE_NAME_NPROC:      unix.RLIMIT_NPROC,
	davitv1.ResourceName_RESOURCE_NAME_RTPRIO:     unix.RLIMIT_RTPRIO,
	davitv1.ResourceName_RESOURCE_NAME_RTTIME:     unix.RLIMIT_RTTIME,
	davitv1.ResourceName_RESOURCE_NAME_SIGPENDING: unix.RLIMIT_SIGPENDING,
	davitv1.ResourceName_RESOURCE_NAME_STACK:      unix.RLIMIT_STACK,
}

// The models of security labels that processes can have.
const apparmor, selinux = "apparmor", "selinux"

// label is the static label of a model, empty if the definition has none.
func label(def *davitv1.Domain, model string) string {
	for _, l := range def.GetSeclabel() {
		if l.GetModel() == model && l.GetType() == davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC {
			return l.GetLabel()
		}
	}
	return ""
}

// withFilter finds the filter of system calls of a definition. That of the host is read anew each time.
func (f Facts) withFilter(def *davitv1.Domain, dir string) Facts {
	var err error
	if f.Filter, f.FilterWarnings, err = filterOf(domain.Confine(def), dir); err != nil {
		f.FilterFault = err.Error()
	}
	return f
}

// filterOf makes a filter, and tells what of one of the host is passed over.
func filterOf(c domain.Confinement, dir string) (program seccomp.Program, warnings []string, err error) {
	var profile seccomp.Profile
	switch {
	case c.Seccomp == domain.SeccompUnconfined:
		return program, nil, nil
	case c.HostSeccomp:
		profile, warnings, err = seccomp.LoadProfile(dir, c.Seccomp, seccompFacts(c))
	default:
		profile, err = seccomp.Default(c.Seccomp)
	}
	if err != nil {
		return program, nil, err
	}
	program, err = profile.Compile(runtime.GOARCH)
	return program, warnings, err
}

// seccompFacts are what profiles of the host make their rules for.
func seccompFacts(c domain.Confinement) seccomp.Facts {
	facts := seccomp.Facts{Arch: runtime.GOARCH}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		facts.Kernel, _ = seccomp.ParseKernel(unix.ByteSliceToString(uts.Release[:])) // an odd one is older than any that is asked for
	}
	for _, name := range c.Capabilities {
		facts.Capabilities = append(facts.Capabilities, "CAP_"+strings.ToUpper(name))
	}
	return facts
}

// unconfined are the places of a definition that ask for a wall that cannot be had: without it the domain is not started.
func unconfined(def *davitv1.Domain, facts Facts) []domain.Violation {
	var list []domain.Violation
	c := domain.Confine(def)
	switch {
	case c.Seccomp == domain.SeccompUnconfined:
	case facts.FilterFault != "":
		list = append(list, violation("profile.seccomp", filterPath, "%s", facts.FilterFault))
	case facts.Filter.Len() == 0:
		list = append(list, violation("profile.seccomp", filterPath, "filter %q was not made", c.Seccomp))
	}
	list = append(list, unlabelled(def, facts.Modules)...)
	return append(list, unmappable(def, facts)...)
}
