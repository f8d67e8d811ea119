package link

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Made is an interface that was made.
type Made struct {
	// Host is the name of the host end, empty for a direct interface.
	Host string
	// HostIndex is the number of the host end, 0 for a direct interface.
	HostIndex int
	// Guest is the name inside.
	Guest string
	// GuestIndex is the number inside.
	GuestIndex int
}

// Attach makes an interface in the guest's namespace ns. If it fails, nothing of it is left. A bridge or parent that is
// not there is fs.ErrNotExist, a name that is taken fs.ErrExist.
func (host *Host) Attach(ns *os.File, s Spec) (Made, error) {
	if err := s.check(); err != nil {
		return Made{}, fmt.Errorf("attach interface: %w", err)
	}
	guest, err := inside(ns)
	if err != nil {
		return Made{}, fmt.Errorf("attach interface %q: %w", s.Guest, err)
	}
	defer guest.Close()
	a := &attachment{host: host, guest: guest, ns: ns, spec: s, made: Made{Guest: s.Guest}}
	if err := a.do(); err != nil {
		return Made{}, fmt.Errorf("attach interface %q: %w", s.Guest, errors.Join(err, a.undo()))
	}
	return a.made, nil
}

// attachment is an interface in the making.
type attachment struct {
	host  *Host
	guest *netlink.Handle
	ns    *os.File
	spec  Spec
	made  Made
	end   netlink.Link // the host end
	inner netlink.Link
}

func (a *attachment) do() error {
	if err := free(a.guest, a.spec.Guest); err != nil {
		return err
	}
	create, set := a.pair, a.setHost
	if a.spec.Kind == Direct {
		create, set = a.direct, a.setDirect
	}
	if err := create(); err != nil {
		return err
	}
	var err error
	if a.inner, err = find(a.guest, a.spec.Guest); err != nil {
		return err
	}
	a.made.GuestIndex = a.inner.Attrs().Index
	if err := set(); err != nil {
		return err
	}
	return a.setGuest()
}

// undo removes what was made. The other end of a pair goes with it.
func (a *attachment) undo() error {
	switch {
	case a.end != nil:
		return errors.Join(a.host.h.LinkDel(a.end), a.host.Forget(a.made))
	case a.inner != nil:
		return a.guest.LinkDel(a.inner)
	}
	return nil
}

// setGuest completes the end inside.
func (a *attachment) setGuest() error { return setInside(a.guest, a.inner, a.spec) }

// setInside gives the guest's end its addresses, brings it up and adds its routes.
func setInside(guest *netlink.Handle, l netlink.Link, s Spec) error {
	if err := addAddresses(guest, l, s.Addresses); err != nil {
		return err
	}
	if s.Down {
		return nil
	}
	if err := guest.LinkSetUp(l); err != nil {
		return fmt.Errorf("bring %q up: %w", s.Guest, err)
	}
	return addRoutes(guest, l, s.Routes)
}

// direct makes a macvlan in the guest's namespace.
func (a *attachment) direct() error {
	parent, err := find(a.host.h, a.spec.Parent)
	if err != nil {
		return err
	}
	l := &netlink.Macvlan{
		LinkAttrs: netlink.LinkAttrs{
			Name: a.spec.Guest, ParentIndex: parent.Attrs().Index, MTU: a.spec.MTU, HardwareAddr: a.spec.MAC,
			Namespace: netlink.NsFd(a.ns.Fd()), TxQLen: -1,
		},
		Mode: modes[a.spec.Mode],
	}
	if err := a.host.h.LinkAdd(l); err != nil {
		return fmt.Errorf("make macvlan on %q: %w", a.spec.Parent, busy(err))
	}
	return nil
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

var modes = map[Mode]netlink.MacvlanMode{
	VEPA: netlink.MACVLAN_MODE_VEPA, MacvlanBridge: netlink.MACVLAN_MODE_BRIDGE,
	Private: netlink.MACVLAN_MODE_PRIVATE, Passthrough: netlink.MACVLAN_MODE_PASSTHRU,
}

// busy says what the kernel means when an interface cannot be shared.
func busy(err error) error {
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w (an interface is a port of a bridge, or has one macvlan of mode passthrough, or several of others)", err)
	}
	return err
}
