package oci

import (
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/davitd/davit/convert"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (w *writing) resources() {
	l := &specs.LinuxResources{Memory: w.memory(), CPU: w.cpu(), BlockIO: w.blockIO()}
	if n := w.def.GetPidsLimit(); n > 0 {
		limit := int64(min(n, math.MaxInt64))
		l.Pids = &specs.LinuxPids{Limit: &limit}
	}
	w.say("pids_limit")
	l.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	w.spec.Linux.Resources = l
}

func (w *writing) memory() *specs.LinuxMemory {
	bytes := func(kib uint64) *int64 {
		if kib == 0 {
			return nil
		}
		n := int64(min(kib, math.MaxInt64>>10)) << 10
		return &n
	}
	tune := w.def.GetMemtune()
	limit := w.def.GetCurrentMemoryKib()
	if hard := tune.GetHardLimitKib(); hard > 0 && hard != limit {
		w.lose("current_memory_kib", "the limit is memtune.hard_limit_kib")
		limit = hard
	}
	if w.def.GetMemoryKib() != limit {
		w.lose("memory_kib", "a bundle has one limit of memory, %d KiB", limit)
	}
	w.say("memory_kib", "current_memory_kib", "memtune.hard_limit_kib", "memtune.soft_limit_kib", "memtune.swap_hard_limit_kib")
	return &specs.LinuxMemory{Limit: bytes(limit), Reservation: bytes(tune.GetSoftLimitKib()), Swap: bytes(tune.GetSwapHardLimitKib())}
}

func (w *writing) cpu() *specs.LinuxCPU {
	tune, c := w.def.GetCputune(), &specs.LinuxCPU{Cpus: w.def.GetVcpu().GetCpuset()}
	if n := tune.GetShares(); n > 0 {
		c.Shares = &n
	}
	if n := tune.GetPeriod(); n > 0 {
		c.Period = &n
	}
	if n := tune.GetQuota(); n != 0 {
		c.Quota = &n
	}
	w.say("cputune.shares", "cputune.period", "cputune.quota", "vcpu.cpuset")
	if numa := w.def.GetNumatune(); numa.GetMode() == davitv1.NumaMode_NUMA_MODE_STRICT {
		c.Mems = numa.GetNodeset()
		w.say("numatune")
	}
	if *c == (specs.LinuxCPU{}) {
		return nil
	}
	return c
}

func (w *writing) blockIO() *specs.LinuxBlockIO {
	tune := w.def.GetBlkiotune()
	if tune == nil {
		return nil
	}
	b := &specs.LinuxBlockIO{}
	if n := uint16(min(tune.GetWeight(), math.MaxUint16)); n > 0 {
		b.Weight = &n
	}
	w.say("blkiotune.weight")
	for i, d := range tune.GetDevice() {
		field := entry("blkiotune.device", i)
		number, ok := w.blockNumber(field, d.GetPath())
		if !ok {
			continue
		}
		w.say(field)
		if n := uint16(min(d.GetWeight(), math.MaxUint16)); n > 0 {
			b.WeightDevice = append(b.WeightDevice, specs.LinuxWeightDevice{LinuxBlockIODevice: number, Weight: &n})
		}
		for _, t := range []struct {
			to   *[]specs.LinuxThrottleDevice
			rate uint64
		}{
			{&b.ThrottleReadBpsDevice, d.GetReadBytesSec()},
			{&b.ThrottleWriteBpsDevice, d.GetWriteBytesSec()},
			{&b.ThrottleReadIOPSDevice, uint64(d.GetReadIopsSec())},
			{&b.ThrottleWriteIOPSDevice, uint64(d.GetWriteIopsSec())},
		} {
			if t.rate > 0 {
				*t.to = append(*t.to, specs.LinuxThrottleDevice{LinuxBlockIODevice: number, Rate: t.rate})
			}
		}
	}
	return b
}

// blockNumber is the number of a block device: its path says it, or the caller knows.
func (w *writing) blockNumber(field, path string) (specs.LinuxBlockIODevice, bool) {
	if rest, ok := strings.CutPrefix(path, blockPrefix); ok {
		a, b, _ := strings.Cut(rest, ":")
		major, errMajor := strconv.ParseInt(a, 10, 32)
		minor, errMinor := strconv.ParseInt(b, 10, 32)
		if errMajor == nil && errMinor == nil {
			return specs.LinuxBlockIODevice{Major: major, Minor: minor}, true
		}
	}
	major, minor, ok := w.deviceNumber(field, path)
	return specs.LinuxBlockIODevice{Major: major, Minor: minor}, ok
}

// deviceNumber asks the caller.
func (w *writing) deviceNumber(field, path string) (major, minor int64, ok bool) {
	if w.options.Device == nil {
		w.lose(field, "a bundle knows devices by number, and that of %s is not known", convert.Quote(path))
		return 0, 0, false
	}
	major, minor, err := w.options.Device(path)
	if err != nil {
		w.lose(field, "a bundle knows devices by number: %s", err)
	}
	return major, minor, err == nil
}

// hostdevs makes nodes and the right to use them, and moves interfaces.
func (w *writing) hostdevs() {
	l := w.spec.Linux
	for i, h := range w.def.GetDevices().GetHostdev() {
		field := entry("devices.hostdev", i)
		if h.GetMode() != davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES {
			w.lose(field, "a bundle has no hardware")
			continue
		}
		switch h.GetType() {
		case davitv1.HostdevType_HOSTDEV_TYPE_MISC:
			w.node(field, "c", h.GetSourceChar())
		case davitv1.HostdevType_HOSTDEV_TYPE_STORAGE:
			w.node(field, "b", h.GetSourceBlock())
		case davitv1.HostdevType_HOSTDEV_TYPE_NET:
			if l.NetDevices == nil {
				l.NetDevices = map[string]specs.LinuxNetDevice{}
			}
			l.NetDevices[h.GetSourceInterface()] = specs.LinuxNetDevice{}
			w.spec.Version = specs.Version // moving interfaces is of 1.3
			w.say(field+".mode", field+".type", field+".source_interface")
		default:
			w.lose(field, "a bundle has no such device")
		}
	}
}

func (w *writing) node(field, kind, path string) {
	major, minor, ok := w.deviceNumber(field, path)
	if !ok {
		return
	}
	w.say(field)
	l := w.spec.Linux
	l.Devices = append(l.Devices, specs.LinuxDevice{Path: path, Type: kind, Major: major, Minor: minor})
	l.Resources.Devices = append(l.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: kind, Major: &major, Minor: &minor, Access: "rwm"})
}
