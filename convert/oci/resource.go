package oci

import (
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/davitd/davit/convert"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (r *reading) resources(l *specs.LinuxResources) {
	if l == nil {
		l = &specs.LinuxResources{}
	}
	r.memory(l.Memory)
	if l.CPU != nil {
		r.cpu(l.CPU)
	}
	if p := l.Pids; p != nil {
		if p.Limit != nil && *p.Limit > 0 {
			r.def.PidsLimit = uint64(*p.Limit)
		}
		r.to("linux.resources.pids.limit", "pids_limit")
	}
	if l.BlockIO != nil {
		r.blockIO(l.BlockIO)
	}
}

func (r *reading) memory(m *specs.LinuxMemory) {
	const at = "linux.resources.memory."
	if m == nil {
		m = &specs.LinuxMemory{}
	}
	kib := func(bytes *int64) uint64 {
		if bytes == nil || *bytes < 0 {
			return 0
		}
		return uint64(*bytes)/1024 + min(uint64(*bytes)%1024, 1)
	}
	r.def.MemoryKib = kib(m.Limit)
	tune := &davitv1.MemoryTune{SoftLimitKib: kib(m.Reservation), SwapHardLimitKib: kib(m.Swap)}
	if tune.SoftLimitKib > 0 || tune.SwapHardLimitKib > 0 {
		r.def.Memtune = tune
	}
	r.to(at+"limit", "memory_kib")
	r.to(at+"reservation", "memtune.soft_limit_kib")
	r.to(at+"swap", "memtune.swap_hard_limit_kib")
	r.carry(at + "useHierarchy")
	if r.def.MemoryKib == 0 {
		r.def.MemoryKib = defaultMemoryKiB
		if tune.SwapHardLimitKib > 0 {
			r.def.MemoryKib = min(r.def.MemoryKib, tune.SwapHardLimitKib)
		}
		r.Warn(convert.Place{Name: at + "limit"}, "the bundle has no limit of memory, which a domain needs: it gets %d KiB", r.def.MemoryKib)
	}
}

func (r *reading) cpu(c *specs.LinuxCPU) {
	const at = "linux.resources.cpu."
	tune := &davitv1.CpuTune{}
	if c.Shares != nil {
		tune.Shares = *c.Shares
	}
	if c.Period != nil {
		tune.Period = *c.Period
	}
	if c.Quota != nil && *c.Quota > 0 {
		tune.Quota = *c.Quota
	}
	if tune.Shares != 0 || tune.Period != 0 || tune.Quota != 0 {
		r.def.Cputune = tune
	}
	r.to(at+"shares", "cputune.shares")
	r.to(at+"period", "cputune.period")
	r.to(at+"quota", "cputune.quota")
	if c.Cpus != "" {
		r.def.Vcpu = &davitv1.Vcpu{Cpuset: c.Cpus}
		r.to(at+"cpus", "vcpu.cpuset")
	}
	if c.Mems != "" {
		r.def.Numatune = &davitv1.NumaTune{
			Mode: davitv1.NumaMode_NUMA_MODE_STRICT, Nodeset: c.Mems, Placement: davitv1.NumaPlacement_NUMA_PLACEMENT_STATIC,
		}
		r.to(at+"mems", "numatune")
	}
}

func (r *reading) blockIO(b *specs.LinuxBlockIO) {
	const at = "linux.resources.blockIO."
	r.def.Blkiotune = &davitv1.BlkioTune{}
	if b.Weight != nil {
		r.def.Blkiotune.Weight = uint32(*b.Weight)
		r.to(at+"weight", "blkiotune.weight")
	}
	for i, d := range b.WeightDevice {
		from := entry(at+"weightDevice", i)
		if d.Weight != nil {
			r.blockDevice(from, d.LinuxBlockIODevice).Weight = uint32(*d.Weight)
		}
		for _, field := range []string{".weight", ".major", ".minor"} {
			r.carry(from + field)
		}
	}
	for _, t := range []struct {
		name string
		list []specs.LinuxThrottleDevice
		set  func(*davitv1.BlkioDevice, uint64)
		most uint64
	}{
		{"throttleReadBpsDevice", b.ThrottleReadBpsDevice, func(d *davitv1.BlkioDevice, n uint64) { d.ReadBytesSec = n }, math.MaxUint64},
		{"throttleWriteBpsDevice", b.ThrottleWriteBpsDevice, func(d *davitv1.BlkioDevice, n uint64) { d.WriteBytesSec = n }, math.MaxUint64},
		{"throttleReadIOPSDevice", b.ThrottleReadIOPSDevice, func(d *davitv1.BlkioDevice, n uint64) { d.ReadIopsSec = uint32(n) }, math.MaxUint32},
		{"throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice, func(d *davitv1.BlkioDevice, n uint64) { d.WriteIopsSec = uint32(n) }, math.MaxUint32},
	} {
		for i, d := range t.list {
			from := entry(at+t.name, i)
			r.carry(from)
			if d.Rate > t.most {
				r.fault(from+".rate", strconv.FormatUint(d.Rate, 10), "is above %d", t.most)
				continue
			}
			t.set(r.blockDevice(from, d.LinuxBlockIODevice), d.Rate)
		}
	}
}

// blockDevice is the tuning of a device, known by its number.
func (r *reading) blockDevice(from string, d specs.LinuxBlockIODevice) *davitv1.BlkioDevice {
	key := number(d)
	if known, ok := r.blkio[key]; ok {
		return known
	}
	device := &davitv1.BlkioDevice{Path: blockPrefix + key}
	r.blkio[key] = device
	r.origin.Set(entry("blkiotune.device", len(r.def.Blkiotune.Device)), r.place(from), "")
	r.def.Blkiotune.Device = append(r.def.Blkiotune.Device, device)
	return device
}

// blockPrefix is where udev links block devices by their numbers.
const blockPrefix = "/dev/block/"

// devices reads the devices of the host and the rules that let the domain use them.
func (r *reading) devices(l *specs.Linux) {
	for i, d := range l.Devices {
		r.device(entry("linux.devices", i), d)
	}
	names := make([]string, 0, len(l.NetDevices))
	for name := range l.NetDevices {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at := entryName("linux.netDevices", name)
		if r.def.GetLxcNamespace().GetSharenet() != nil {
			r.warn(at, "a domain in a shared network namespace has no interfaces of its own")
			continue
		}
		if to := l.NetDevices[name].Name; to != "" && to != name {
			r.warn(at+".name", "the interface keeps its name, %s, in the domain", convert.Quote(name))
		}
		r.hostdev(at, &davitv1.Hostdev{Type: davitv1.HostdevType_HOSTDEV_TYPE_NET, SourceInterface: name})
	}
	r.carry("linux.netDevices")
	if l.Resources == nil {
		return
	}
	declared := map[string]bool{}
	for _, d := range append(ownDevices(), l.Devices...) {
		declared[deviceKey(d.Type, d.Major, d.Minor)] = true
	}
	for i, rule := range l.Resources.Devices {
		if r.isImplied(rule, declared) {
			r.carry(entry("linux.resources.devices", i))
		}
	}
}

func deviceKey(kind string, major, minor int64) string {
	return strings.Replace(kind, "u", "c", 1) + " " + strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10)
}

// isImplied tells whether a rule says what a definition says by the devices that it names, or that it does not.
func (r *reading) isImplied(rule specs.LinuxDeviceCgroup, declared map[string]bool) bool {
	switch {
	case !rule.Allow:
		return rule.Major == nil && rule.Minor == nil
	case rule.Major == nil:
		return false
	case *rule.Major == 136 && rule.Minor == nil && rule.Type == "c": // pseudo terminals
		return true
	case rule.Minor == nil:
		return false
	}
	return declared[deviceKey(rule.Type, *rule.Major, *rule.Minor)]
}

func (r *reading) device(at string, d specs.LinuxDevice) {
	switch {
	case isOwnDevice(d):
		r.carry(at)
		return
	case d.Type != "c" && d.Type != "u" && d.Type != "b":
		r.warn(at, "a device of type %s is none of the host", convert.Quote(d.Type))
		r.carry(at)
		return
	}
	h := &davitv1.Hostdev{Type: davitv1.HostdevType_HOSTDEV_TYPE_MISC, SourceChar: d.Path}
	if d.Type == "b" {
		h = &davitv1.Hostdev{Type: davitv1.HostdevType_HOSTDEV_TYPE_STORAGE, SourceBlock: d.Path}
	}
	if d.FileMode != nil && *d.FileMode&0o777 != 0o666 || d.UID != nil && *d.UID != 0 || d.GID != nil && *d.GID != 0 {
		r.warn(at, "the device has the mode and owner that davit gives it")
	}
	r.hostdev(at, h)
}

func (r *reading) hostdev(at string, h *davitv1.Hostdev) {
	h.Mode = davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES
	r.to(at, entry("devices.hostdev", len(r.def.Devices.Hostdev)))
	r.def.Devices.Hostdev = append(r.def.Devices.Hostdev, h)
}
