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
	// Direct is a macvlan, or an ipvlan, on an interface of the host.
	Direct
	// Lent is an interface of the host itself ([Host.Lend]).
	Lent
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

// Spec is an interface as it shall be. It can be kept as JSON.
type Spec struct {
	Kind Kind `json:",omitzero"`
	// Host is the name of the host end, the first free of "vnet0" and so on when empty. A direct interface has none.
	Host string `json:",omitzero"`
	// HostHint is the name that the host end has if that is free, and Host is empty.
	HostHint string `json:",omitzero"`
	// Guest is the name inside. Required.
	Guest string `json:",omitzero"`
	// MAC is the hardware address inside, of the kernel's choice when nil.
	MAC net.HardwareAddr `json:",omitzero"`
	// MTU of both ends, the kernel's default when 0.
	MTU int `json:",omitzero"`
	// Down leaves the link down, as a cable that is pulled out: the host end of a pair is down, which no guest can change; a direct
	// interface, which has none, is down itself, with its routes away.
	Down bool `json:",omitzero"`

	// Bridge that the host end is a port of.
	Bridge string `json:",omitzero"`
	// Isolated ports of a bridge do not reach each other.
	Isolated bool `json:",omitzero"`
	// VLAN of the port, on a bridge that filters.
	VLAN VLAN `json:",omitzero"`

	// Parent is the interface of the host below a direct one, or the one that is lent.
	Parent string `json:",omitzero"`
	// Mode of a direct interface; MacvlanBridge for an ipvlan, as all of one parent have the same.
	Mode Mode `json:",omitzero"`
	// IPVLAN tells that a direct interface is an ipvlan (mode l2), which has the hardware address of its parent.
	IPVLAN bool `json:",omitzero"`

	// Addresses and Routes inside.
	Addresses []Address `json:",omitzero"`
	Routes    []Route   `json:",omitzero"`
	// HostAddresses and HostRoutes of an ethernet interface's host end.
	HostAddresses []Address `json:",omitzero"`
	HostRoutes    []Route   `json:",omitzero"`

	// Bandwidth limits the traffic of a pair.
	Bandwidth Bandwidth `json:",omitzero"`
	// Owner marks the host end as whose it is (ip-link(8), alias); nothing is marked when it is empty.
	Owner string `json:",omitzero"`
}

// Address of an interface.
type Address struct {
	netip.Prefix
	// Peer is the other end of a point-to-point link, if valid.
	Peer netip.Addr
}

// MarshalText is "192.0.2.1/24", with " peer 192.0.2.2" where there is one.
func (a Address) MarshalText() ([]byte, error) {
	text, err := a.Prefix.MarshalText()
	if err != nil || !a.Peer.IsValid() {
		return text, err
	}
	return a.Peer.AppendTo(append(text, peerWord...)), nil
}

// UnmarshalText reads what MarshalText wrote.
func (a *Address) UnmarshalText(text []byte) error {
	prefix, peer, ok := strings.Cut(string(text), peerWord)
	a.Peer = netip.Addr{}
	if ok {
		if err := a.Peer.UnmarshalText([]byte(peer)); err != nil {
			return err
		}
	}
	return a.Prefix.UnmarshalText([]byte(prefix))
}

const peerWord = " peer "

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

// IsZero tells that nothing is said of VLANs.
func (v VLAN) IsZero() bool { return v.Native == 0 && len(v.Tagged) == 0 }

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
	for _, name := range []string{s.Host, s.HostHint} {
		if name == "" {
			continue
		}
		if err := checkName(name); err != nil {
			return err
		}
		if strings.HasPrefix(name, blockPrefix) {
			return fmt.Errorf("names that begin with %q are for what is made beside host ends, not for them: %q", blockPrefix, name)
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
	case s.IPVLAN && (s.Kind != Direct || s.MAC != nil || s.Mode != MacvlanBridge):
		return fmt.Errorf("interface %q is an ipvlan, which is direct, of mode bridge and without an address of its own", s.Guest)
	case s.Kind == Lent:
		return fmt.Errorf("interface %q is to be lent, not made", s.Guest)
	case s.Kind == Direct && s.Bandwidth != (Bandwidth{}):
		return fmt.Errorf("interface %q has no end on the host that its traffic could be limited on", s.Guest)
	case s.Kind != Bridge && (s.Isolated || !s.VLAN.IsZero()):
		return fmt.Errorf("interface %q is no port of a bridge", s.Guest)
	}
	return s.Bandwidth.check()
}
