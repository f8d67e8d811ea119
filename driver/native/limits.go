package native

import (
	"cmp"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	// defaultPartition is libvirt's.
	defaultPartition = "/machine"
)

// partition is where the domain's cgroup lies.
func partition(def *davitv1.Domain) string {
	if p := def.GetPartition(); p != "" {
		return p
	}
	return defaultPartition
}

// limits are a definition's words in those of cgroups, but for what is said of single block devices; has tells which controllers there are. What a definition asks for
// and the host cannot limit fails at the start; the default for processes is left out where it cannot be had.
func limits(def *davitv1.Domain, facts Facts, has func(controller string) bool) cgroup.Limits {
	l := cgroup.Limits{
		MemoryMax:     some(memoryLimit(def)),
		MemoryHigh:    kib(def.GetMemtune().GetSoftLimitKib()),
		MemorySwapMax: kib(def.GetMemtune().GetSwapHardLimitKib()),
		CPUShares:     some(def.GetCputune().GetShares()),
		CPUPeriod:     some(def.GetCputune().GetPeriod()),
		Cpuset:        def.GetVcpu().GetCpuset(),
		Mems:          boundNodes(def),
		IOWeight:      some(uint64(def.GetBlkiotune().GetWeight())),
		PidsMax:       some(def.GetPidsLimit()),
		Devices:       devicePolicy(def, facts),
	}
	if q := def.GetCputune().GetQuota(); q != 0 {
		l.CPUQuota = &q
	}
	if l.PidsMax == nil && has("pids") {
		l.PidsMax = some(domain.Confine(def).Pids)
	}
	return l
}

// boundNodes are the memory nodes beside which a domain can have no memory.
func boundNodes(def *davitv1.Domain) string {
	if !domain.BindsMemory(def) {
		return ""
	}
	return def.GetNumatune().GetNodeset()
}

// memoryLimit is how many bytes of memory a domain may have, 0 for no limit.
func memoryLimit(def *davitv1.Domain) uint64 {
	limit := kib(cmp.Or(def.GetMemtune().GetHardLimitKib(), def.GetCurrentMemoryKib(), def.GetMemoryKib()))
	if limit == nil {
		return 0
	}
	return *limit
}

// devicePolicy allows the nodes of the domain's /dev and its terminals; clocks are read, as with libvirt, and not set, and so is
// what is read-only. A domain
// that may make nodes may make any, and open none but these.
func devicePolicy(def *davitv1.Domain, facts Facts) []cgroup.DeviceRule {
	var rules []cgroup.DeviceRule
	for _, n := range nodes {
		rules = append(rules, character(int64(n.major), int64(n.minor), "rw"))
	}
	rules = append(rules,
		character(5, 1, "rw"),                  // console
		character(5, 2, "rw"),                  // ptmx
		character(136, cgroup.AnyNumber, "rw"), // pts
	)
	for _, n := range clockNodes(def, facts) {
		rules = append(rules, character(int64(n.GetMajor()), int64(n.GetMinor()), "r"))
	}
	rules = append(rules, sourceRules(facts.Sources)...)
	if bounding(domain.Confine(def), 1<<unix.CAP_MKNOD) != 0 {
		rules = append(rules, character(cgroup.AnyNumber, cgroup.AnyNumber, "m"),
			cgroup.DeviceRule{Type: cgroup.BlockDevice, Major: cgroup.AnyNumber, Minor: cgroup.AnyNumber, Access: "m"})
	}
	return rules
}

func character(major, minor int64, access string) cgroup.DeviceRule {
	return cgroup.DeviceRule{Type: cgroup.CharDevice, Major: major, Minor: minor, Access: access}
}

// kib is a limit in bytes, nil for 0.
func kib(n uint64) *uint64 {
	if n == 0 {
		return nil
	}
	if n > cgroup.Unlimited>>10 {
		return some(uint64(cgroup.Unlimited))
	}
	return some(n << 10)
}

func some(n uint64) *uint64 {
	if n == 0 {
		return nil
	}
	return &n
}

// elements are the places of a definition that limits come from.
var elements = map[string]string{
	"memory": "/domain/memtune", "cpu": "/domain/cputune", "cpuset": "/domain/vcpu/@cpuset", "pids": "/domain/davit:pids/@limit",
	"memory nodes": "/domain/numatune/memory", "io weight": "/domain/blkiotune/weight", "io devices": "/domain/blkiotune/device",
}

// elementOf is the place of the definition that a limit comes from that was refused, "" if no limit was.
func elementOf(err error) string {
	if told, ok := errors.AsType[*cgroup.LimitError](err); ok {
		return elements[told.Limit]
	}
	return ""
}

// checkLimits tells of limits that the host could not set now.
func (d *Driver) checkLimits(def *davitv1.Domain) []*davitv1.Warning {
	var warnings []*davitv1.Warning
	for _, l := range []struct {
		asked             bool
		controller, field string
		element           string
	}{
		{def.GetMemtune() != nil, "memory", "memtune", elements["memory"]},
		{def.GetCputune().GetShares() != 0 || def.GetCputune().GetQuota() != 0, "cpu", "cputune", elements["cpu"]},
		{def.GetVcpu().GetCpuset() != "", "cpuset", "vcpu.cpuset", elements["cpuset"]},
		{boundNodes(def) != "", "cpuset", "numatune", elements["memory nodes"]},
		{def.GetPidsLimit() != 0, "pids", "pids_limit", elements["pids"]},
		{def.GetBlkiotune().GetWeight() != 0 || len(def.GetBlkiotune().GetDevice()) > 0, "io", "blkiotune", "/domain/blkiotune"},
	} {
		if l.asked && !d.cgroups.Has(l.controller) {
			warnings = append(warnings, &davitv1.Warning{
				XmlPath: l.element, Field: l.field,
				Message: fmt.Sprintf("the host has no cgroup controller %q; the domain cannot be started without", l.controller),
			})
		}
	}
	_, faults := ioDevices(def)
	for _, f := range faults {
		warnings = append(warnings, &davitv1.Warning{
			XmlPath: f.XMLPath, Field: f.Field, Message: f.Message + "; the domain cannot be started before",
		})
	}
	return warnings
}
