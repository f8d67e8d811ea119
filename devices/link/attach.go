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
// not there is fs.ErrNotExist, a name that is taken fs.ErrExist. What somebody who was killed left half made, [Host.Prune] and
// [Host.Sweep] remove.
func (host *Host) Attach(ns *os.File, s Spec) (Made, error) {
	if err := s.check(); err != nil {
		return Made{}, fmt.Errorf("attach interface: %w", err)
	}
	a := &attachment{host: host, ns: ns, spec: s, made: Made{Guest: s.Guest, Owner: s.Owner}}
	defer a.close()
	if err := a.do(); err != nil {
		return Made{}, fmt.Errorf("attach interface %q: %w", s.Guest, errors.Join(err, a.undo()))
	}
	return a.made, nil
}

// attachment is an interface in the making.
type attachment struct {
	host  *Host
	guest *netlink.Handle // nil until it is needed
	ns    *os.File
	spec  Spec
	made  Made
	end   netlink.Link // the host end
	inner netlink.Link
}

// inside is a handle of the guest's namespace, which most need not.
func (a *attachment) inside() (_ *netlink.Handle, err error) {
	if a.guest == nil {
		a.guest, err = inside(a.ns)
	}
	return a.guest, err
}

func (a *attachment) close() {
	if a.guest != nil {
		a.guest.Close()
	}
}

func (a *attachment) do() error {
	create := a.pair
	if a.spec.Kind == Direct {
		create = a.direct
	}
	if err := create(); err != nil {
		return err
	}
	return setInside(a.ns, a.inner.Attrs().Index, a.spec)
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
func setInside(ns *os.File, index int, s Spec) error {
	tasks := addAddresses(index, s.Guest, s.Addresses)
	if !s.Down || s.Kind != Direct {
		up := bringUp(index, s.Guest)
		up.explain = func(err error) error { return inUse(err, s) }
		tasks = append(append(tasks, up), addRoutes(index, s.Guest, s.Routes)...)
	}
	c, err := connect(ns, guestAnswer)
	if err != nil {
		return err
	}
	defer c.close()
	return carryOut(c, tasks)
}
