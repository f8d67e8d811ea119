package link

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
)

// Made is an interface that was made. It can be kept as JSON.
type Made struct {
	// Host is the name of the host end, empty for a direct interface.
	Host string
	// HostIndex is the number of the host end, 0 for a direct interface.
	HostIndex int
	// Guest is the name inside.
	Guest string
	// GuestIndex is the number inside.
	GuestIndex int
	// Owner that the host end is marked with.
	Owner string `json:",omitzero"`
}

// Attach makes an interface in the guest's namespace ns. If it fails, nothing of it is left. A bridge or parent that is
// not there is fs.ErrNotExist, a name that is taken fs.ErrExist. An owner makes one interface at a time: what one that was killed
// left half made goes when the next is made.
func (host *Host) Attach(ns *os.File, s Spec) (Made, error) {
	if err := s.check(); err != nil {
		return Made{}, fmt.Errorf("attach interface: %w", err)
	}
	guest, err := inside(ns)
	if err != nil {
		return Made{}, fmt.Errorf("attach interface %q: %w", s.Guest, err)
	}
	defer guest.Close()
	a := &attachment{host: host, guest: guest, ns: ns, spec: s, made: Made{Guest: s.Guest, Owner: s.Owner}}
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
	create := a.pair
	if a.spec.Kind == Direct {
		create = a.direct
	}
	if err := create(); err != nil {
		return err
	}
	return setInside(a.guest, a.inner, a.spec)
}

// undo removes what was made. The other end of a pair goes with it.
func (a *attachment) undo() error {
	switch {
	case a.end != nil:
		return errors.Join(remove(a.host.h, a.end), a.host.Forget(a.made))
	case a.inner != nil:
		return remove(a.guest, a.inner)
	}
	return nil
}

// setInside gives the guest's end its addresses, brings it up and adds its routes.
func setInside(guest *netlink.Handle, l netlink.Link, s Spec) error {
	if err := addAddresses(guest, l, s.Addresses); err != nil {
		return err
	}
	if s.Down && s.Kind == Direct {
		return nil
	}
	if err := guest.LinkSetUp(l); err != nil {
		return fmt.Errorf("bring %q up: %w", s.Guest, inUse(err, s))
	}
	return addRoutes(guest, l, s.Routes)
}
