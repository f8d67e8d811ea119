package lxctools

import (
	"math"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// limitKeys are those of cgroups. Where a configuration speaks of both versions, what it says of version 2 counts.
func limitKeys() []Key {
	return []Key{
		{Name: "lxc.cgroup.memory.limit_in_bytes", Becomes: "memory_kib and memtune.hard_limit_kib", read: (*reading).memoryLimit},
		{Name: "lxc.cgroup.memory.soft_limit_in_bytes", Becomes: "memtune.soft_limit_kib", read: (*reading).softLimit},
		{Name: "lxc.cgroup.memory.memsw.limit_in_bytes", Becomes: "memtune.swap_hard_limit_kib", read: (*reading).swapLimit},
		{Name: "lxc.cgroup2.memory.max", Becomes: "memory_kib and memtune.hard_limit_kib", read: (*reading).memoryLimit},
		{Name: "lxc.cgroup2.memory.high", Becomes: "memtune.soft_limit_kib", read: (*reading).softLimit},
		{
			Name: "lxc.cgroup2.memory.swap.max", Becomes: "memtune.swap_hard_limit_kib, together with lxc.cgroup2.memory.max",
			read: (*reading).swapAlone,
		},
		{Name: "lxc.cgroup.cpu.shares", Becomes: "cputune.shares", read: (*reading).shares},
		{Name: "lxc.cgroup.cpu.cfs_period_us", Becomes: "cputune.period", read: (*reading).period},
		{Name: "lxc.cgroup.cpu.cfs_quota_us", Becomes: "cputune.quota", read: (*reading).quota},
		{Name: "lxc.cgroup2.cpu.weight", Becomes: "cputune.shares, 1024 for a weight of 100", read: (*reading).cpuWeight},
		{Name: "lxc.cgroup2.cpu.max", Becomes: "cputune.quota and cputune.period", read: (*reading).cpuMax},
		{Name: "lxc.cgroup.cpuset.cpus", Becomes: "vcpu.cpuset", read: (*reading).cpus},
		{Name: "lxc.cgroup2.cpuset.cpus", Becomes: "vcpu.cpuset", read: (*reading).cpus},
		{Name: "lxc.cgroup.cpuset.mems", Becomes: "numatune, strict", read: (*reading).mems},
		{Name: "lxc.cgroup2.cpuset.mems", Becomes: "numatune, strict", read: (*reading).mems},
		{Name: "lxc.cgroup.pids.max", Becomes: "pids_limit", read: (*reading).pids},
		{Name: "lxc.cgroup2.pids.max", Becomes: "pids_limit", read: (*reading).pids},
		{Name: "lxc.cgroup.blkio.weight", Becomes: "blkiotune.weight", read: (*reading).ioWeight},
		{Name: "lxc.cgroup.blkio.bfq.weight", Becomes: "blkiotune.weight", read: (*reading).ioWeight},
		{Name: "lxc.cgroup2.io.bfq.weight", List: true, Becomes: "blkiotune.weight, or that of a device", read: (*reading).ioWeight},
		{
			Name: "lxc.cgroup2.io.weight", List: true, Becomes: "blkiotune.weight, or that of a device",
			Why: "weights end at 1000", read: (*reading).ioWeight,
		},
		{Name: "lxc.cgroup.blkio.weight_device", List: true, Becomes: "weight of a blkiotune.device, by its number", read: (*reading).deviceWeight},
		{Name: "lxc.cgroup.blkio.throttle.*", List: true, Becomes: "limits of a blkiotune.device, by its number", read: (*reading).throttle},
		{Name: "lxc.cgroup2.io.max", List: true, Becomes: "limits of a blkiotune.device, by its number", read: (*reading).ioMax},
		{
			Name: "lxc.cgroup.devices.deny", List: true, Becomes: "nothing for \"a\": a domain has no device but its own",
			Why: "a domain has no device but those of its definition", read: (*reading).deny,
		},
		{Name: "lxc.cgroup2.devices.deny", List: true, Becomes: "as above", Why: "as above", read: (*reading).deny},
		{
			Name: "lxc.cgroup.devices.allow", List: true, Becomes: "nothing for the devices that every domain has",
			Why: "a definition names devices of the host by their paths, not by numbers", read: (*reading).allow,
		},
		{Name: "lxc.cgroup2.devices.allow", List: true, Becomes: "as above", Why: "as above", read: (*reading).allow},
		{Name: "lxc.cgroup.dir", Why: "davit names the cgroups of domains itself; see resource/partition"},
		{Name: "lxc.cgroup.dir.*", Why: "davit names the cgroups of domains itself"},
		{Name: "lxc.cgroup.relative", Why: "domains' cgroups are below their partition"},
		{Name: "lxc.cgroup.*", List: true, Why: "definitions have no word for this limit"},
		{Name: "lxc.cgroup2.*", List: true, Why: "definitions have no word for this limit"},
	}
}

func (r *reading) memtune() *davitv1.MemoryTune {
	if r.def.Memtune == nil {
		r.def.Memtune = &davitv1.MemoryTune{}
	}
	return r.def.Memtune
}

func (r *reading) cputune() *davitv1.CpuTune {
	if r.def.Cputune == nil {
		r.def.Cputune = &davitv1.CpuTune{}
	}
	return r.def.Cputune
}

func (r *reading) memoryLimit(list []setting) {
	size, limited := r.kib(list[0])
	if !limited {
		return
	}
	r.def.MemoryKib, r.memtune().HardLimitKib = size, size
	r.from("memory_kib", list[0])
	r.from("memtune.hard_limit_kib", list[0])
}

func (r *reading) softLimit(list []setting) {
	if size, limited := r.kib(list[0]); limited {
		r.memtune().SoftLimitKib = size
		r.from("memtune.soft_limit_kib", list[0])
	}
}

func (r *reading) swapLimit(list []setting) {
	if size, limited := r.kib(list[0]); limited {
		r.memtune().SwapHardLimitKib = size
		r.from("memtune.swap_hard_limit_kib", list[0])
	}
}

// swapAlone reads the limit of cgroup v2, which does not count memory.
func (r *reading) swapAlone(list []setting) {
	if unlimited(list[0].value) {
		return
	}
	bytes, ok := parseBytes(list[0].value)
	switch hard := r.def.GetMemtune().GetHardLimitKib(); {
	case !ok:
		r.fault(list[0], list[0].value, "is not a size: bytes, or a number with K, M, G or T")
	case hard == 0:
		r.warn(list[0], "swap is limited together with memory, which has no limit")
	default:
		r.memtune().SwapHardLimitKib = hard + bytesToKiB(bytes)
		r.from("memtune.swap_hard_limit_kib", list[0])
	}
}

// limitMemory gives a domain the memory that every one must have.
func (r *reading) limitMemory() {
	if _, limited := r.origin["memory_kib"]; limited || r.def.MemoryKib != 0 {
		return
	}
	r.def.MemoryKib = defaultMemoryKiB
	if swap := r.def.GetMemtune().GetSwapHardLimitKib(); swap > 0 && swap < defaultMemoryKiB {
		r.def.MemoryKib = swap
	}
	r.Warn(at("lxc.cgroup.memory.limit_in_bytes"), "the configuration has no limit of memory, which a domain needs: it gets %d KiB", r.def.MemoryKib)
}

func (r *reading) shares(list []setting) {
	if n, ok := r.limit(list[0], list[0].value, math.MaxUint32); ok {
		r.cputune().Shares = n
		r.from("cputune.shares", list[0])
	}
}

func (r *reading) cpuWeight(list []setting) {
	if n, ok := r.limit(list[0], list[0].value, 10000); ok {
		r.cputune().Shares = max((n*1024+50)/100, 2)
		r.from("cputune.shares", list[0])
	}
}

func (r *reading) period(list []setting) {
	if n, ok := r.limit(list[0], list[0].value, math.MaxUint32); ok {
		r.cputune().Period = n
		r.from("cputune.period", list[0])
	}
}

func (r *reading) quota(list []setting) { r.setQuota(list[0], list[0].value) }

func (r *reading) setQuota(s setting, text string) {
	if unlimited(text) {
		return
	}
	if n, ok := r.limit(s, text, math.MaxInt64); ok {
		r.cputune().Quota = int64(n)
		r.from("cputune.quota", s)
	}
}

// cpuMax reads "quota period".
func (r *reading) cpuMax(list []setting) {
	words := strings.Fields(list[0].value)
	if len(words) == 0 || len(words) > 2 {
		r.fault(list[0], list[0].value, `is not a quota and a period in microseconds: "50000 100000", "max 100000"`)
		return
	}
	r.setQuota(list[0], words[0])
	if len(words) == 2 && !unlimited(words[0]) {
		s := list[0]
		s.value = words[1]
		r.period([]setting{s})
	}
}

func (r *reading) cpus(list []setting) {
	if r.def.Vcpu == nil {
		r.def.Vcpu = &davitv1.Vcpu{}
	}
	r.def.Vcpu.Cpuset = list[0].value
	r.from("vcpu.cpuset", list[0])
}

func (r *reading) mems(list []setting) {
	r.def.Numatune = &davitv1.NumaTune{
		Mode: davitv1.NumaMode_NUMA_MODE_STRICT, Nodeset: list[0].value, Placement: davitv1.NumaPlacement_NUMA_PLACEMENT_STATIC,
	}
	r.from("numatune", list[0])
}

func (r *reading) pids(list []setting) {
	if unlimited(list[0].value) {
		return
	}
	if n, ok := r.limit(list[0], list[0].value, math.MaxInt32); ok {
		r.def.PidsLimit = n
		r.from("pids_limit", list[0])
	}
}

// ownDevices are what every domain has, as cgroups number them.
func ownDevices() []string {
	return []string{"c 1:3", "c 1:5", "c 1:7", "c 1:8", "c 1:9", "c 4:*", "c 5:0", "c 5:1", "c 5:2", "c 136:*"}
}

// knownDevices are paths of devices that configurations like to allow.
func knownDevices() map[string]string {
	return map[string]string{
		"c 10:200": "/dev/net/tun", "c 10:229": "/dev/fuse", "c 10:232": "/dev/kvm", "c 254:0": "/dev/rtc0", "c 10:228": "/dev/hpet",
		"c 10:237": "/dev/loop-control", "c 226:0": "/dev/dri/card0", "c 226:128": "/dev/dri/renderD128",
	}
}

func (r *reading) deny(list []setting) {
	for _, s := range list {
		if word := strings.Fields(s.value); len(word) == 0 || word[0] != "a" {
			r.warn(s, "a domain has no device but its own and those of its definition; nothing else has to be denied")
		}
	}
}

func (r *reading) allow(list []setting) {
	for _, s := range list {
		words := strings.Fields(s.value)
		switch {
		case len(words) > 0 && words[0] == "a":
			r.warn(s, "a domain cannot have every device of the host; hostdev names those that it has")
		case len(words) != 3 || !strings.Contains("bc", words[0]) || !strings.Contains(words[1], ":") || strings.Trim(words[2], "rwm") != "":
			r.fault(s, s.value, `is not a device: "c 1:3 rwm" or "b 8:* rw"`)
		case owned(words[0] + " " + words[1]):
		case words[2] == "m":
			r.warn(s, "nodes can be made only for devices that the domain may use")
		case knownDevices()[words[0]+" "+words[1]] != "":
			r.warn(s, "a definition names devices by path: give the domain a hostdev of type misc for %s", knownDevices()[words[0]+" "+words[1]])
		default:
			r.warn(s, "a definition names devices by path, not by number: give the domain a hostdev")
		}
	}
}

// owned tells whether every domain has a device.
func owned(device string) bool {
	for _, own := range ownDevices() {
		prefix, all := strings.CutSuffix(own, "*")
		if device == own || all && strings.HasPrefix(device, prefix) {
			return true
		}
	}
	return false
}
