package link

import (
	"bytes"
	"fmt"

	"github.com/vishvananda/netlink"
)

// bridge finds the bridge of an interface, and whether it can do what is asked of it; nil for one that has none.
func (host *Host) bridge(s Spec) (*netlink.Bridge, error) {
	if s.Kind != Bridge {
		return nil, nil
	}
	l, err := host.lookUp(s.Bridge)
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	b, ok := l.(*netlink.Bridge)
	if !ok {
		return nil, fmt.Errorf("interface %q is a %s, no bridge", s.Bridge, l.Type())
	}
	if !s.VLAN.IsZero() && (b.VlanFiltering == nil || !*b.VlanFiltering) {
		return nil, fmt.Errorf("bridge %q does not filter VLANs (ip link set %s type bridge vlan_filtering 1)", s.Bridge, s.Bridge)
	}
	if s.MAC != nil && bytes.Equal(b.Attrs().HardwareAddr, s.MAC) {
		return nil, fmt.Errorf("the address %s is that of bridge %q", s.MAC, s.Bridge)
	}
	return b, nil
}

// setPort makes a port of a bridge what it shall be.
func (host *Host) setPort(end netlink.Link, b *netlink.Bridge, s Spec) error {
	if b == nil {
		return nil
	}
	if s.Isolated {
		if err := host.h.LinkSetIsolated(end, true); err != nil {
			return fmt.Errorf("isolate port %q: %w", end.Attrs().Name, err)
		}
	}
	return host.setVLAN(end, b, s.VLAN)
}

// plug takes a host end out of what it is a port of, and with that out of its VLANs, and makes it a port of its bridge.
func (host *Host) plug(end netlink.Link, b *netlink.Bridge, s Spec) error {
	name := end.Attrs().Name
	if end.Attrs().MasterIndex != 0 {
		if err := host.h.LinkSetNoMaster(end); err != nil {
			return fmt.Errorf("take port %q out of its bridge: %w", name, err)
		}
	}
	if b == nil {
		return nil
	}
	// Down meanwhile, so that nothing goes through a port that is not yet isolated or in its VLANs.
	up := !s.Down && (!s.VLAN.IsZero() || s.Isolated)
	if up {
		if err := host.h.LinkSetDown(end); err != nil {
			return fmt.Errorf("bring %q down: %w", name, err)
		}
	}
	if err := host.h.LinkSetMasterByIndex(end, b.Attrs().Index); err != nil {
		return fmt.Errorf("make %q a port of bridge %q: %w", name, s.Bridge, err)
	}
	if err := host.setPort(end, b, s); err != nil {
		return err
	}
	if up {
		if err := host.h.LinkSetUp(end); err != nil {
			return fmt.Errorf("bring %q up: %w", name, err)
		}
	}
	return nil
}

// setVLAN puts a port into its VLANs, and out of the bridge's default one.
func (host *Host) setVLAN(end netlink.Link, b *netlink.Bridge, v VLAN) error {
	if v.IsZero() {
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
