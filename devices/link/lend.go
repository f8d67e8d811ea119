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

// Loan is an interface of the host that a guest has for a while. It can be kept as JSON.
type Loan struct {
	// Name on the host, under which it comes back.
	Name string
	// Guest is the name inside.
	Guest string
	// Index is its number on the host, GuestIndex the one inside. The kernel keeps a number on every way where it is free.
	Index, GuestIndex int
	// Kind, MAC and Link tell it from what the guest could put in its place: no guest can make an interface of hardware, which is
	// of kind "device", and what is made by software is known by the number of the interface that it is stacked on or connected to.
	Kind string
	MAC  net.HardwareAddr
	Link int `json:",omitzero"`
	// MTU that it had, and whether it was up.
	MTU int
	Up  bool
}

// IsHardware tells whether the kernel brings it home when the guest's namespace ends; others end with that.
func (loan Loan) IsHardware() bool { return loan.Kind == hardware }

// Offer looks at an interface of the host that is to be lent under a name. Who notes the loan before it is made can give it back
// whatever becomes of him.
func (host *Host) Offer(name, guest string) (Loan, error) {
	if err := checkName(guest); err != nil {
		return Loan{}, fmt.Errorf("lend interface: %w", err)
	}
	l, err := find(host.h, name)
	if err != nil {
		return Loan{}, fmt.Errorf("lend interface: %w", err)
	}
	a := l.Attrs()
	switch {
	case a.MasterIndex != 0:
		return Loan{}, fmt.Errorf("lend interface %q: it is a port of another", name)
	case a.Flags&net.FlagLoopback != 0:
		return Loan{}, fmt.Errorf("lend interface %q: every network namespace has its own", name)
	}
	return Loan{Name: name, Guest: guest, Index: a.Index, Kind: l.Type(), MAC: a.HardwareAddr, Link: a.ParentIndex, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0}, nil
}

// Lend moves an interface of the host into the guest's namespace, under the name inside, with the addresses and routes of s. If it
// fails, the host has it as before, but for its addresses: the kernel takes those.
func (host *Host) Lend(ns *os.File, loan Loan, s Spec) (Loan, error) {
	guest, err := inside(ns)
	if err != nil {
		return Loan{}, fmt.Errorf("lend interface %q: %w", loan.Name, err)
	}
	defer guest.Close()
	if err = free(guest, loan.Guest); err != nil {
		return Loan{}, fmt.Errorf("lend interface %q: %w", loan.Name, err)
	}
	s.Guest = loan.Guest
	err = move(host.h, host.ns, loan.Index, ns, loan.Guest)
	if err == nil {
		loan.GuestIndex, err = complete(guest, ns, s)
	}
	if err != nil {
		return Loan{}, fmt.Errorf("lend interface %q: %w", loan.Name, errors.Join(err, host.GiveBack(ns, loan)))
	}
	return loan, nil
}

// complete gives an interface that has arrived what it needs, and tells its number.
func complete(guest *netlink.Handle, ns *os.File, s Spec) (index int, err error) {
	l, err := find(guest, s.Guest)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Index, setInside(ns, l.Attrs().Index, s)
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

// GiveBack brings an interface home under its name, and as it was, from wherever it is: in the guest's namespace, or, as that is
// gone, on the host under a name that the guest or the kernel made up. An interface that the guest has taken elsewhere is
// fs.ErrNotExist; if it is hardware, it comes home when the last of the guest's namespaces ends. It may be home already.
func (host *Host) GiveBack(ns *os.File, loan Loan) error {
	l, err := host.home(loan)
	if ns != nil && errors.Is(err, fs.ErrNotExist) {
		if err = host.fetch(ns, loan); err == nil {
			l, err = host.home(loan)
		}
	}
	if err == nil {
		err = host.restore(l, loan)
	}
	if err != nil {
		return fmt.Errorf("give interface %q back: %w", loan.Name, err)
	}
	return nil
}

// restore makes an interface that came home what it was.
func (host *Host) restore(l netlink.Link, loan Loan) error {
	a := l.Attrs()
	if a.Name != loan.Name {
		if err := host.h.LinkSetName(l, loan.Name); err != nil {
			return fmt.Errorf("rename it from %q: %w", a.Name, err)
		}
	}
	if len(loan.MAC) > 0 && !bytes.Equal(a.HardwareAddr, loan.MAC) {
		if err := host.h.LinkSetHardwareAddr(l, loan.MAC); err != nil {
			return fmt.Errorf("set its address: %w", err)
		}
	}
	if loan.MTU > 0 && a.MTU != loan.MTU {
		if err := host.h.LinkSetMTU(l, loan.MTU); err != nil {
			return fmt.Errorf("set its mtu: %w", err)
		}
	}
	if !loan.Up {
		return nil
	}
	if err := host.h.LinkSetUp(l); err != nil {
		return fmt.Errorf("bring it up: %w", err)
	}
	return nil
}

// home finds an interface on the host, where its number may be another's.
func (host *Host) home(loan Loan) (netlink.Link, error) {
	l, err := find(host.h, loan.Name)
	if err == nil && loan.hasKind(l) && (loan.hasMAC(l) || l.Attrs().Index == loan.Index) {
		return l, nil
	}
	if l, err = loan.byIndex(host.h, loan.Index); err == nil && loan.hasMAC(l) {
		return l, nil
	}
	return loan.byMAC(host.h)
}

func (loan Loan) byIndex(h *netlink.Handle, index int) (netlink.Link, error) {
	l, err := h.LinkByIndex(index)
	if isNotFound(err) || err == nil && !loan.hasKind(l) {
		return nil, fs.ErrNotExist
	}
	return l, err
}

func (loan Loan) hasKind(l netlink.Link) bool {
	return l.Type() == loan.Kind && (loan.Kind == hardware || l.Attrs().ParentIndex == loan.Link)
}

// hasMAC goes by the permanent address as well: that one the guest cannot change.
func (loan Loan) hasMAC(l netlink.Link) bool {
	a := l.Attrs()
	return len(loan.MAC) > 0 && (bytes.Equal(a.HardwareAddr, loan.MAC) || bytes.Equal(a.PermHWAddr, loan.MAC))
}

// byMAC finds hardware. Of other kinds several may have one address, as VLANs have that of their parent.
func (loan Loan) byMAC(h *netlink.Handle) (netlink.Link, error) {
	if loan.Kind != hardware {
		return nil, fs.ErrNotExist
	}
	list, err := h.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		if l.Type() == hardware && loan.hasMAC(l) {
			return l, nil
		}
	}
	return nil, fs.ErrNotExist
}

// hardware is the kind of an interface that no driver makes on request.
const hardware = "device"

// fetch moves it out of the guest's namespace if it is there.
func (host *Host) fetch(ns *os.File, loan Loan) error {
	guest, err := inside(ns)
	if err != nil {
		return err
	}
	defer guest.Close()
	l, err := loan.inside(guest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = move(guest, ns, l.Attrs().Index, host.ns, loan.Name)
	if errors.Is(err, fs.ErrExist) {
		// Its name is another's by now; it comes home all the same, and that is told.
		err = move(guest, ns, l.Attrs().Index, host.ns, "dev%d")
	}
	return err
}

// inside finds a loan in the guest's namespace. Whoever did not live to note its number there finds it by the one that it had.
func (loan Loan) inside(guest *netlink.Handle) (netlink.Link, error) {
	index := loan.GuestIndex
	if index == 0 {
		index = loan.Index
	}
	l, err := loan.byIndex(guest, index)
	if err == nil && (loan.GuestIndex != 0 || loan.hasMAC(l)) {
		return l, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return loan.byMAC(guest)
}
