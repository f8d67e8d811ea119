package seccomp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Facts are what Docker's profiles ask for: their rules may be for some hosts and some rights only.
type Facts struct {
	// Arch is the architecture by Go's name. Empty: [Native].
	Arch string
	// Kernel is the host's. The zero value is older than any that a rule asks for.
	Kernel Kernel
	// Capabilities that the domain's processes may have: CAP_SYS_ADMIN.
	Capabilities []string
}

// Kernel is a version of Linux.
type Kernel struct{ Major, Minor int }

// ParseKernel reads the begin of a release, as uname gives it: 6.18.44-generic.
func ParseKernel(release string) (Kernel, error) {
	major, rest, _ := strings.Cut(release, ".")
	minor := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = rest[:i]
	}
	a, errA := strconv.ParseUint(major, 10, 16)
	b, errB := strconv.ParseUint(minor, 10, 16)
	if errA != nil || errB != nil {
		return Kernel{}, fmt.Errorf("read kernel version %.60q: want two numbers with a dot, as 6.12", release)
	}
	return Kernel{Major: int(a), Minor: int(b)}, nil
}

func (k Kernel) atLeast(other Kernel) bool {
	return k.Major > other.Major || k.Major == other.Major && k.Minor >= other.Minor
}

// filter is the condition of a rule for it to be there at all, Docker's includes and excludes.
type filter struct {
	arches, caps []string
	kernel       *Kernel
}

// docker is what Docker calls architectures.
func docker(arch string) string {
	if arch == "386" {
		return "x86"
	}
	return arch
}

// includes tells whether a rule with this filter is for the host: all of it must hold.
func (f filter) includes(host Facts) bool {
	return (len(f.arches) == 0 || slices.Contains(f.arches, docker(host.Arch))) &&
		!slices.ContainsFunc(f.caps, func(c string) bool { return !slices.Contains(host.Capabilities, c) }) &&
		(f.kernel == nil || host.Kernel.atLeast(*f.kernel))
}

// excludes tells whether a rule with this filter is not for the host: any of it is enough.
func (f filter) excludes(host Facts) bool {
	return slices.Contains(f.arches, docker(host.Arch)) ||
		slices.ContainsFunc(f.caps, func(c string) bool { return slices.Contains(host.Capabilities, c) }) ||
		f.kernel != nil && host.Kernel.atLeast(*f.kernel)
}
