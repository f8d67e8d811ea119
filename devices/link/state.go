package link

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
)

// SetUp brings the guest's end of an interface up or down, and with it what the guest's peers see.
func (host *Host) SetUp(ns *os.File, m Made, up bool) error {
	guest, err := inside(ns)
	if err != nil {
		return fmt.Errorf("set link of %q: %w", m.Guest, err)
	}
	defer guest.Close()
	l, err := guest.LinkByIndex(m.GuestIndex)
	if err != nil {
		return fmt.Errorf("set link of %q: %w", m.Guest, err)
	}
	set := guest.LinkSetDown
	if up {
		set = guest.LinkSetUp
	}
	if err := set(l); err != nil {
		return fmt.Errorf("set link of %q: %w", m.Guest, err)
	}
	return nil
}

// Counters are what went through an interface, as the guest sees it.
type Counters struct {
	ReceivedBytes, ReceivedPackets, ReceiveErrors, ReceiveDrops uint64
	SentBytes, SentPackets, SendErrors, SendDrops               uint64
}

// Counters counts on the host end, whose directions are the guest's the other way round; ns is only asked for a direct
// interface.
func (host *Host) Counters(ns *os.File, m Made) (Counters, error) {
	if m.HostIndex != 0 {
		c, err := count(host.h, m.HostIndex)
		return Counters{
			ReceivedBytes: c.SentBytes, ReceivedPackets: c.SentPackets, ReceiveErrors: c.SendErrors, ReceiveDrops: c.SendDrops,
			SentBytes: c.ReceivedBytes, SentPackets: c.ReceivedPackets, SendErrors: c.ReceiveErrors, SendDrops: c.ReceiveDrops,
		}, err
	}
	guest, err := inside(ns)
	if err != nil {
		return Counters{}, err
	}
	defer guest.Close()
	return count(guest, m.GuestIndex)
}

func count(h *netlink.Handle, index int) (Counters, error) {
	l, err := h.LinkByIndex(index)
	if err != nil {
		return Counters{}, fmt.Errorf("count traffic of interface %d: %w", index, err)
	}
	s := l.Attrs().Statistics
	if s == nil {
		return Counters{}, nil
	}
	return Counters{
		ReceivedBytes: s.RxBytes, ReceivedPackets: s.RxPackets, ReceiveErrors: s.RxErrors, ReceiveDrops: s.RxDropped,
		SentBytes: s.TxBytes, SentPackets: s.TxPackets, SendErrors: s.TxErrors, SendDrops: s.TxDropped,
	}, nil
}

// State is an interface of a namespace as it is.
type State struct {
	Name      string
	Index     int
	MAC       net.HardwareAddr
	MTU       int
	Up        bool
	Addresses []netip.Prefix
}

// List tells the interfaces of a namespace, as its owner made them.
func List(ns *os.File) ([]State, error) {
	h, err := inside(ns)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	addrs, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	of := map[int][]netip.Prefix{}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			ones, _ := a.Mask.Size()
			of[a.LinkIndex] = append(of[a.LinkIndex], netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	list := make([]State, 0, len(links))
	for _, l := range links {
		a := l.Attrs()
		list = append(list, State{
			Name: a.Name, Index: a.Index, MAC: a.HardwareAddr, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Addresses: of[a.Index],
		})
	}
	return list, nil
}
