package domain

import (
	"net/netip"
	"slices"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func completeDevices(d *davitv1.Devices) {
	for _, disk := range d.GetDisk() {
		completeDisk(disk)
	}
	completeControllers(d)
	for _, i := range d.GetInterface() {
		completeInterface(i)
	}
	completeSerials(d.GetSerial())
	for i, c := range d.GetConsole() {
		c.TargetPort = new(uint32(i))
		if c.GetTty() == "" {
			c.Tty = c.GetSourcePath()
		}
	}
	for _, h := range d.GetHostdev() {
		completeHostdev(h)
	}
}

// completeSerials numbers the serial ports that have no number, each after the greatest before it.
func completeSerials(list []*davitv1.Serial) {
	next := uint32(0)
	for _, s := range list {
		if s.TargetPort == nil {
			s.TargetPort = new(next)
		}
		if port := s.GetTargetPort(); port >= next && port < maxSerialPort {
			next = port + 1
		}
	}
}

func completeInterface(i *davitv1.Interface) {
	if mac, err := parseMAC(i.GetMac()); err == nil {
		i.Mac = mac.String()
	}
	if i.GetType() == davitv1.InterfaceType_INTERFACE_TYPE_DIRECT && i.GetSourceMode() == davitv1.DirectMode_DIRECT_MODE_UNSPECIFIED {
		i.SourceMode = davitv1.DirectMode_DIRECT_MODE_VEPA
		if i.GetIpvlan() != 0 {
			i.SourceMode = davitv1.DirectMode_DIRECT_MODE_BRIDGE
		}
	}
	if i.GetVlan() != nil {
		completeVlan(i.GetVlan())
	}
	completeAddresses(i.GetSourceIp(), i.GetSourceRoute())
	completeAddresses(i.GetIp(), i.GetRoute())
}

// completeVlan says that several VLANs, or one that is native, are a trunk; that one is none goes without saying.
func completeVlan(v *davitv1.Vlan) {
	trunk := isTrunk(v)
	switch {
	case v.Trunk == nil && trunk:
		v.Trunk = &trunk
	case v.Trunk != nil && !v.GetTrunk() && !trunk:
		v.Trunk = nil
	}
}

// isTrunk tells whether the tags can only be those of a trunk.
func isTrunk(v *davitv1.Vlan) bool {
	return len(v.GetTag()) > 1 || slices.ContainsFunc(v.GetTag(), func(t *davitv1.VlanTag) bool { return t.GetNativeMode() != 0 })
}

func completeHostdev(h *davitv1.Hostdev) {
	for _, id := range []*string{&h.SourceVendorId, &h.SourceProductId} {
		if n, err := parseUSBID(*id); err == nil {
			*id = formatUSBID(n)
		}
	}
	if h.GetMode() == davitv1.HostdevMode_HOSTDEV_MODE_SUBSYSTEM && h.Managed == nil {
		h.Managed = new(bool)
	}
	completeAddresses(h.GetIp(), h.GetRoute())
}

func completeAddresses(ips []*davitv1.IpAddress, routes []*davitv1.Route) {
	for _, ip := range ips {
		ip.Family = canonicalAddress(&ip.Address, ip.GetFamily())
		canonicalAddress(&ip.Peer, ip.GetFamily())
	}
	for _, r := range routes {
		r.Family = canonicalAddress(&r.Address, r.GetFamily())
		canonicalAddress(&r.Netmask, r.GetFamily())
		r.Family = canonicalAddress(&r.Gateway, r.GetFamily())
	}
}

// canonicalAddress rewrites an address and gives its family, or the one that was given.
func canonicalAddress(text *string, given davitv1.IpFamily) davitv1.IpFamily {
	addr, err := netip.ParseAddr(*text)
	if err != nil || addr.Zone() != "" {
		return given
	}
	*text = addr.String()
	if given != davitv1.IpFamily_IP_FAMILY_UNSPECIFIED {
		return given
	}
	if addr.Is4() {
		return davitv1.IpFamily_IP_FAMILY_IPV4
	}
	return davitv1.IpFamily_IP_FAMILY_IPV6
}
