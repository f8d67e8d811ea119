package lxctools

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func networkKeys() []Key {
	return []Key{
		{
			Name: "lxc.net.*", Old: "lxc.network.*",
			Becomes: "`type` veth: an interface of type bridge, or ethernet without a link; macvlan: a direct one; phys and vlan: a hostdev of type net, " +
				"LINK.ID for a vlan; empty, or no network at all: features.privnet. `link`, `name` (guest/@dev), `hwaddr`, `flags`, " +
				"`ipv4.address`, `ipv4.gateway`, `ipv6.address`, `ipv6.gateway`, `macvlan.mode`, `mtu`, `veth.pair` (target/@dev), " +
				"`veth.vlan.id` and `veth.vlan.tagged.id` (vlan)",
			Why:  "`type` none, ipvlan: a domain has a network namespace and no ipvlan; gateways auto and dev, broadcast addresses, scripts, queues, routes of the host's end",
			read: (*reading).networks,
		},
	}
}

// maxVlan is the greatest number of a VLAN.
const maxVlan = 4094

// isRepeated tells whether every setting of a key within a family counts.
func isRepeated(key string) bool {
	if !strings.HasPrefix(key, "lxc.net.") {
		return false
	}
	for _, suffix := range []string{".ipv4.address", ".ipv6.address", ".ipv4.route", ".ipv6.route", ".vlan.tagged.id"} {
		if strings.HasSuffix(key, suffix) {
			return true
		}
	}
	return false
}

// network is the settings of one network by their keys in it.
type network struct {
	number   uint64
	first    setting
	settings map[string][]setting
}

// last is the value of a key, empty if there is none.
func (n network) last(key string) string {
	if list := n.settings[key]; len(list) > 0 {
		return list[len(list)-1].value
	}
	return ""
}

// drop forgets a key that says nothing more.
func (n network) drop(keys ...string) {
	for _, k := range keys {
		delete(n.settings, k)
	}
}

// networks converts all networks, in the order of their numbers.
func (r *reading) networks(list []setting) {
	byNumber := map[uint64]network{}
	for _, s := range list {
		number, key, ok := strings.Cut(strings.TrimPrefix(s.key, "lxc.net."), ".")
		n, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil {
			r.fault(s, "", "names no network: the keys of one are lxc.net.0.type, lxc.net.0.link and so on")
			continue
		}
		net, ok := byNumber[n]
		if !ok {
			net = network{number: n, first: s, settings: map[string][]setting{}}
			byNumber[n] = net
		}
		net.settings[key] = append(net.settings[key], s)
	}
	all := make([]network, 0, len(byNumber))
	for _, n := range byNumber {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b network) int { return cmp.Compare(a.number, b.number) })
	for _, n := range all {
		r.network(n)
	}
}

func (r *reading) network(n network) {
	kind := n.last("type")
	switch kind {
	case "veth", "macvlan":
		r.virtual(n, kind)
	case "phys", "vlan":
		r.moved(n, kind)
	case "empty", "":
		n.drop("type")
		r.leftOver(n, "a network without an interface has no %s")
	case "none":
		r.hostNet = true
		r.warn(n.settings["type"][0], "a domain does not share the host's network; it gets an empty one of its own")
		n.drop("type")
		r.leftOver(n, "the host's network has no %s")
	case "ipvlan":
		r.warn(n.settings["type"][0], "definitions have no ipvlan; the interface is left out")
		n.drop("type")
		r.leftOver(n, "%s goes with the interface that is left out")
	default:
		r.fault(n.settings["type"][0], kind, "is not one of veth, macvlan, vlan, phys, ipvlan, empty, none")
	}
}

// virtual makes an interface.
func (r *reading) virtual(n network, kind string) {
	i := &davitv1.Interface{GuestDev: n.last("name")}
	link := n.last("link")
	switch {
	case kind == "macvlan":
		i.Type, i.SourceDev, i.SourceMode = davitv1.InterfaceType_INTERFACE_TYPE_DIRECT, link, r.macvlanMode(n)
		if link == "" {
			r.fault(n.first, "", "a macvlan needs an interface of the host: lxc.net.%d.link", n.number)
		}
	case link == "":
		i.Type = davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET
	default:
		i.Type, i.SourceBridge = davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, link
	}
	if kind == "veth" {
		i.TargetDev, i.Vlan = n.last("veth.pair"), r.vlans(n)
		if mode := n.last("veth.mode"); mode == "" || mode == "bridge" {
			n.drop("veth.mode")
		}
	}
	for _, s := range n.settings["mtu"] {
		if size, ok := r.limit(s, s.value, math.MaxUint16); ok {
			i.Mtu = uint32(size)
		}
	}
	if len(n.settings["flags"]) > 0 {
		i.LinkState = davitv1.LinkState_LINK_STATE_UP
	}
	if mac := n.last("hwaddr"); strings.ContainsAny(mac, "xX") {
		r.warn(n.settings["hwaddr"][0], "the domain gets an address of its own for the pattern")
	} else {
		i.Mac = mac
	}
	place := entry("devices.interface", len(r.def.Devices.Interface))
	r.from(place, n.first)
	for key, field := range map[string]string{
		"link": "source_bridge", "name": "guest_dev", "hwaddr": "mac", "veth.pair": "target_dev", "veth.vlan.id": "vlan", "mtu": "mtu",
	} {
		if list := n.settings[key]; len(list) > 0 {
			r.from(place+"."+field, list[0])
		}
	}
	i.Ip, i.Route = r.addresses(n)
	n.drop("type", "link", "name", "hwaddr", "flags", "macvlan.mode", "mtu")
	if kind == "veth" {
		n.drop("veth.pair", "veth.vlan.id", "veth.vlan.tagged.id")
	}
	r.leftOver(n, "interfaces of a definition have no %s")
	r.def.Devices.Interface = append(r.def.Devices.Interface, i)
}

func (r *reading) macvlanMode(n network) davitv1.DirectMode {
	switch mode := n.last("macvlan.mode"); mode {
	case "", "private":
		return davitv1.DirectMode_DIRECT_MODE_PRIVATE
	case "vepa":
		return davitv1.DirectMode_DIRECT_MODE_VEPA
	case "bridge":
		return davitv1.DirectMode_DIRECT_MODE_BRIDGE
	case "passthru", "passthrough":
		return davitv1.DirectMode_DIRECT_MODE_PASSTHROUGH
	default:
		r.fault(n.settings["macvlan.mode"][0], mode, "is not one of private, vepa, bridge, passthru")
		return 0
	}
}

// vlans reads the VLANs of a port of a bridge: one without tag, and those with theirs.
func (r *reading) vlans(n network) *davitv1.Vlan {
	v := &davitv1.Vlan{}
	add := func(s setting, native davitv1.NativeMode) {
		if id, ok := r.number(s, s.value, maxVlan); ok {
			id := uint32(id)
			v.Tag = append(v.Tag, &davitv1.VlanTag{Id: &id, NativeMode: native})
		}
	}
	tagged := n.settings["veth.vlan.tagged.id"]
	for _, s := range n.settings["veth.vlan.id"] {
		switch {
		case s.value == "none":
			r.warn(s, "a port is always in some VLAN of its bridge")
		case len(tagged) > 0:
			add(s, davitv1.NativeMode_NATIVE_MODE_UNTAGGED)
		default:
			add(s, 0)
		}
	}
	for _, s := range tagged {
		add(s, 0)
	}
	if len(tagged) > 0 {
		trunk := true
		v.Trunk = &trunk
	}
	if len(v.GetTag()) == 0 {
		return nil
	}
	return v
}

// moved makes a device of the host out of an interface that moves into the domain.
func (r *reading) moved(n network, kind string) {
	link := n.last("link")
	if link == "" {
		r.fault(n.first, "", "an interface of type %s needs one of the host: lxc.net.%d.link", kind, n.number)
		return
	}
	if kind == "vlan" {
		id := n.settings["vlan.id"]
		if len(id) == 0 {
			r.fault(n.first, "", "a vlan needs its number: lxc.net.%d.vlan.id", n.number)
			return
		}
		if _, ok := r.number(id[0], id[0].value, maxVlan); !ok {
			return
		}
		link += "." + id[0].value
		r.warn(n.settings["type"][0], "the host must have the interface %q; LXC would make it", link)
	}
	if kind == "phys" && strings.HasSuffix(link, "+") {
		r.warn(n.settings["link"][0], "a definition names one interface, no pattern; the interfaces are left out")
		return
	}
	h := &davitv1.Hostdev{
		Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_NET, SourceInterface: link,
	}
	h.Ip, h.Route = r.addresses(n)
	n.drop("type", "link", "vlan.id")
	r.leftOver(n, "an interface that moves into the domain has no %s in a definition")
	r.from(entry("devices.hostdev", len(r.def.Devices.Hostdev)), n.first)
	r.def.Devices.Hostdev = append(r.def.Devices.Hostdev, h)
}

// netKeys are the keys within a network.
func netKeys() []string {
	return []string{
		"flags", "hwaddr", "ipv4.address", "ipv4.gateway", "ipv6.address", "ipv6.gateway", "ipvlan.isolation", "ipvlan.mode", "l2proxy", "link",
		"macvlan.mode", "mtu", "name", "script.down", "script.up", "type", "veth.ipv4.route", "veth.ipv6.route", "veth.mode", "veth.n_rxqueues",
		"veth.n_txqueues", "veth.pair", "veth.vlan.id", "veth.vlan.tagged.id", "vlan.id",
	}
}

// leftOver tells of the settings of a network that nothing has been made of.
func (r *reading) leftOver(n network, format string) {
	for _, key := range slices.Sorted(maps.Keys(n.settings)) {
		known := slices.Contains(netKeys(), key)
		for _, s := range n.settings[key] {
			if known {
				r.warn(s, format, key)
			} else {
				r.unknown(s, key, netKeys)
			}
		}
	}
}

// addresses reads the addresses and gateways of a network, and drops their keys.
func (r *reading) addresses(n network) (ips []*davitv1.IpAddress, routes []*davitv1.Route) {
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, s := range n.settings[family+".address"] {
			if ip := r.address(s, family); ip != nil {
				ips = append(ips, ip)
			}
		}
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, s := range n.settings[family+".gateway"] {
			if route := r.gateway(s, family); route != nil {
				routes = append(routes, route)
			}
		}
		n.drop(family+".address", family+".gateway")
	}
	return ips, routes
}

// address reads "192.168.1.2/24 192.168.1.255".
func (r *reading) address(s setting, family string) *davitv1.IpAddress {
	text, broadcast, _ := strings.Cut(s.value, " ")
	if broadcast != "" {
		r.warn(s, "broadcast address %q is the kernel's choice", broadcast)
	}
	text, bits, hasPrefix := strings.Cut(text, "/")
	addr, ok := r.ip(s, text, family)
	if !ok {
		return nil
	}
	prefix := classPrefix(addr)
	if hasPrefix {
		n, ok := r.number(s, bits, uint64(addr.BitLen()))
		if !ok {
			return nil
		}
		prefix = uint32(min(n, math.MaxUint8))
	}
	return &davitv1.IpAddress{Address: text, Family: ipFamily(family), Prefix: &prefix}
}

// classPrefix is the prefix that LXC takes for an address without one: by its class, or 64.
func classPrefix(addr netip.Addr) uint32 {
	if addr.Is6() {
		return 64
	}
	switch first := addr.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return 0
}

func (r *reading) ip(s setting, text, family string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Is4() != (family == "ipv4") || addr.Zone() != "" {
		r.fault(s, text, "is not an address of %s", family)
		return addr, false
	}
	return addr, true
}

func ipFamily(word string) davitv1.IpFamily {
	if word == "ipv4" {
		return davitv1.IpFamily_IP_FAMILY_IPV4
	}
	return davitv1.IpFamily_IP_FAMILY_IPV6
}

// gateway makes the default route.
func (r *reading) gateway(s setting, family string) *davitv1.Route {
	switch s.value {
	case "auto":
		r.warn(s, "a route names its gateway; give the domain the address of the bridge")
		return nil
	case "dev":
		r.warn(s, "a route goes through a gateway; a device alone is none")
		return nil
	}
	if _, ok := r.ip(s, s.value, family); !ok {
		return nil
	}
	route := &davitv1.Route{Family: ipFamily(family), Address: "0.0.0.0", Gateway: s.value}
	if family == "ipv6" {
		route.Address = "::"
	}
	return route
}

// dropNetworks leaves out what a domain in somebody else's network cannot have.
func (r *reading) dropNetworks() {
	for i := range r.def.Devices.Interface {
		p, _ := r.origin.Of(entry("devices.interface", i))
		r.Warn(p, "a domain in a shared network namespace has no interfaces of its own")
	}
	r.def.Devices.Interface = nil
	kept := r.def.Devices.Hostdev[:0]
	for i, h := range r.def.Devices.Hostdev {
		if h.Type != davitv1.HostdevType_HOSTDEV_TYPE_NET {
			kept = append(kept, h)
			continue
		}
		p, _ := r.origin.Of(entry("devices.hostdev", i))
		r.Warn(p, "a domain in a shared network namespace has no interfaces of its own")
	}
	r.def.Devices.Hostdev = kept
}
