package link

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// task is a request, with what it does in words.
type task struct {
	what    string
	request *nl.NetlinkRequest
	explain func(error) error // nil if there is nothing to explain
}

// carryOut does tasks in their order, in one go. If one is refused, those after it may be done all the same.
func carryOut(c *conn, tasks []task) error {
	requests := make([]*nl.NetlinkRequest, len(tasks))
	for i := range tasks {
		requests[i] = tasks[i].request
	}
	refused, err := c.all(requests...)
	if err == nil {
		return nil
	}
	t := tasks[refused]
	if t.explain != nil {
		err = t.explain(err)
	}
	return fmt.Errorf("%s: %w", t.what, err)
}

// bringUp brings an interface up.
func bringUp(index int, name string) task {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index, msg.Flags, msg.Change = int32(index), unix.IFF_UP, unix.IFF_UP
	return task{what: fmt.Sprintf("bring %q up", name), request: request(unix.RTM_NEWLINK, 0, msg)}
}

// addAddresses gives an interface addresses. IPv6 ones can be used at once: nobody else is asked whether he has them.
func addAddresses(index int, name string, list []Address) []task {
	tasks := make([]task, len(list))
	for i, a := range list {
		msg := nl.NewIfAddrmsg(family(a.Addr()))
		msg.Index, msg.Prefixlen = uint32(index), uint8(a.Bits())
		if a.Addr().Is6() {
			msg.Flags = unix.IFA_F_NODAD
		}
		peer := a.Addr()
		if a.Peer.IsValid() {
			peer = a.Peer
		}
		req := request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, msg,
			nl.NewRtAttr(unix.IFA_LOCAL, a.Addr().AsSlice()), nl.NewRtAttr(unix.IFA_ADDRESS, peer.AsSlice()))
		if a.Addr().Is4() && a.Bits() < 31 { // RFC 3021
			req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(a.Prefix).AsSlice()))
		}
		tasks[i] = task{what: fmt.Sprintf("give %q the address %s", name, a.Prefix), request: req}
	}
	return tasks
}

// broadcast is the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	bytes := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(bytes)
}

// addRoutes adds routes through an interface that is up.
func addRoutes(index int, name string, list []Route) []task {
	tasks := make([]task, len(list))
	for i, r := range list {
		msg := nl.NewRtMsg()
		msg.Family, msg.Dst_len = uint8(family(r.To.Addr())), uint8(r.To.Bits())
		attributes := []nl.NetlinkRequestData{msg, nl.NewRtAttr(unix.RTA_DST, r.To.Masked().Addr().AsSlice())}
		if r.Gateway.IsValid() {
			attributes = append(attributes, nl.NewRtAttr(unix.RTA_GATEWAY, r.Gateway.AsSlice()))
		} else {
			msg.Scope = unix.RT_SCOPE_LINK
		}
		if r.Metric > 0 {
			attributes = append(attributes, nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(uint32(r.Metric))))
		}
		attributes = append(attributes, nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
		tasks[i] = task{
			what:    fmt.Sprintf("add route to %s through %q", r.To, name),
			request: request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, attributes...),
		}
	}
	return tasks
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
