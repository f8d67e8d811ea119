package domain

import (
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// wiring is what interfaces of a domain have that no other of them can.
type wiring struct{ macs, hostEnds, names map[string]int }

func (v *validator) interfaces(list []*davitv1.Interface) {
	t := wiring{map[string]int{}, map[string]int{}, map[string]int{}}
	for i, n := range list {
		v.netInterface(i, n, t)
	}
}

func (v *validator) netInterface(i int, n *davitv1.Interface, t wiring) {
	place := func(field string) string { return v.entry("devices.interface", i, field) }
	if n.GetMac() != "" {
		if message := macFault(n.GetMac()); message != "" {
			v.fault(place("mac"), "%s", message)
		} else {
			v.unique(t.macs, i, place("mac"), strings.ToLower(n.GetMac()), "the address of interface")
		}
	}
	v.interfaceSource(place, n)
	v.hostEnd(place, n)
	if n.GetVlan() != nil {
		v.vlan(place, n)
	}
	v.bandwidth(place, n)
	if n.GetScript() != "" {
		v.fault(place("script"), "interfaces of containers are set up without scripts")
	}
	if mtu := n.GetMtu(); mtu != 0 && (mtu < minMTU || mtu > maxMTU) {
		v.fault(place("mtu"), "%d is not in the range %d to %d", mtu, minMTU, maxMTU)
	}
	v.interfaceName(place("target_dev"), n.GetTargetDev())
	v.unique(t.hostEnds, i, place("target_dev"), n.GetTargetDev(), "the host end of interface")
	v.interfaceName(place("guest_dev"), n.GetGuestDev())
	switch n.GetGuestDev() {
	case "all", "default":
		v.fault(place("guest_dev"), "%s stands for other interfaces in /proc/sys/net", quote(n.GetGuestDev()))
	case "lo":
		v.fault(place("guest_dev"), "%s is the loopback, which every domain has", quote("lo"))
	}
	v.unique(t.names, i, place("guest_dev"), n.GetGuestDev(), "the name of interface")
	v.addresses(place("ip"), place("route"), n.GetIp(), n.GetRoute())
}

// Limits of a packet's size, those of IPv4 and Linux.
const minMTU, maxMTU = 68, 65535

// interfaceSource checks that the type's own source is there, and no other.
func (v *validator) interfaceSource(place func(string) string, n *davitv1.Interface) {
	var own []string
	switch n.GetType() {
	case davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE:
		own = []string{"source_bridge"}
		v.required(place("source_bridge"), n.GetSourceBridge(), "an interface of type bridge needs a bridge")
	case davitv1.InterfaceType_INTERFACE_TYPE_NETWORK:
		own = []string{"source_network", "source_portgroup"}
		v.required(place("source_network"), n.GetSourceNetwork(), "an interface of type network needs a network")
	case davitv1.InterfaceType_INTERFACE_TYPE_DIRECT:
		own = []string{"source_dev"}
		v.required(place("source_dev"), n.GetSourceDev(), "a direct interface needs an interface of the host")
		v.ipvlan(place, n)
	case davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET:
	default:
		v.fault(place("type"), "containers have no user-mode networks, libvirt's type when none is given: use bridge, network, ethernet or direct")
		return
	}
	v.interfaceName(place("source_bridge"), n.GetSourceBridge())
	v.interfaceName(place("source_dev"), n.GetSourceDev())
	v.foreign(place, []source{
		{"source_bridge", n.GetSourceBridge()},
		{"source_network", n.GetSourceNetwork()},
		{"source_portgroup", n.GetSourcePortgroup()},
		{"source_dev", n.GetSourceDev()},
	}, "an interface", n, own...)
	if n.GetSourceMode() != 0 && n.GetType() != davitv1.InterfaceType_INTERFACE_TYPE_DIRECT {
		v.fault(place("source_mode"), "only direct interfaces have a mode")
	}
	if n.GetIpvlan() != 0 && n.GetType() != davitv1.InterfaceType_INTERFACE_TYPE_DIRECT {
		v.fault(place("ipvlan"), "only a direct interface can be an ipvlan")
	}
}

// ipvlan checks what an interface without a hardware address of its own cannot have.
func (v *validator) ipvlan(place func(string) string, n *davitv1.Interface) {
	if n.GetIpvlan() == 0 {
		return
	}
	if n.GetMac() != "" {
		v.fault(place("mac"), "an ipvlan has the hardware address of its source; leave the address out, or the ipvlan")
	}
	if mode := n.GetSourceMode(); mode != 0 && mode != davitv1.DirectMode_DIRECT_MODE_BRIDGE {
		v.fault(place("source_mode"), "all ipvlans of a source have one mode, which is bridge, not %s", v.wordOf(n, "source_mode"))
	}
}

// hostEnd checks what is said of the host's side of an interface.
func (v *validator) hostEnd(place func(string) string, n *davitv1.Interface) {
	switched := n.GetType() == davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE || n.GetType() == davitv1.InterfaceType_INTERFACE_TYPE_NETWORK
	if n.GetPortIsolated() && !switched {
		v.fault(place("port_isolated"), "only a port of a bridge or network can be isolated")
	}
	if n.GetVirtualport() != nil && !switched {
		v.fault(place("virtualport"), "only a bridge or network has ports of a virtual switch")
	}
	if len(n.GetSourceIp())+len(n.GetSourceRoute()) == 0 {
		return
	}
	if n.GetType() != davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET {
		field := "source_ip[0]"
		if len(n.GetSourceIp()) == 0 {
			field = "source_route[0]"
		}
		v.fault(place(field), "only the host end of an ethernet interface has addresses and routes")
	}
	v.addresses(place("source_ip"), place("source_route"), n.GetSourceIp(), n.GetSourceRoute())
}

// Numbers of VLANs that can be used (IEEE 802.1Q keeps 0 and 4095 for itself).
const minVLAN, maxVLAN = 1, 4094

func (v *validator) vlan(place func(string) string, n *davitv1.Interface) {
	vlan := n.GetVlan()
	switch {
	case n.GetType() != davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE && n.GetType() != davitv1.InterfaceType_INTERFACE_TYPE_NETWORK:
		v.fault(place("vlan"), "only a port of a bridge or network is in VLANs")
	case len(vlan.GetTag()) == 0:
		v.fault(place("vlan"), "a vlan needs a tag")
	case vlan.Trunk != nil && !vlan.GetTrunk() && isTrunk(vlan):
		v.fault(place("vlan.trunk"), "several VLANs, or a native one, are a trunk")
	}
	seen, native := map[uint32]int{}, -1
	for i, tag := range vlan.GetTag() {
		at := func(field string) string { return v.entry(place("vlan.tag"), i, field) }
		switch id := tag.GetId(); {
		case tag.Id == nil:
			v.fault(at("id"), "a tag needs the number of its VLAN")
		case id < minVLAN || id > maxVLAN:
			v.fault(at("id"), "%d is not in the range %d to %d", id, minVLAN, maxVLAN)
		default:
			if first, ok := taken(seen, id, i); ok {
				v.fault(at("id"), "%s is already the number of tag %d", quote(numeral(id)), first+1)
			}
		}
		switch {
		case tag.GetNativeMode() == 0:
		case native >= 0:
			v.fault(at("native_mode"), "tag %d is already the native VLAN", native+1)
		default:
			native = i
		}
	}
}

func (v *validator) bandwidth(place func(string) string, n *davitv1.Interface) {
	if n.GetBandwidth() == nil {
		return
	}
	if n.GetType() == davitv1.InterfaceType_INTERFACE_TYPE_DIRECT {
		v.fault(place("bandwidth"), "a direct interface has no end on the host where its traffic could be shaped")
	}
	for _, side := range []struct {
		name  string
		limit *davitv1.BandwidthLimit
	}{{"inbound", n.GetBandwidth().GetInbound()}, {"outbound", n.GetBandwidth().GetOutbound()}} {
		if side.limit != nil {
			v.bandwidthLimit(func(field string) string { return place("bandwidth." + side.name + "." + field) }, side.name, side.limit)
		}
	}
}

func (v *validator) bandwidthLimit(at func(string) string, side string, l *davitv1.BandwidthLimit) {
	floorOnly := l.GetFloor() != 0 && l.GetPeak() == 0 && l.GetBurst() == 0
	switch {
	case side == "outbound" && l.GetFloor() != 0:
		v.fault(at("floor"), "only inbound traffic has a guaranteed rate")
	case l.GetAverage() == 0 && !floorOnly:
		v.fault(at("average"), "a limit of traffic needs an average, above 0")
	case l.GetPeak() != 0 && l.GetPeak() < l.GetAverage():
		v.fault(at("peak"), "peak %d KiB/s is below the average, %d KiB/s", l.GetPeak(), l.GetAverage())
	}
	for _, rate := range []struct {
		field string
		kib   uint64
	}{{"average", l.GetAverage()}, {"peak", l.GetPeak()}, {"burst", l.GetBurst()}, {"floor", l.GetFloor()}} {
		if rate.kib > Unlimited {
			v.fault(at(rate.field), "%d is above %d", rate.kib, uint64(Unlimited))
		}
	}
}

// maxInterfaceName is the greatest length of a name of an interface (IFNAMSIZ less the NUL).
const maxInterfaceName = 15

// interfaceName refuses what the kernel would (dev_valid_name, where U+00A0 and whatever has its second byte count as blank), and
// "%", which makes the kernel choose a number.
func (v *validator) interfaceName(field, name string) {
	switch {
	case len(name) > maxInterfaceName:
		v.fault(field, "%s is not a name of an interface: it has %d bytes, %d are the limit", quote(name), len(name), maxInterfaceName)
	case name == ".", name == "..", strings.ContainsAny(name, "/:% "), strings.ContainsFunc(name, isControl), strings.Contains(name, "\xa0"):
		v.fault(field, "%s is not a name of an interface", quote(name))
	}
}
