package link

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// What takes several requests with the library, and one of the kernel's, is written here.

// request begins a request, with what it consists of.
func request(kind, flags int, data ...nl.NetlinkRequestData) *nl.NetlinkRequest {
	return &nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: uint16(kind), Flags: unix.NLM_F_REQUEST | uint16(flags)}, Data: data}
}

// makingGroup is the group of a host end that is being made for an owner: such a one has no mark yet, which can only be set once it is
// there, and whoever made it may have been killed. An owner is a prefix that many have and a UUID, and whose such a host end is can be told
// of both: the prefix of the upper half, and the owner of the lower one. It is of no group that people number.
func makingGroup(owner string) uint32 {
	return makingOf(owner[:max(0, len(owner)-uuidBytes)]) | digest(owner)&0xffff
}

// makingOf is the upper half of the groups of the owners of a prefix.
func makingOf(prefix string) uint32 { return 1<<31 | digest(prefix)&0x7fff<<16 }

// uuidBytes is the length of a UUID in text.
const uuidBytes = 36

func digest(text string) uint32 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint32(sum[:])
}

// isHalfMade tells whether an interface can be a host end that somebody was making: nothing was done to it yet.
func isHalfMade(l netlink.Link) bool {
	a := l.Attrs()
	return l.Type() == "veth" && a.Alias == "" && a.MasterIndex == 0 && a.Flags&net.FlagUp == 0
}

// createPair makes a pair whose guest's end is in ns at once, and tells the host end.
func (host *Host) createPair(name string, ns *os.File, s Spec) (netlink.Link, error) {
	req := request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ECHO,
		nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(s.Guest))
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(ns.Fd())))
	if s.Owner != "" {
		req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(makingGroup(s.Owner))))
	}
	if s.MTU > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(s.MTU))))
		peer.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(s.MTU)))
	}
	if s.MAC != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, hostMAC(s.MAC)))
		peer.AddRtAttr(unix.IFLA_ADDRESS, s.MAC)
	}
	req.AddData(info)
	made, err := host.conn.tell(req)
	if err != nil {
		return nil, err
	}
	if l, unread := readLink(made); unread == nil && l.Attrs().Index > 0 {
		return l, nil
	}
	return host.madePair(name, s.Owner)
}

// readLink reads what the kernel tells of an interface; it may have told nothing.
func readLink(told []byte) (netlink.Link, error) {
	if len(told) < unix.SizeofIfInfomsg {
		return nil, unix.EBADMSG
	}
	return netlink.LinkDeserialize(nil, told)
}

// madePair finds a pair that was just made, as kernels before 6.2 do not say what they made.
func (host *Host) madePair(name, owner string) (netlink.Link, error) {
	if name != generated {
		return find(host.h, name)
	}
	list, err := host.h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var newest netlink.Link // numbers rise
	for _, l := range list {
		if isHalfMade(l) && (owner == "" || l.Attrs().Group == makingGroup(owner)) && (newest == nil || l.Attrs().Index > newest.Attrs().Index) {
			newest = l
		}
	}
	if newest == nil {
		return nil, absent("the pair that was made")
	}
	return newest, nil
}

// settings are what one request does to an interface; the zero value of each is to leave it.
type settings struct {
	alias  string // which ends that it is being made
	master int
	up     bool
}

// set changes an interface in one request.
func (host *Host) set(l netlink.Link, s settings) error {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(l.Attrs().Index)
	if s.up {
		msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	}
	req := request(unix.RTM_SETLINK, 0, msg)
	if s.alias != "" {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(s.alias)))
		req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(0)))
	}
	if s.master != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(s.master))))
	}
	_, err := host.conn.tell(req)
	return err
}

// lookUp gives an interface of the host by name. The error is fs.ErrNotExist when there is none.
func (host *Host) lookUp(name string) (netlink.Link, error) {
	told, err := host.conn.tell(request(unix.RTM_GETLINK, 0,
		nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name))))
	if errors.Is(err, unix.ENODEV) {
		return nil, absent(fmt.Sprintf("interface %q", name))
	}
	var l netlink.Link
	if err == nil {
		l, err = readLink(told)
	}
	if err != nil {
		return nil, fmt.Errorf("find interface %q: %w", name, err)
	}
	return l, nil
}

// dump reads a list of the kernel, up to where each says that it is enough: a guest may make as much as it likes, and what is not
// read is not waited for.
func dump(ns *os.File, kind int, header nl.NetlinkRequestData, each func(kind uint16, data []byte) bool) error {
	socket, err := nl.GetNetlinkSocketAt(netns.NsHandle(ns.Fd()), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket in namespace: %w", err)
	}
	defer socket.Close()
	// A kernel that is stuck is an error, not a wait without end.
	if err = errors.Join(socket.SetSendTimeout(&nl.SocketTimeoutTv), socket.SetReceiveTimeout(&nl.SocketTimeoutTv)); err != nil {
		return fmt.Errorf("open netlink socket in namespace: %w", err)
	}
	// Where the kernel can, it tells only of what the header asks for; older ones tell all.
	_ = unix.SetsockoptInt(socket.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	req := nl.NewNetlinkRequest(kind, unix.NLM_F_DUMP)
	req.AddData(header)
	if err = socket.Send(req); err != nil {
		return err
	}
	for {
		messages, _, err := socket.Receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			switch {
			case m.Header.Seq != req.Seq:
				continue
			case m.Header.Type == unix.NLMSG_DONE:
				return nil
			case m.Header.Type == unix.NLMSG_ERROR:
				return errorOf(m.Data)
			case !each(m.Header.Type, m.Data):
				return nil
			}
		}
	}
}

func errorOf(data []byte) error {
	if len(data) < 4 {
		return unix.EBADMSG
	}
	if errno := -int32(nl.NativeEndian().Uint32(data)); errno != 0 {
		return syscall.Errno(errno)
	}
	return nil
}
