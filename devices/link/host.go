package link

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is the network namespace in which host ends are made. Its methods may be called from any goroutine.
type Host struct {
	h    *netlink.Handle
	conn *conn // for what is asked at each start, and what h does not do
	ns   *os.File
}

// Open opens the namespace that ns is, or the caller's own if it is nil. The file stays the caller's.
func Open(ns *os.File) (*Host, error) {
	own, err := reopen(ns)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	h, err := inside(own)
	if err != nil {
		_ = own.Close()
		return nil, err
	}
	c, err := connect(own, hostAnswer)
	if err != nil {
		h.Close()
		_ = own.Close()
		return nil, err
	}
	return &Host{h: h, conn: c, ns: own}, nil
}

func reopen(ns *os.File) (*os.File, error) {
	if ns == nil {
		return os.Open("/proc/thread-self/ns/net")
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()))
}

// inside opens a netlink socket in a namespace.
func inside(ns *os.File) (*netlink.Handle, error) {
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket in namespace: %w", err)
	}
	return h, nil
}

// Close lets go of the namespace. Interfaces stay.
func (host *Host) Close() error {
	host.h.Close()
	host.conn.close()
	return host.ns.Close()
}

// absent is what is not there. It is fs.ErrNotExist, whose own words are about files.
type absent string

func (a absent) Error() string { return string(a) + " does not exist" }

// Is makes it fs.ErrNotExist.
func (absent) Is(target error) bool { return target == fs.ErrNotExist }

// find gives an interface of a namespace by name. The error is fs.ErrNotExist when there is none.
func find(h *netlink.Handle, name string) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	if isNotFound(err) {
		return nil, absent(fmt.Sprintf("interface %q", name))
	}
	if err != nil {
		return nil, fmt.Errorf("find interface %q: %w", name, err)
	}
	return l, nil
}

// Look tells why an interface of the host cannot be what guests are attached to: it is not there (fs.ErrNotExist), or should be
// a bridge and is none.
func (host *Host) Look(name string, bridge bool) error {
	l, err := find(host.h, name)
	if err != nil {
		return err
	}
	if _, ok := l.(*netlink.Bridge); bridge && !ok {
		return fmt.Errorf("interface %q is a %s, no bridge", name, l.Type())
	}
	return nil
}

// taken is what something else has already. It is fs.ErrExist, whose own words are about files.
type taken string

func (t taken) Error() string { return string(t) + " is taken" }

// Is makes it fs.ErrExist.
func (taken) Is(target error) bool { return target == fs.ErrExist }

// free makes sure that a name inside is free. The error is fs.ErrExist when it is not.
func free(guest *netlink.Handle, name string) error {
	_, err := find(guest, name)
	switch {
	case err == nil:
		return taken(fmt.Sprintf("name %q inside", name))
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[netlink.LinkNotFoundError](err)
	return ok
}

// hostPrefix begins the names that are made up for host ends, as libvirt's do.
const hostPrefix = "vnet"

// hostMAC is the hardware address of a host end: the guest's with a first byte so high that a bridge never takes it for
// its own, which would change with every domain that comes and goes.
func hostMAC(guest net.HardwareAddr) net.HardwareAddr {
	if guest == nil {
		return nil
	}
	mac := append(net.HardwareAddr(nil), guest...)
	if mac[0] == 0xfe {
		mac[0] = 0xfa
	} else {
		mac[0] = 0xfe
	}
	return mac
}
