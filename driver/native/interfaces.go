package native

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var (
	_ driver.DeviceReporter = (*instance)(nil)
	_ driver.Completer      = (*instance)(nil)
)

// Complete writes the names of host ends into a definition. A direct interface has none, and one of a boot to come has none yet.
func (i *instance) Complete(def *davitv1.Domain) {
	ports := i.ports()
	for k, n := range def.GetDevices().GetInterface() {
		if p := find(ports, aliasOr(n.GetAlias(), "net", k)); p != nil && p.Host != "" {
			n.TargetDev = p.Host
		}
	}
}

// Interfaces tells the interfaces of the definition as they are, then what the guest has beside them, as far as that is bounded.
func (i *instance) Interfaces(ctx context.Context) ([]*davitv1.InterfaceStatus, error) {
	const op = "list interfaces"
	state, err := i.running(ctx, op)
	if err != nil {
		return nil, err
	}
	list, ports, err := i.statuses()
	if err != nil || state.GetPid() == 0 {
		return list, err
	}
	netns, err := i.openProc(int(state.GetPid()), "ns/net")
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || gone(err) {
		return list, nil // init ended just now; another follows
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = netns.Close() }()
	states, err := link.List(netns, indexes(ports, true)...)
	if err != nil {
		return nil, err
	}
	states = see(list, ports, states)
	for _, s := range states {
		if s.Loopback || isFallback(s) {
			continue
		}
		status := &davitv1.InterfaceStatus{Counters: counters(s.Counters)}
		show(status, s)
		status.Up = s.Up
		list = append(list, status)
	}
	return list, nil
}

// interfaceStats are the interfaces of the definition with what went through them, but for what only a look at all that the guest
// has would tell.
func (i *instance) interfaceStats(pid int) ([]*davitv1.InterfaceStatus, error) {
	list, ports, err := i.statuses()
	inner := indexes(ports, false)
	if err != nil || len(inner) == 0 || pid == 0 {
		return list, err
	}
	netns, err := i.openProc(pid, "ns/net")
	if err != nil {
		return list, nil // it is about to end; what the host knows is told
	}
	defer func() { _ = netns.Close() }()
	states, err := link.Look(netns, inner)
	if err != nil {
		return nil, err
	}
	see(list, ports, states)
	return list, nil
}

// statuses are the interfaces of the definition as the definition and the host tell of them, and the port of each.
func (i *instance) statuses() ([]*davitv1.InterfaceStatus, []port, error) {
	d, all := i.definition().GetDevices(), i.ports()
	if len(all) == 0 && len(d.GetInterface()) == 0 {
		return nil, nil, nil
	}
	host, err := i.d.host()
	if err != nil {
		return nil, nil, err
	}
	var list []*davitv1.InterfaceStatus
	var ports []port
	add := func(alias string, status *davitv1.InterfaceStatus) error {
		p := find(all, alias)
		if p == nil {
			p = &port{Alias: alias}
		}
		status.Alias, status.GuestDev = alias, p.guest()
		list, ports = append(list, status), append(ports, *p)
		return lookAtEnd(host, status, *p)
	}
	for k, n := range d.GetInterface() {
		status := &davitv1.InterfaceStatus{Type: n.GetType(), Source: sourceOf(n), Mac: n.GetMac(), Mtu: n.GetMtu()}
		if err := add(aliasOr(n.GetAlias(), "net", k), status); err != nil {
			return nil, nil, err
		}
	}
	for k, h := range d.GetHostdev() {
		if h.GetType() != davitv1.HostdevType_HOSTDEV_TYPE_NET {
			continue
		}
		if err := add(aliasOr(h.GetAlias(), "hostdev", k), &davitv1.InterfaceStatus{Source: h.GetSourceInterface()}); err != nil {
			return nil, nil, err
		}
	}
	return list, ports, nil
}

// lookAtEnd tells what the host end of a pair says of it: whether the link is up, which both ends have to be, and be plugged in where
// they are to be.
func lookAtEnd(host *link.Host, status *davitv1.InterfaceStatus, p port) error {
	if p.HostIndex == 0 {
		return nil
	}
	end, err := host.End(p.Made, p.Spec.Kind == link.Bridge)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the guest has removed it
	}
	if err != nil {
		return err
	}
	status.HostDev, status.Up, status.Mtu = end.Name, end.Up, uint32(end.MTU)
	status.Counters = counters(end.Counters)
	return nil
}

// sourceOf is what an interface is attached to.
func sourceOf(n *davitv1.Interface) string {
	switch n.GetType() {
	case davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE:
		return n.GetSourceBridge()
	case davitv1.InterfaceType_INTERFACE_TYPE_NETWORK:
		return n.GetSourceNetwork()
	default:
		return n.GetSourceDev()
	}
}

// indexes are the numbers inside of ports that are made; those of pairs only if asked for, as the host knows all of them but for their
// names and addresses inside.
func indexes(ports []port, pairs bool) []int {
	var list []int
	for _, p := range ports {
		if p.isMade() && (pairs || p.HostIndex == 0) {
			list = append(list, p.index())
		}
	}
	return list
}

// see adds what is seen inside to the statuses of ports, and gives what belongs to none of them.
func see(list []*davitv1.InterfaceStatus, ports []port, states []link.State) []link.State {
	for k, p := range ports {
		at := slices.IndexFunc(states, func(s link.State) bool { return p.isMade() && s.Index == p.index() && s.Kind == kindOf(p) })
		if at < 0 {
			continue
		}
		s := states[at]
		show(list[k], s)
		if p.HostIndex == 0 {
			list[k].Up, list[k].Counters = s.Up, counters(s.Counters)
		}
		states = slices.Delete(slices.Clone(states), at, at+1)
	}
	return states
}

// kindOf is the kind of a port's interface inside: the guest may have given its number to another.
func kindOf(p port) string {
	switch {
	case p.Loan != nil:
		return p.Loan.Kind
	case p.Spec.IPVLAN:
		return "ipvlan"
	case p.HostIndex == 0:
		return "macvlan"
	}
	return "veth"
}

// show writes what an interface inside is called and how it is reached.
func show(status *davitv1.InterfaceStatus, s link.State) {
	status.GuestDev, status.Mac, status.Mtu = strings.ToValidUTF8(s.Name, "\ufffd"), "", uint32(s.MTU)
	if len(s.MAC) == 6 {
		status.Mac = s.MAC.String()
	}
	for _, a := range s.Addresses {
		status.Addresses = append(status.Addresses, netip.PrefixFrom(a.Addr().Unmap(), a.Bits()).String())
	}
}

// isFallback tells the interfaces of tunnels that the kernel puts into every network namespace where it has their drivers, as long as
// the guest makes no use of them.
func isFallback(s link.State) bool {
	switch s.Kind {
	case "sit", "ipip", "ip6tnl", "gre", "gretap", "ip6gre", "erspan", "vti", "vti6":
		return !s.Up && len(s.Addresses) == 0
	}
	return false
}

func counters(c link.Counters) *davitv1.InterfaceCounters {
	return &davitv1.InterfaceCounters{
		ReceivedBytes: c.ReceivedBytes, ReceivedPackets: c.ReceivedPackets, ReceiveErrors: c.ReceiveErrors, ReceiveDrops: c.ReceiveDrops,
		SentBytes: c.SentBytes, SentPackets: c.SentPackets, SendErrors: c.SendErrors, SendDrops: c.SendDrops,
	}
}
