package link

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// addAddresses gives an interface its addresses. IPv6 ones can be used at once: nobody else is asked whether he has them.
func addAddresses(h *netlink.Handle, l netlink.Link, list []Address) error {
	for _, a := range list {
		addr := &netlink.Addr{IPNet: ipNet(a.Prefix)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if a.Peer.IsValid() {
			addr.Peer = ipNet(netip.PrefixFrom(a.Peer, a.Bits()))
		}
		if err := h.AddrAdd(l, addr); err != nil {
			return fmt.Errorf("give %q the address %s: %w", l.Attrs().Name, a.Prefix, err)
		}
	}
	return nil
}

// addRoutes adds routes through an interface that is up.
func addRoutes(h *netlink.Handle, l netlink.Link, list []Route) error {
	for _, r := range list {
		route := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(r.To.Masked()), Priority: r.Metric}
		if r.Gateway.IsValid() {
			route.Gw = r.Gateway.AsSlice()
		} else {
			route.Scope = netlink.SCOPE_LINK
		}
		if err := h.RouteAdd(route); err != nil {
			return fmt.Errorf("add route to %s through %q: %w", r.To, l.Attrs().Name, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
