package native

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// nic is a network interface of a definition, as the host makes it.
type nic struct {
	// field is its place in the definition: devices.interface[0].
	field string
	link.Spec
}

// owner is what marks a host end as ours, and whose it is.
func owner(instance, uuid string) string { return ownerPrefix(instance) + uuid }

func ownerPrefix(instance string) string { return "davit-" + instance + "-" }

// nics are the interfaces of a definition, which domain.Validate has accepted, with their names inside: eth0 and so on, as
// libvirt's. What cannot be made here at all is told instead.
func nics(def *davitv1.Domain, owner string) ([]nic, []domain.Violation) {
	var list []nic
	var faults []domain.Violation
	names := guestNames(def.GetDevices().GetInterface())
	for i, n := range def.GetDevices().GetInterface() {
		made := nic{field: fmt.Sprintf("devices.interface[%d]", i), Spec: link.Spec{
			Host: n.GetTargetDev(), Guest: names[i], MTU: int(n.GetMtu()), Owner: owner,
			Down: n.GetLinkState() == davitv1.LinkState_LINK_STATE_DOWN,
		}}
		err := made.attachTo(n)
		if err == nil {
			err = made.address(n)
		}
		if err != nil {
			faults = append(faults, violation(made.field, fmt.Sprintf("/domain/devices/interface[%d]", i+1), "%v", err))
			continue
		}
		made.Bandwidth = link.Bandwidth{Inbound: limitOf(n.GetBandwidth().GetInbound()), Outbound: limitOf(n.GetBandwidth().GetOutbound())}
		list = append(list, made)
	}
	return list, faults
}

// guestNames are the names of interfaces inside: those that are given, and for the others the first of eth0, eth1 and so on
// that no other has.
func guestNames(list []*davitv1.Interface) []string {
	taken := make(map[string]bool, len(list))
	for _, n := range list {
		taken[n.GetGuestDev()] = true
	}
	names := make([]string, len(list))
	next := 0
	for i, n := range list {
		names[i] = n.GetGuestDev()
		for ; names[i] == ""; next++ {
			if name := fmt.Sprintf("eth%d", next); !taken[name] {
				names[i] = name
			}
		}
	}
	return names
}

// attachTo says what the host's side of an interface is.
func (n *nic) attachTo(i *davitv1.Interface) error {
	switch i.GetType() {
	case davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE:
		n.Kind, n.Bridge, n.Isolated, n.VLAN = link.Bridge, i.GetSourceBridge(), i.GetPortIsolated(), vlanOf(i.GetVlan())
	case davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET:
		n.Kind = link.Ethernet
	case davitv1.InterfaceType_INTERFACE_TYPE_DIRECT:
		n.Kind, n.Parent, n.Mode, n.Host = link.Direct, i.GetSourceDev(), modes[i.GetSourceMode()], ""
	case davitv1.InterfaceType_INTERFACE_TYPE_NETWORK:
		return fmt.Errorf("virtual networks are not there yet: use the bridge of network %q", i.GetSourceNetwork())
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
	for _, side := range []struct {
		ips       []*davitv1.IpAddress
		routes    []*davitv1.Route
		addresses *[]link.Address
		ways      *[]link.Route
	}{
		{i.GetIp(), i.GetRoute(), &n.Addresses, &n.Routes},
		{i.GetSourceIp(), i.GetSourceRoute(), &n.HostAddresses, &n.HostRoutes},
	} {
		if *side.addresses, err = addresses(side.ips); err != nil {
			return err
		}
		if *side.ways, err = routes(side.routes); err != nil {
			return err
		}
	}
	return nil
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
