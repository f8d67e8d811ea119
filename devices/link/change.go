package link

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
)

// Fixed tells what of an interface would have to be made anew for it to become another, in a word; empty if all that differs can
// be changed while it is there ([Host.Change]). What to leaves open stays.
func (s Spec) Fixed(to Spec) string {
	switch {
	case s.Kind != to.Kind:
		return "type"
	case to.Host != "" && s.Host != to.Host && s.HostHint != to.Host:
		return "name on the host"
	case s.Guest != to.Guest:
		return "name inside"
	case s.MAC.String() != to.MAC.String():
		return "hardware address"
	case s.MTU != to.MTU:
		return "mtu"
	case s.Parent != to.Parent || s.Mode != to.Mode || s.IPVLAN != to.IPVLAN:
		return "source"
	case !slices.Equal(s.Addresses, to.Addresses) || !slices.Equal(s.HostAddresses, to.HostAddresses):
		return "addresses"
	case !slices.Equal(s.Routes, to.Routes) || !slices.Equal(s.HostRoutes, to.HostRoutes):
		return "routes"
	}
	return ""
}

// Same tells whether nothing that [Host.Change] changes differs.
func (s Spec) Same(to Spec) bool {
	return s.Down == to.Down && s.Bandwidth == to.Bandwidth && s.samePort(to)
}

func (s Spec) samePort(to Spec) bool {
	return s.Bridge == to.Bridge && s.Isolated == to.Isolated && s.VLAN.Native == to.VLAN.Native && slices.Equal(s.VLAN.Tagged, to.VLAN.Tagged)
}

// Change makes the link state, the bridge, the isolation, the VLANs and the bandwidth of an interface those of to; from is what
// they are, nil if that is not known. If it fails it has changed some of them; called again the other way round it makes them as they
// were. An interface that is not there any more is fs.ErrNotExist.
func (host *Host) Change(ns *os.File, m Made, from *Spec, to Spec) error {
	if err := to.check(); err != nil {
		return fmt.Errorf("change interface: %w", err)
	}
	change := host.changePair
	if to.Kind == Direct {
		change = func(m Made, from *Spec, to Spec) error { return changeDirect(ns, m, from, to) }
	}
	if err := change(m, from, to); err != nil {
		return fmt.Errorf("change interface %q: %w", m.Guest, err)
	}
	return nil
}

func (host *Host) changePair(m Made, from *Spec, to Spec) error {
	end, err := host.end(m)
	if err != nil {
		return err
	}
	bridge, err := host.bridge(to)
	if err != nil {
		return err
	}
	master := 0
	if bridge != nil {
		master = bridge.Attrs().Index
	}
	if to.Down && end.Attrs().Flags&net.FlagUp != 0 {
		if err := host.h.LinkSetDown(end); err != nil {
			return fmt.Errorf("bring %q down: %w", m.Host, err)
		}
	}
	if from == nil || !from.samePort(to) || to.Kind == Bridge && end.Attrs().MasterIndex != master {
		if err := host.plug(end, bridge, to); err != nil {
			return err
		}
	}
	if from == nil || from.Bandwidth != to.Bandwidth {
		if err := host.SetBandwidth(m, to.Bandwidth); err != nil {
			return err
		}
	}
	if to.Down || from != nil && !from.Down {
		return nil
	}
	return raise(host.conn, end, to.HostAddresses, to.HostRoutes)
}

// changeDirect changes the link state, which is all that can be changed of a direct interface.
func changeDirect(ns *os.File, m Made, from *Spec, to Spec) error {
	if from != nil && from.Down == to.Down {
		return nil
	}
	guest, err := inside(ns)
	if err != nil {
		return err
	}
	defer guest.Close()
	l, err := direct(guest, m)
	if err != nil {
		return err
	}
	if to.Down {
		if err = guest.LinkSetDown(l); err != nil {
			return fmt.Errorf("bring it down: %w", err)
		}
		return nil
	}
	c, err := connect(ns, guestAnswer)
	if err != nil {
		return err
	}
	defer c.close()
	return raise(c, l, to.Addresses, to.Routes)
}

// raise brings an interface up and gives it what the kernel takes from one that is down.
func raise(c *conn, l netlink.Link, addresses []Address, routes []Route) error {
	index, name := l.Attrs().Index, l.Attrs().Name
	if err := carryOut(c, []task{bringUp(index, name)}); err != nil {
		return err
	}
	for _, t := range append(addAddresses(index, name, addresses), addRoutes(index, name, routes)...) {
		if err := carryOut(c, []task{t}); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// end finds the host end of a pair. One that is not there, or whose number another has, is fs.ErrNotExist.
func (host *Host) end(m Made) (netlink.Link, error) {
	l, err := host.h.LinkByIndex(m.HostIndex)
	if isNotFound(err) || err == nil && l.Attrs().Alias != m.Owner {
		return nil, absent(fmt.Sprintf("host end %q", m.Host))
	}
	if err != nil {
		return nil, fmt.Errorf("find host end %q: %w", m.Host, err)
	}
	return l, nil
}

// direct finds a direct interface inside. The guest may have given its number to another, or have taken it elsewhere.
func direct(guest *netlink.Handle, m Made) (netlink.Link, error) {
	l, err := guest.LinkByIndex(m.GuestIndex)
	if err == nil && (l.Type() == "macvlan" || l.Type() == "ipvlan") {
		return l, nil
	}
	if err != nil && !isNotFound(err) {
		return nil, fmt.Errorf("find interface %q inside: %w", m.Guest, err)
	}
	return nil, absent(fmt.Sprintf("interface %q inside", m.Guest))
}

// Standing tells whether an interface is there: for a pair, both of whose ends come and go together, its host end, wherever the guest
// has taken the other. drifted tells that it is not a port of its bridge, which is there.
func (host *Host) Standing(ns *os.File, m Made, s Spec) (standing, drifted bool, err error) {
	if s.Kind == Direct {
		return standingInside(ns, m)
	}
	end, err := host.end(m)
	if err != nil || s.Kind != Bridge {
		return found(err, false)
	}
	bridge, err := host.bridge(s)
	return true, err == nil && bridge.Attrs().Index != end.Attrs().MasterIndex, nil
}

func standingInside(ns *os.File, m Made) (standing, drifted bool, err error) {
	guest, err := inside(ns)
	if err != nil {
		return false, false, err
	}
	defer guest.Close()
	_, err = direct(guest, m)
	return found(err, false)
}

func found(err error, drifted bool) (bool, bool, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	return err == nil, drifted, err
}
