package native

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// nic is a network interface of a definition, as the host makes it.
type nic struct {
	// alias of the device, and its place in the definition: devices.interface[0].
	alias, field, xmlPath string
	link.Spec
}

// nicSources is what a definition alone does not say of its interfaces.
type nicSources struct {
	// owner marks the host ends.
	owner string
	// ports are the interfaces of the run so far: those that are given no name keep theirs.
	ports []port
	// networks resolves virtual networks; nil if there are none.
	networks Networks
}

// owner is what marks a host end as ours, and whose it is.
func owner(instance, uuid string) string { return ownerPrefix(instance) + uuid }

func ownerPrefix(instance string) string { return "davit-" + instance + "-" }

// nics are the interfaces of a definition, which domain.Validate has accepted, those of the host that it is lent last. What
// cannot be made here at all is told instead, and what cannot be made now: a network that is not there.
func nics(def *davitv1.Domain, from nicSources) (list []nic, faults, missing []domain.Violation) {
	names := guestNames(def.GetDevices(), from.ports)
	for i, n := range def.GetDevices().GetInterface() {
		made := nic{
			alias: aliasOr(n.GetAlias(), "net", i), field: fmt.Sprintf("devices.interface[%d]", i),
			xmlPath: fmt.Sprintf("/domain/devices/interface[%d]", i+1),
		}
		made.Guest, made.Owner = names[i], from.owner
		if n.GetType() == davitv1.InterfaceType_INTERFACE_TYPE_NETWORK && from.networks != nil {
			var err error
			if n, err = resolveNetwork(n, from.networks); err != nil {
				missing = append(missing, violation(made.field+".source_network", made.xmlPath+"/source/@network", "%v", err))
				continue
			}
		}
		if err := made.complete(n); err != nil {
			faults = append(faults, violation(made.field, made.xmlPath, "%v", err))
			continue
		}
		if made.nameHost(n.GetTargetDev()); made.Host == "" {
			if p := find(from.ports, made.alias); p != nil && p.Host != "" {
				made.HostHint = p.Host
			}
		}
		list = append(list, made)
	}
	for i, h := range def.GetDevices().GetHostdev() {
		if h.GetType() != davitv1.HostdevType_HOSTDEV_TYPE_NET {
			continue
		}
		made := nic{
			alias: aliasOr(h.GetAlias(), "hostdev", i), field: fmt.Sprintf("devices.hostdev[%d]", i),
			xmlPath: fmt.Sprintf("/domain/devices/hostdev[%d]", i+1),
		}
		made.Kind, made.Parent, made.Guest, made.Owner = link.Lent, h.GetSourceInterface(), h.GetSourceInterface(), from.owner
		if err := made.addressInside(h.GetIp(), h.GetRoute()); err != nil {
			faults = append(faults, violation(made.field, made.xmlPath, "%v", err))
			continue
		}
		list = append(list, made)
	}
	return list, faults, missing
}

// aliasOr is the alias of a device, or the one that it would have by its place.
func aliasOr(alias, kind string, i int) string {
	if alias != "" {
		return alias
	}
	return fmt.Sprintf("%s%d", kind, i)
}

// guestNames are the names of interfaces inside: those that are given, those that they have, and for the others the first of eth0,
// eth1 and so on that no other has. An interface of the host keeps its name inside, as with libvirt.
func guestNames(d *davitv1.Devices, ports []port) []string {
	list := d.GetInterface()
	taken := make(map[string]bool, len(list))
	for _, n := range list {
		taken[n.GetGuestDev()] = true
	}
	for _, h := range d.GetHostdev() {
		taken[h.GetSourceInterface()] = true
	}
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.GetGuestDev()
		if p := find(ports, aliasOr(n.GetAlias(), "net", i)); names[i] == "" && p != nil && !taken[p.Spec.Guest] {
			names[i] = p.Spec.Guest
			taken[names[i]] = true
		}
	}
	next := 0
	for i := range names {
		for ; names[i] == ""; next++ {
			if name := fmt.Sprintf("eth%d", next); !taken[name] {
				names[i] = name
			}
		}
	}
	return names
}

// nameHost says what the host end is called. A name that libvirt or davit made up once is one to have again if that can be.
func (n *nic) nameHost(target string) {
	switch {
	case n.Kind == link.Direct:
	case strings.HasPrefix(target, "vnet"):
		n.HostHint = target
	case !strings.HasPrefix(target, "macvtap") && !strings.HasPrefix(target, "macvlan"):
		n.Host = target
	}
}

// complete says all of an interface but its names.
func (n *nic) complete(i *davitv1.Interface) error {
	if err := n.attachTo(i); err != nil {
		return err
	}
	n.MTU, n.Down = int(i.GetMtu()), i.GetLinkState() == davitv1.LinkState_LINK_STATE_DOWN
	n.Bandwidth = link.Bandwidth{Inbound: limitOf(i.GetBandwidth().GetInbound()), Outbound: limitOf(i.GetBandwidth().GetOutbound())}
	return n.address(i)
}

// attachTo says what the host's side of an interface is.
func (n *nic) attachTo(i *davitv1.Interface) error {
	switch i.GetType() {
	case davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE:
		n.Kind, n.Bridge, n.Isolated, n.VLAN = link.Bridge, i.GetSourceBridge(), i.GetPortIsolated(), vlanOf(i.GetVlan())
	case davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET:
		n.Kind = link.Ethernet
	case davitv1.InterfaceType_INTERFACE_TYPE_DIRECT:
		n.Kind, n.Parent, n.Mode, n.IPVLAN = link.Direct, i.GetSourceDev(), modes[i.GetSourceMode()], i.GetIpvlan() != 0
	case davitv1.InterfaceType_INTERFACE_TYPE_NETWORK:
		return fmt.Errorf("this davit has no virtual networks: use the bridge of network %q", i.GetSourceNetwork())
	default:
		return fmt.Errorf("containers have no user-mode networks: use bridge, ethernet or direct")
	}
	return nil
}

var modes = map[davitv1.DirectMode]link.Mode{
	davitv1.DirectMode_DIRECT_MODE_BRIDGE:      link.MacvlanBridge,
	davitv1.DirectMode_DIRECT_MODE_PRIVATE:     link.Private,
	davitv1.DirectMode_DIRECT_MODE_PASSTHROUGH: link.Passthrough,
}

// address says what the interface is called and how it is reached.
func (n *nic) address(i *davitv1.Interface) (err error) {
	if i.GetMac() != "" {
		if n.MAC, err = net.ParseMAC(i.GetMac()); err != nil {
			return err
		}
	}
	if n.HostAddresses, err = addresses(i.GetSourceIp()); err != nil {
		return err
	}
	if n.HostRoutes, err = routes(i.GetSourceRoute()); err != nil {
		return err
	}
	return n.addressInside(i.GetIp(), i.GetRoute())
}

func (n *nic) addressInside(ips []*davitv1.IpAddress, ways []*davitv1.Route) (err error) {
	if n.Addresses, err = addresses(ips); err != nil {
		return err
	}
	n.Routes, err = routes(ways)
	return err
}

func addresses(list []*davitv1.IpAddress) ([]link.Address, error) {
	var out []link.Address
	for _, ip := range list {
		p, err := domain.AddressPrefix(ip)
		if err != nil {
			return nil, err
		}
		a := link.Address{Prefix: p}
		if ip.GetPeer() != "" {
			if a.Peer, err = netip.ParseAddr(ip.GetPeer()); err != nil {
				return nil, err
			}
		}
		out = append(out, a)
	}
	return out, nil
}

func routes(list []*davitv1.Route) ([]link.Route, error) {
	var out []link.Route
	for _, r := range list {
		to, err := domain.RouteNetwork(r)
		if err != nil {
			return nil, err
		}
		gateway, err := netip.ParseAddr(r.GetGateway())
		if err != nil {
			return nil, err
		}
		out = append(out, link.Route{To: to, Gateway: gateway, Metric: int(r.GetMetric())})
	}
	return out, nil
}

// vlanOf are the VLANs of a port: without trunk the one tag is the native VLAN, of frames that carry none.
func vlanOf(v *davitv1.Vlan) link.VLAN {
	var out link.VLAN
	for _, tag := range v.GetTag() {
		if !v.GetTrunk() || tag.GetNativeMode() == davitv1.NativeMode_NATIVE_MODE_UNTAGGED {
			out.Native = uint16(tag.GetId())
		} else {
			out.Tagged = append(out.Tagged, uint16(tag.GetId()))
		}
	}
	return out
}

// limitOf is a limit in bytes; the definition counts in KiB, as libvirt does.
func limitOf(l *davitv1.BandwidthLimit) link.Limit {
	return link.Limit{Average: l.GetAverage() << 10, Peak: l.GetPeak() << 10, Burst: l.GetBurst() << 10}
}
