package link

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// direct makes a macvlan or ipvlan in the guest's namespace.
func (a *attachment) direct() error {
	parent, err := find(a.host.h, a.spec.Parent)
	if err != nil {
		return err
	}
	guest, err := a.inside()
	if err != nil {
		return err
	}
	if err = free(guest, a.spec.Guest); err != nil {
		return err
	}
	attrs := netlink.LinkAttrs{
		Name: a.spec.Guest, ParentIndex: parent.Attrs().Index, MTU: a.spec.MTU, HardwareAddr: a.spec.MAC,
		Namespace: netlink.NsFd(a.ns.Fd()), TxQLen: -1,
	}
	var l netlink.Link = &netlink.Macvlan{LinkAttrs: attrs, Mode: modes[a.spec.Mode]}
	if a.spec.IPVLAN {
		l = &netlink.IPVlan{LinkAttrs: attrs, Mode: netlink.IPVLAN_MODE_L2, Flag: netlink.IPVLAN_FLAG_BRIDGE}
	}
	if err = a.host.h.LinkAdd(l); err != nil {
		return fmt.Errorf("make %s on %q: %w", l.Type(), a.spec.Parent, busy(err))
	}
	if a.inner, err = find(guest, a.spec.Guest); err != nil {
		return err
	}
	a.made.GuestIndex = a.inner.Attrs().Index
	return a.setDirect()
}

// setDirect gives an interface that has its parent for itself its own address, which is then the parent's as well: the
// kernel gave it the parent's, and gives that back in the end.
func (a *attachment) setDirect() error {
	if a.spec.Mode != Passthrough || a.spec.MAC == nil {
		return nil
	}
	if err := a.guest.LinkSetHardwareAddr(a.inner, a.spec.MAC); err != nil {
		return fmt.Errorf("set address of %q: %w", a.spec.Guest, err)
	}
	return nil
}

// directKind is what a direct interface is to the kernel.
func (s Spec) directKind() string {
	if s.IPVLAN {
		return "ipvlan"
	}
	return "macvlan"
}

var modes = map[Mode]netlink.MacvlanMode{
	VEPA: netlink.MACVLAN_MODE_VEPA, MacvlanBridge: netlink.MACVLAN_MODE_BRIDGE,
	Private: netlink.MACVLAN_MODE_PRIVATE, Passthrough: netlink.MACVLAN_MODE_PASSTHRU,
}

// busy says what the kernel means when an interface cannot be shared.
func busy(err error) error {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w (this kernel has none)", err)
	}
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w (an interface is a port of a bridge, or has one macvlan of mode passthrough, or several of others, or ipvlans)", err)
	}
	return err
}

// inUse says what the kernel means when a direct interface does not come up.
func inUse(err error, s Spec) error {
	if s.Kind == Direct && (errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EADDRINUSE)) {
		return fmt.Errorf("%w (another on %q has the address %s)", err, s.Parent, s.MAC)
	}
	return err
}

// Discard removes a direct interface that may have been made, by somebody who was killed before he could note it: the macvlan of
// that name and address, or the ipvlan of that name, if the guest has it. The host end of a pair is found by [Host.Prune].
func (host *Host) Discard(ns *os.File, s Spec) error {
	if s.Kind != Direct {
		return nil
	}
	guest, err := inside(ns)
	if err != nil {
		return err
	}
	defer guest.Close()
	l, err := guest.LinkByName(s.Guest)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find interface %q inside: %w", s.Guest, err)
	}
	if l.Type() != s.directKind() || s.MAC != nil && !bytes.Equal(l.Attrs().HardwareAddr, s.MAC) {
		return nil // the guest's own
	}
	return remove(guest, l)
}
