package domain

import (
	"fmt"
	"net/netip"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// AddressPrefix is an address of an interface with the length of its network, which libvirt makes that of the address's class
// where nothing is said, 64 for IPv6.
func AddressPrefix(ip *davitv1.IpAddress) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(ip.GetAddress())
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read address %s: %w", quote(ip.GetAddress()), err)
	}
	length := int(ip.GetPrefix())
	if ip.Prefix == nil {
		length = classLength(addr)
	}
	p := netip.PrefixFrom(addr, length)
	if !p.IsValid() {
		return p, fmt.Errorf("read address %s: prefix %d is above %d", quote(ip.GetAddress()), length, addr.BitLen())
	}
	return p, nil
}

// RouteNetwork is the network that a route leads to: all others where none is given.
func RouteNetwork(r *davitv1.Route) (netip.Prefix, error) {
	text := r.GetAddress()
	if text == "" {
		text = "0.0.0.0"
		if r.GetFamily() == davitv1.IpFamily_IP_FAMILY_IPV6 {
			text = "::"
		}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read route to %s: %w", quote(text), err)
	}
	length, given := routePrefix(r)
	if !given && !addr.IsUnspecified() {
		length = classLength(addr)
	}
	p := netip.PrefixFrom(addr, length)
	if !p.IsValid() {
		return p, fmt.Errorf("read route to %s: prefix %d is above %d", quote(text), length, addr.BitLen())
	}
	return p, nil
}

// classLength is how long a network was before anybody said so (RFC 791).
func classLength(addr netip.Addr) int {
	if addr.Is6() {
		return 64
	}
	switch first := addr.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	default:
		return 24
	}
}
