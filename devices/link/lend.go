package link

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Loan is an interface of the host that a guest has for a while.
type Loan struct {
	// Name on the host, under which it comes back.
	Name string
	// Guest is the name inside.
	Guest string
	// Index is its number on the host, GuestIndex the one inside. The kernel keeps a number on every way where it is free.
	Index, GuestIndex int
	// Kind and MAC tell it from what the guest could put in its place: no guest can make an interface of hardware, which is
	// of kind "device".
	Kind string
	MAC  net.HardwareAddr
	// Up tells whether it was up.
	Up bool
}

// Lend moves an interface of the host into the guest's namespace, under the name, with the addresses and routes of s. If it
// fails, the host has it as before, but for its addresses: the kernel takes those.
func (host *Host) Lend(ns *os.File, name string, s Spec) (Loan, error) {
	if err := checkName(s.Guest); err != nil {
		return Loan{}, fmt.Errorf("lend interface: %w", err)
	}
	l, err := find(host.h, name)
	if err != nil {
		return Loan{}, fmt.Errorf("lend interface: %w", err)
	}
	a := l.Attrs()
	if a.MasterIndex != 0 {
		return Loan{}, fmt.Errorf("lend interface %q: it is a port of another", name)
	}
	guest, err := inside(ns)
	if err != nil {
		return Loan{}, fmt.Errorf("lend interface %q: %w", name, err)
	}
	defer guest.Close()
	if err = free(guest, s.Guest); err != nil {
		return Loan{}, fmt.Errorf("lend interface %q: %w", name, err)
	}
	loan := Loan{Name: name, Guest: s.Guest, Index: a.Index, Kind: l.Type(), MAC: a.HardwareAddr, Up: a.Flags&net.FlagUp != 0}
	err = move(host.h, host.ns, a.Index, ns, s.Guest)
	if err == nil {
		loan.GuestIndex, err = complete(guest, s)
	}
	if err != nil {
		return Loan{}, fmt.Errorf("lend interface %q: %w", name, errors.Join(err, host.GiveBack(ns, loan)))
	}
	return loan, nil
}

// complete gives an interface that has arrived what it needs, and tells its number.
func complete(guest *netlink.Handle, s Spec) (index int, err error) {
	l, err := find(guest, s.Guest)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Index, setInside(guest, l, s)
}

// move takes an interface to another namespace and gives it a name there, in one request: its name may be taken there, and
// the new one here.
func move(h *netlink.Handle, from *os.File, index int, to *os.File, name string) error {
	l, err := h.LinkByIndex(index)
	if err != nil {
		return err
	}
	if err = h.LinkSetDown(l); err != nil {
		return fmt.Errorf("bring it down: %w", err)
	}
	socket, err := nl.GetNetlinkSocketAt(netns.NsHandle(from.Fd()), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket in namespace: %w", err)
	}
	defer socket.Close()
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(to.Fd()))))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("move it: %w", err)
	}
	return nil
}

// GiveBack brings an interface home under its name from wherever it is: in the guest's namespace, or, as that is gone, on
// the host under a name that the kernel made up. An interface that the guest has taken elsewhere is fs.ErrNotExist; it
// comes home when the last of the guest's namespaces ends.
func (host *Host) GiveBack(ns *os.File, loan Loan) error {
	if ns != nil {
		if err := host.fetch(ns, loan); err != nil {
			return fmt.Errorf("give interface %q back: %w", loan.Name, err)
		}
	}
	l, err := host.home(loan)
	if err != nil {
		return fmt.Errorf("give interface %q back: %w", loan.Name, err)
	}
	if l.Attrs().Name != loan.Name {
		if err := host.h.LinkSetName(l, loan.Name); err != nil {
			return fmt.Errorf("give interface %q back: rename it from %q: %w", loan.Name, l.Attrs().Name, err)
		}
	}
	if !loan.Up {
		return nil
	}
	if err := host.h.LinkSetUp(l); err != nil {
		return fmt.Errorf("give interface %q back: bring it up: %w", loan.Name, err)
	}
	return nil
}

// home finds an interface on the host: by its address, for another may have got its number meanwhile.
func (host *Host) home(loan Loan) (netlink.Link, error) {
	l, err := loan.byMAC(host.h)
	if !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	return loan.byIndex(host.h, loan.Index)
}

func (loan Loan) byIndex(h *netlink.Handle, index int) (netlink.Link, error) {
	l, err := h.LinkByIndex(index)
	if isNotFound(err) || err == nil && l.Type() != loan.Kind {
		return nil, fs.ErrNotExist
	}
	return l, err
}

// byMAC goes by the permanent address as well: that one the guest cannot change.
func (loan Loan) byMAC(h *netlink.Handle) (netlink.Link, error) {
	list, err := h.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		a := l.Attrs()
		if l.Type() == loan.Kind && len(loan.MAC) > 0 && (bytes.Equal(a.HardwareAddr, loan.MAC) || bytes.Equal(a.PermHWAddr, loan.MAC)) {
			return l, nil
		}
	}
	return nil, fs.ErrNotExist
}

// fetch moves it out of the guest's namespace if it is there.
func (host *Host) fetch(ns *os.File, loan Loan) error {
	guest, err := inside(ns)
	if err != nil {
		return err
	}
	defer guest.Close()
	l, err := loan.byIndex(guest, loan.GuestIndex)
	if errors.Is(err, fs.ErrNotExist) {
		l, err = loan.byMAC(guest)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return move(guest, ns, l.Attrs().Index, host.ns, loan.Name)
}
