package domain

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// addresses checks the addresses and routes of one interface, whose lists stand at two places.
func (v *validator) addresses(ipList, routeList string, ips []*davitv1.IpAddress, routes []*davitv1.Route) {
	seen := map[string]int{}
	for i, ip := range ips {
		at := func(field string) string { return v.entry(ipList, i, field) }
		v.required(at("address"), ip.GetAddress(), "an address is missing")
		v.address(at("address"), ip.GetAddress(), ip.GetFamily())
		if addr, err := netip.ParseAddr(ip.GetAddress()); err == nil && (addr.IsMulticast() || addr.IsUnspecified()) {
			v.fault(at("address"), "%s is not the address of an interface", quote(ip.GetAddress()))
		}
		v.unique(seen, i, at("address"), ip.GetAddress(), "address")
		v.address(at("peer"), ip.GetPeer(), ip.GetFamily())
		v.prefix(at("prefix"), ip.GetPrefix(), ip.GetFamily())
	}
	v.routes(routeList, routes)
}

func (v *validator) routes(list string, routes []*davitv1.Route) {
	type key struct {
		network string
		length  int
		gateway string
		metric  uint32
	}
	seen := map[key]int{}
	for i, r := range routes {
		at := func(field string) string { return v.entry(list, i, field) }
		v.required(at("gateway"), r.GetGateway(), "a route needs a gateway")
		v.address(at("address"), r.GetAddress(), r.GetFamily())
		v.netmask(at("netmask"), r)
		v.address(at("gateway"), r.GetGateway(), r.GetFamily())
		v.prefix(at("prefix"), r.GetPrefix(), r.GetFamily())
		length, given := routePrefix(r)
		network, err := netip.ParseAddr(r.GetAddress())
		switch {
		case r.GetNetmask() != "" && r.Prefix != nil:
			v.fault(at("netmask"), "a route has a netmask or a prefix, not both")
		case r.GetAddress() == "" && length > 0:
			v.fault(at("address"), "a route with a prefix needs the address of its network")
		case err == nil && given:
			if p, err := network.Prefix(length); err == nil && p.Addr() != network {
				v.fault(at("address"), "%s is not a network of prefix %d, %s is", quote(r.GetAddress()), length, p.Addr())
			}
		}
		if r.GetGateway() != "" {
			k := key{or(r.GetAddress(), "default"), length, r.GetGateway(), r.GetMetric()}
			if first, ok := taken(seen, k, i); ok {
				text := fmt.Sprintf("%s/%d via %s, metric %d", k.network, k.length, k.gateway, k.metric)
				v.fault(v.entryOf(list, i), "%s is already route %d", quote(text), first+1)
			}
		}
	}
}

// netmask refuses what is no netmask of IPv4: ones and then zeros.
func (v *validator) netmask(field string, r *davitv1.Route) {
	mask, err := netip.ParseAddr(r.GetNetmask())
	switch {
	case r.GetNetmask() == "":
	case r.GetFamily() == davitv1.IpFamily_IP_FAMILY_IPV6:
		v.fault(field, "only routes of IPv4 have a netmask")
	case err != nil || !mask.Is4() || maskLength(mask) < 0:
		v.fault(field, "%s is not a netmask, like 255.255.255.0", quote(r.GetNetmask()))
	}
}

// maskLength is the length of the prefix that a netmask of IPv4 stands for, -1 if it is none.
func maskLength(mask netip.Addr) int {
	b := mask.As4()
	word := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	length := bits.LeadingZeros32(^word)
	if word<<length != 0 {
		return -1
	}
	return length
}

// routePrefix is the length of a route's prefix, and whether the route says it.
func routePrefix(r *davitv1.Route) (length int, given bool) {
	if r.Prefix != nil {
		return int(r.GetPrefix()), true
	}
	mask, err := netip.ParseAddr(r.GetNetmask())
	if err == nil && mask.Is4() && r.GetFamily() == davitv1.IpFamily_IP_FAMILY_IPV4 && maskLength(mask) >= 0 {
		return maskLength(mask), true
	}
	return 0, false
}

func (v *validator) address(field, text string, family davitv1.IpFamily) {
	if text == "" {
		return
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil || addr.Zone() != "":
		v.fault(field, "%s is not an IP address", quote(text))
	case addr.Is4() != (family == davitv1.IpFamily_IP_FAMILY_IPV4):
		v.fault(field, "%s is not of the family %s", quote(text), strings.TrimPrefix(strings.ToLower(family.String()), "ip_family_"))
	}
}

func (v *validator) prefix(field string, prefix uint32, family davitv1.IpFamily) {
	limit := uint32(128)
	if family == davitv1.IpFamily_IP_FAMILY_IPV4 {
		limit = 32
	}
	if prefix > limit {
		v.fault(field, "prefix %d is above %d", prefix, limit)
	}
}

func numeral(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
