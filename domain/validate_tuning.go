package domain

import (
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Ranges of the tunables, libvirt's and the kernel's.
const (
	minShares, maxShares = 2, 262144
	minPeriod, maxPeriod = 1000, 1000000
	minQuota, maxQuota   = 1000, 17592186044415
	minWeight, maxWeight = 1, 1000
	// maxPids is the kernel's PID_MAX_LIMIT.
	maxPids = 4194304
)

func (v *validator) cputune(tune *davitv1.CpuTune) {
	if n := tune.GetShares(); n != 0 && (n < minShares || n > maxShares) {
		v.fault("cputune.shares", "%d is not in the range %d to %d", n, minShares, maxShares)
	}
	if n := tune.GetPeriod(); n != 0 && (n < minPeriod || n > maxPeriod) {
		v.fault("cputune.period", "%d is not in the range %d to %d", n, minPeriod, maxPeriod)
	}
	if n := tune.GetQuota(); n > 0 && (n < minQuota || n > maxQuota) {
		v.fault("cputune.quota", "%d is not in the range %d to %d, nor negative", n, minQuota, int64(maxQuota))
	}
}

func (v *validator) blkio(tune *davitv1.BlkioTune) {
	v.weight("blkiotune.weight", tune.GetWeight())
	seen := map[string]int{}
	for i, d := range tune.GetDevice() {
		place := func(field string) string { return v.entry("blkiotune.device", i, field) }
		v.absolute(place("path"), d.GetPath(), "a device needs its path")
		v.unique(seen, i, place("path"), d.GetPath(), "the path of device")
		v.weight(place("weight"), d.GetWeight())
	}
}

func (v *validator) weight(field string, n uint32) {
	if n > maxWeight {
		v.fault(field, "weight %d is not in the range %d to %d", n, minWeight, maxWeight)
	}
}

func (v *validator) numatune(t *davitv1.NumaTune) {
	switch {
	case t.GetNodeset() != "":
		if _, err := ParseNodeset(t.GetNodeset()); err != nil {
			v.fault("numatune.nodeset", "%s", err)
		}
	case t.GetPlacement() == davitv1.NumaPlacement_NUMA_PLACEMENT_AUTO:
	case t.GetMode() != 0 || t.GetPlacement() != 0:
		v.fault("numatune.nodeset", "memory comes from nodes that a nodeset names, unless its placement is auto")
	}
}

// pids refuses a limit that the kernel does, and one that leaves no room for init.
func (v *validator) pids(limit uint64) {
	if limit > maxPids {
		v.fault("pids_limit", "%d is above %d", limit, maxPids)
	}
}

// maxAppID is the greatest length of an application id of Fibre Channel in bytes, the kernel's.
const maxAppID = 128

func (v *validator) fibreChannel(id string) {
	switch {
	case len(id) > maxAppID:
		v.fault("fibrechannel_appid", "%s has %d bytes, %d are the limit", quote(id), len(id), maxAppID)
	case strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }):
		v.fault("fibrechannel_appid", "%s has characters that cannot be printed in ASCII", quote(id))
	}
}

func (v *validator) clock(c *davitv1.Clock) {
	switch c.GetOffset() {
	case davitv1.ClockOffset_CLOCK_OFFSET_TIMEZONE:
		v.required("clock.timezone", c.GetTimezone(), "a clock of offset timezone needs the name of a zone")
	case davitv1.ClockOffset_CLOCK_OFFSET_ABSOLUTE:
		if c.Start == nil {
			v.fault("clock.start", "a clock of offset absolute needs its start")
		}
	default:
	}
	seen := map[string]int{}
	for i, t := range c.GetTimer() {
		place := func(field string) string { return v.entry("clock.timer", i, field) }
		if t.GetName() == davitv1.TimerName_TIMER_NAME_UNSPECIFIED {
			v.fault(place("name"), "a timer needs a name: rtc or hpet")
			continue
		}
		v.unique(seen, i, place("name"), v.wordOf(t, "name"), "timer")
		v.word(place("tickpolicy"), t.GetTickpolicy(), "delay", "catchup", "merge", "discard")
		v.word(place("track"), t.GetTrack(), "boot", "guest", "wall", "realtime")
		v.word(place("mode"), t.GetMode(), "auto", "native", "emulate", "paravirt", "smpsafe")
	}
}

// lifecycle refuses libvirt's dumps where nothing crashed.
func (v *validator) lifecycle(def *davitv1.Domain) {
	for _, on := range []struct {
		field  string
		action davitv1.LifecycleAction
	}{{"on_poweroff", def.GetOnPoweroff()}, {"on_reboot", def.GetOnReboot()}} {
		if on.action > davitv1.LifecycleAction_LIFECYCLE_ACTION_RENAME_RESTART {
			v.fault(on.field, "%s is an action of on_crash only; it is destroy, restart, preserve or rename-restart", quote(v.wordOf(def, on.field)))
		}
	}
}
