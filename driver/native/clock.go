package native

import (
	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// clocks are the hardware clocks that a domain can have, by the names of their nodes below /dev.
var clocks = map[davitv1.TimerName]string{
	davitv1.TimerName_TIMER_NAME_RTC:  "rtc0",
	davitv1.TimerName_TIMER_NAME_HPET: "hpet",
}

// clocksOf are the names of the nodes that a definition asks for, with the timers' indexes. A timer is present unless it is
// said not to be.
func clocksOf(def *davitv1.Domain) (names []string, at []int) {
	for i, t := range def.GetClock().GetTimer() {
		name, known := clocks[t.GetName()]
		if known && (t.Present == nil || t.GetPresent()) {
			names, at = append(names, name), append(at, i)
		}
	}
	return names, at
}

// findClocks looks which of the clocks the host has.
func findClocks(dev string) map[string]*monitorv1.DeviceNode {
	found := make(map[string]*monitorv1.DeviceNode)
	for _, name := range clocks {
		var stat unix.Stat_t
		if unix.Stat(dev+"/"+name, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFCHR {
			continue
		}
		// Only the guest's root, as on the host.
		found[name] = &monitorv1.DeviceNode{Name: name, Major: unix.Major(stat.Rdev), Minor: unix.Minor(stat.Rdev), Mode: 0o600}
	}
	return found
}

// clockNodes are the nodes of a definition's clocks, of those that the host has.
func clockNodes(def *davitv1.Domain, facts Facts) []*monitorv1.DeviceNode {
	var nodes []*monitorv1.DeviceNode
	names, _ := clocksOf(def)
	for _, name := range names {
		if node := facts.Clocks[name]; node != nil {
			nodes = append(nodes, node)
		}
	}
	return nodes
}
