package link

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
)

// maxNames is how many names are tried for a host end before it is told that there is none.
const maxNames = 1 << 16

// pair makes the two ends, the guest's where it belongs.
func (a *attachment) pair() error {
	if a.spec.Host != "" {
		return a.pairNamed(a.spec.Host)
	}
	for range maxNames {
		if err := a.pairNamed(a.host.hostName()); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("no name is free for the host end")
}

func (a *attachment) pairNamed(name string) error {
	l := netlink.NewVeth(netlink.LinkAttrs{Name: name, MTU: a.spec.MTU, HardwareAddr: hostMAC(a.spec.MAC), TxQLen: -1})
	l.PeerName, l.PeerNamespace = a.spec.Guest, netlink.NsFd(a.ns.Fd())
	l.PeerHardwareAddr, l.PeerMTU = a.spec.MAC, uint32(a.spec.MTU)
	if err := a.host.h.LinkAdd(l); err != nil {
		return fmt.Errorf("make host end %q: %w", name, err)
	}
	end, err := find(a.host.h, name)
	if err != nil {
		return err
	}
	a.end, a.made.Host, a.made.HostIndex = end, name, end.Attrs().Index
	return nil
}

// setHost completes the host end.
func (a *attachment) setHost() error {
	h, s := a.host.h, a.spec
	if s.Owner != "" {
		if err := h.LinkSetAlias(a.end, s.Owner); err != nil {
			return fmt.Errorf("mark %q as %q: %w", a.made.Host, s.Owner, err)
		}
	}
	if s.Kind == Bridge {
		if err := a.host.plug(a.end, s); err != nil {
			return err
		}
	}
	if err := addAddresses(h, a.end, s.HostAddresses); err != nil {
		return err
	}
	if err := a.host.SetBandwidth(a.made, s.Bandwidth); err != nil {
		return err
	}
	// Up even if the guest's end is down: the link comes up when both are.
	if err := h.LinkSetUp(a.end); err != nil {
		return fmt.Errorf("bring %q up: %w", a.made.Host, err)
	}
	return addRoutes(h, a.end, s.HostRoutes)
}

// plug makes a host end a port of its bridge.
func (host *Host) plug(end netlink.Link, s Spec) error {
	bridge, err := find(host.h, s.Bridge)
	if err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	b, ok := bridge.(*netlink.Bridge)
	if !ok {
		return fmt.Errorf("interface %q is a %s, no bridge", s.Bridge, bridge.Type())
	}
	if !s.VLAN.isZero() && (b.VlanFiltering == nil || !*b.VlanFiltering) {
		return fmt.Errorf("bridge %q does not filter VLANs (ip link set %s type bridge vlan_filtering 1)", s.Bridge, s.Bridge)
	}
	name := end.Attrs().Name
	if err := host.h.LinkSetMasterByIndex(end, bridge.Attrs().Index); err != nil {
		return fmt.Errorf("make %q a port of bridge %q: %w", name, s.Bridge, err)
	}
	if s.Isolated {
		if err := host.h.LinkSetIsolated(end, true); err != nil {
			return fmt.Errorf("isolate port %q: %w", name, err)
		}
	}
	return host.setVLAN(end, b, s.VLAN)
}

// setVLAN puts a port into its VLANs, and out of the bridge's default one.
func (host *Host) setVLAN(end netlink.Link, b *netlink.Bridge, v VLAN) error {
	if v.isZero() {
		return nil
	}
	name := end.Attrs().Name
	if pvid := b.VlanDefaultPVID; pvid == nil || *pvid != 0 {
		own := uint16(1)
		if pvid != nil {
			own = *pvid
		}
		if own != v.Native {
			if err := host.h.BridgeVlanDel(end, own, true, true, false, true); err != nil {
				return fmt.Errorf("take port %q out of VLAN %d: %w", name, own, err)
			}
		}
	}
	if v.Native != 0 {
		if err := host.h.BridgeVlanAdd(end, v.Native, true, true, false, true); err != nil {
			return fmt.Errorf("put port %q into VLAN %d: %w", name, v.Native, err)
		}
	}
	for _, id := range v.Tagged {
		if err := host.h.BridgeVlanAdd(end, id, false, false, false, true); err != nil {
			return fmt.Errorf("put port %q into VLAN %d: %w", name, id, err)
		}
	}
	return nil
}
