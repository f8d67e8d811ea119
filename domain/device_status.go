package domain

import (
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// InterfaceStatuses are the network interfaces of a definition as it has them: its interfaces, then the interfaces of the host that it is
// given. Nothing was counted; a link is up unless the definition says that it is down.
func InterfaceStatuses(def *davitv1.Domain) []*davitv1.InterfaceStatus {
	var list []*davitv1.InterfaceStatus
	for _, n := range def.GetDevices().GetInterface() {
		list = append(list, &davitv1.InterfaceStatus{
			Alias: n.GetAlias(), Type: n.GetType(), Source: interfaceSource(n), HostDev: n.GetTargetDev(), GuestDev: n.GetGuestDev(),
			Mac: n.GetMac(), Mtu: n.GetMtu(), Up: n.GetLinkState() != davitv1.LinkState_LINK_STATE_DOWN, Addresses: prefixes(n.GetIp()),
		})
	}
	for _, h := range def.GetDevices().GetHostdev() {
		if h.GetType() == davitv1.HostdevType_HOSTDEV_TYPE_NET {
			list = append(list, &davitv1.InterfaceStatus{
				Alias: h.GetAlias(), Source: h.GetSourceInterface(), GuestDev: h.GetSourceInterface(), Up: true, Addresses: prefixes(h.GetIp()),
			})
		}
	}
	return list
}

// interfaceSource is what an interface is attached to, by its type.
func interfaceSource(n *davitv1.Interface) string {
	switch n.GetType() {
	case davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE:
		return n.GetSourceBridge()
	case davitv1.InterfaceType_INTERFACE_TYPE_NETWORK:
		return n.GetSourceNetwork()
	case davitv1.InterfaceType_INTERFACE_TYPE_DIRECT:
		return n.GetSourceDev()
	default:
		return ""
	}
}

// prefixes are addresses with the lengths of their networks.
func prefixes(ips []*davitv1.IpAddress) []string {
	var list []string
	for _, ip := range ips {
		if p, err := AddressPrefix(ip); err == nil {
			list = append(list, p.String())
		}
	}
	return list
}

// BlockDeviceStatuses are the disks of a definition as it has them. Nothing was measured.
func BlockDeviceStatuses(def *davitv1.Domain) []*davitv1.BlockDeviceStatus {
	var list []*davitv1.BlockDeviceStatus
	for _, d := range def.GetDevices().GetDisk() {
		list = append(list, &davitv1.BlockDeviceStatus{
			Alias: d.GetAlias(), Target: d.GetTargetDev(), Type: d.GetType(), Source: or(d.GetSourceFile(), d.GetSourceDev()),
			Readonly: d.GetReadonly(),
		})
	}
	return list
}
