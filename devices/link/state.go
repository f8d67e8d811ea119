package link

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Counters are what went through an interface, as the guest sees it.
type Counters struct {
	ReceivedBytes, ReceivedPackets, ReceiveErrors, ReceiveDrops uint64
	SentBytes, SentPackets, SendErrors, SendDrops               uint64
}

func countersOf(s *netlink.LinkStatistics) Counters {
	if s == nil {
		return Counters{}
	}
	return Counters{
		ReceivedBytes: s.RxBytes, ReceivedPackets: s.RxPackets, ReceiveErrors: s.RxErrors, ReceiveDrops: s.RxDropped,
		SentBytes: s.TxBytes, SentPackets: s.TxPackets, SendErrors: s.TxErrors, SendDrops: s.TxDropped,
	}
}

// swapped are the counters of the other end.
func (c Counters) swapped() Counters {
	return Counters{
		ReceivedBytes: c.SentBytes, ReceivedPackets: c.SentPackets, ReceiveErrors: c.SendErrors, ReceiveDrops: c.SendDrops,
		SentBytes: c.ReceivedBytes, SentPackets: c.ReceivedPackets, SendErrors: c.ReceiveErrors, SendDrops: c.ReceiveDrops,
	}
}

// State is an interface of a namespace as it is.
type State struct {
	Name  string
	Index int
	// Kind as the kernel calls it: veth, macvlan, "device" for hardware.
	Kind string
	MAC  net.HardwareAddr
	MTU  int
	// Up tells that the interface is up and has a carrier.
	Up        bool
	Loopback  bool
	Addresses []netip.Prefix
	Counters  Counters
}

func stateOf(l netlink.Link) State {
	a := l.Attrs()
	return State{
		Name: a.Name, Index: a.Index, Kind: l.Type(), MAC: a.HardwareAddr, MTU: a.MTU,
		Up: hasCarrier(a), Loopback: a.Flags&net.FlagLoopback != 0, Counters: countersOf(a.Statistics),
	}
}

// hasCarrier tells that an interface is up, and what it is connected to is too.
func hasCarrier(a *netlink.LinkAttrs) bool {
	return a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0
}

// HostState is the host end of a pair as it is, with counters from the guest's point of view.
type HostState struct {
	// Name on the host.
	Name string
	// Up tells that both ends are up and, if this one is to be a port of a bridge, that it is a port of one that is up.
	Up bool
	// Bridge that it is a port of.
	Bridge string
	// MTU of the end.
	MTU int
	// Counters of the guest.
	Counters Counters
}

// End looks at the host end of a pair. One that is not there any more is fs.ErrNotExist.
func (host *Host) End(m Made, port bool) (HostState, error) {
	l, err := host.end(m)
	if err != nil {
		return HostState{}, err
	}
	a := l.Attrs()
	s := HostState{Name: a.Name, Up: hasCarrier(a), MTU: a.MTU, Counters: countersOf(a.Statistics).swapped()}
	if !port {
		return s, nil
	}
	if bridge, err := host.h.LinkByIndex(a.MasterIndex); a.MasterIndex != 0 && err == nil {
		s.Bridge = bridge.Attrs().Name
		s.Up = s.Up && bridge.Attrs().Flags&net.FlagUp != 0
	} else {
		s.Up = false
	}
	return s, nil
}

// Counters counts on the host end, whose directions are the guest's the other way round; ns is only asked for a direct
// interface.
func (host *Host) Counters(ns *os.File, m Made) (Counters, error) {
	if m.HostIndex != 0 {
		s, err := host.End(m, false)
		return s.Counters, err
	}
	list, err := Look(ns, []int{m.GuestIndex})
	if err != nil {
		return Counters{}, err
	}
	if len(list) == 0 {
		return Counters{}, fmt.Errorf("count traffic of %q: %w", m.Guest, fs.ErrNotExist)
	}
	return list[0].Counters, nil
}

// Look tells of the interfaces of a namespace that have one of the numbers, without their addresses. Those that are not there
// are left out.
func Look(ns *os.File, indexes []int) ([]State, error) {
	h, err := inside(ns)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	var list []State
	for _, index := range indexes {
		l, err := h.LinkByIndex(index)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at interface %d: %w", index, err)
		}
		list = append(list, stateOf(l))
	}
	return list, nil
}
