package native

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Networks knows the virtual networks of the host.
type Networks interface {
	// Port tells what an interface of a network, and of a group of its ports if one is named, is attached to. The error says what is
	// wrong with the network: that there is none of that name, or that it is not active. It is asked at each boot.
	Port(network, portgroup string) (NetworkPort, error)
}

// NetworkPort is what an interface of a virtual network is attached to, and what the network says of it. What the interface says
// itself goes before.
type NetworkPort struct {
	// Bridge of the host. Without one the interface is a direct one.
	Bridge string
	// Parent is the interface of the host below a direct one, and Mode its mode.
	Parent string
	Mode   davitv1.DirectMode
	// Isolated ports do not reach each other.
	Isolated bool
	// VLAN of the port.
	VLAN *davitv1.Vlan
	// Bandwidth of the port.
	Bandwidth *davitv1.Bandwidth
	// MTU of the network, 0 for the kernel's default.
	MTU uint32
}

// resolveNetwork gives the interface that an interface of a virtual network is, any other as it is.
func resolveNetwork(n *davitv1.Interface, networks Networks) (*davitv1.Interface, error) {
	name := n.GetSourceNetwork()
	if n.GetType() != davitv1.InterfaceType_INTERFACE_TYPE_NETWORK {
		return n, nil
	}
	p, err := networks.Port(name, n.GetSourcePortgroup())
	if err != nil {
		return nil, fmt.Errorf("network %q: %w", name, err)
	}
	out := proto.CloneOf(n)
	switch {
	case p.Bridge != "":
		out.Type, out.SourceBridge = davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, p.Bridge
	case p.Parent != "":
		out.Type, out.SourceDev, out.SourceMode = davitv1.InterfaceType_INTERFACE_TYPE_DIRECT, p.Parent, p.Mode
	default:
		return nil, fmt.Errorf("network %q has no bridge and no interface of the host", name)
	}
	if out.PortIsolated == nil && p.Isolated {
		out.PortIsolated = &p.Isolated
	}
	if out.Vlan == nil {
		out.Vlan = p.VLAN
	}
	if out.Bandwidth == nil {
		out.Bandwidth = p.Bandwidth
	}
	if out.Mtu == 0 {
		out.Mtu = p.MTU
	}
	return out, nil
}
