package link

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Kind is how an interface reaches the world.
type Kind int

const (
	// Ethernet is a pair whose host end is left to others.
	Ethernet Kind = iota
	// Bridge is a pair whose host end is a port of a bridge.
	Bridge
	// Direct is a macvlan on an interface of the host.
	Direct
)

// Mode is how interfaces of one parent see each other (ip-link(8), macvlan).
type Mode int

// Modes of a direct interface.
const (
	VEPA Mode = iota
	MacvlanBridge
	Private
	Passthrough
)

// Spec is an interface as it shall be.
type Spec struct {
	Kind Kind
	// Host is the name of the host end, "vnet0" and so on when empty. A direct interface has none.
	Host string
	// Guest is the name inside. Required.
	Guest string
	// MAC is the hardware address inside, of the kernel's choice when nil.
	MAC net.HardwareAddr
	// MTU of both ends, the kernel's default when 0.
	MTU int
	// Down leaves the interface down, and its routes away.
	Down bool

	// Bridge that the host end is a port of.
	Bridge string
	// Isolated ports of a bridge do not reach each other.
	Isolated bool
	// VLAN of the port, on a bridge that filters.
	VLAN VLAN

	// Parent is the interface of the host below a direct one.
	Parent string
	// Mode of a direct interface.
	Mode Mode

	// Addresses and Routes inside.
	Addresses []Address
	Routes    []Route
	// HostAddresses and HostRoutes of an ethernet interface's host end.
	HostAddresses []Address
	HostRoutes    []Route

	// Bandwidth limits the traffic of a pair.
	Bandwidth Bandwidth
	// Owner marks the host end as whose it is (ip-link(8), alias).
	Owner string
}

// Address of an interface.
type Address struct {
	netip.Prefix
	// Peer is the other end of a point-to-point link, if valid.
	Peer netip.Addr
}

// Route through an interface.
type Route struct {
	// To is the network that the route leads to; 0.0.0.0/0 or ::/0 for all others.
	To netip.Prefix
	// Gateway on the way, if valid.
	Gateway netip.Addr
	// Metric, the kernel's default when 0.
	Metric int
}

// VLAN is the VLANs of a port of a bridge.
type VLAN struct {
	// Native is the VLAN of frames without tag, 0 for the bridge's own.
	Native uint16
	// Tagged are the VLANs whose frames carry their tag.
	Tagged []uint16
}

func (v VLAN) isZero() bool { return v.Native == 0 && len(v.Tagged) == 0 }

// MaxName is the greatest length of an interface's name (IFNAMSIZ).
const MaxName = 15

// checkName refuses what the kernel would, or would take for a pattern.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("an interface needs a name")
	case len(name) > MaxName:
		return fmt.Errorf("name %q has %d bytes, %d are the limit", name, len(name), MaxName)
	case name == "." || name == "..", strings.ContainsAny(name, "/:%") || strings.ContainsFunc(name, isBlank):
		return fmt.Errorf("%q is no name of an interface", name)
	}
	return nil
}

func isBlank(r rune) bool { return r <= ' ' || r == 0x7f }

// check refuses what cannot be before anything is made.
func (s *Spec) check() error {
	if err := checkName(s.Guest); err != nil {
		return err
	}
	if s.Host != "" {
		if err := checkName(s.Host); err != nil {
			return err
		}
	}
	switch {
	case s.MAC != nil && len(s.MAC) != 6:
		return fmt.Errorf("%q is no Ethernet address", s.MAC)
	case s.MAC != nil && s.MAC[0]&1 != 0:
		return fmt.Errorf("%q is a multicast address", s.MAC)
	case s.Kind == Bridge && s.Bridge == "":
		return fmt.Errorf("interface %q has no bridge", s.Guest)
	case s.Kind == Direct && s.Parent == "":
		return fmt.Errorf("interface %q has no parent", s.Guest)
	case s.Kind == Direct && s.Bandwidth != (Bandwidth{}):
		return fmt.Errorf("interface %q has no end on the host that its traffic could be limited on", s.Guest)
	case s.Kind != Bridge && (s.Isolated || !s.VLAN.isZero()):
		return fmt.Errorf("interface %q is no port of a bridge", s.Guest)
	}
	return s.Bandwidth.check()
}
