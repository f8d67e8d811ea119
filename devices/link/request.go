package link

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// What takes several requests with the library, and one of the kernel's, is written here.

// openSocket opens a netlink socket in a namespace.
func openSocket(ns *os.File) (*nl.SocketHandle, error) {
	s, err := nl.GetNetlinkSocketAt(netns.NsHandle(ns.Fd()), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket in namespace: %w", err)
	}
	// A kernel that is stuck is an error, not a wait without end.
	if err = errors.Join(s.SetSendTimeout(&nl.SocketTimeoutTv), s.SetReceiveTimeout(&nl.SocketTimeoutTv)); err != nil {
		s.Close()
		return nil, fmt.Errorf("open netlink socket in namespace: %w", err)
	}
	return &nl.SocketHandle{Socket: s}, nil
}

// request begins a request of a socket.
func request(socket *nl.SocketHandle, kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: socket}
	return req
}

// makingPrefix begins the names of host ends that are being made: such a one has no mark yet, which can only be set once it is
// there, and whoever made it may have been killed.
const makingPrefix = "dvnew"

// makingName is the name of the host end that is being made for an owner, who makes one at a time. An owner is a prefix that many have
// and a UUID, and whose such a host end is can be told of both.
func makingName(owner string) string {
	const most = MaxName - len(makingPrefix) - 4
	return makingOf(owner[:max(0, len(owner)-uuidBytes)]) + digest(owner)[:most]
}

// makingOf begins the names of those that are being made for the owners of a prefix.
func makingOf(prefix string) string { return makingPrefix + digest(prefix)[:4] }

// uuidBytes is the length of a UUID in text.
const uuidBytes = 36

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))
}

// createPair makes a pair whose guest's end is in ns at once, and tells the host end.
func (host *Host) createPair(name string, ns *os.File, s Spec) (netlink.Link, error) {
	req := request(host.socket, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK|unix.NLM_F_ECHO)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(s.Guest))
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(ns.Fd())))
	if s.MTU > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(s.MTU))))
		peer.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(s.MTU)))
	}
	if s.MAC != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, hostMAC(s.MAC)))
		peer.AddRtAttr(unix.IFLA_ADDRESS, s.MAC)
	}
	req.AddData(info)
	// Kernels before 6.2 do not say what they made.
	made, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	if len(made) == 1 {
		if l, err := netlink.LinkDeserialize(nil, made[0]); err == nil && l.Attrs().Index > 0 {
			return l, nil
		}
	}
	return find(host.h, name)
}

// settings are what one request does to an interface; the zero value of each is to leave it.
type settings struct {
	name, alias string
	master      int
	up          bool
}

// set changes an interface in one request.
func (host *Host) set(l netlink.Link, s settings) error {
	req := request(host.socket, unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(l.Attrs().Index)
	if s.up {
		msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	}
	req.AddData(msg)
	if s.name != "" {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(s.name)))
	}
	if s.alias != "" {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(s.alias)))
	}
	if s.master != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(s.master))))
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// dump reads a list of the kernel, up to where each says that it is enough: a guest may make as much as it likes, and what is not
// read is not waited for.
func dump(ns *os.File, kind int, header nl.NetlinkRequestData, each func(kind uint16, data []byte) bool) error {
	socket, err := openSocket(ns)
	if err != nil {
		return err
	}
	defer socket.Close()
	// Where the kernel can, it tells only of what the header asks for; older ones tell all.
	_ = unix.SetsockoptInt(socket.Socket.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	req := nl.NewNetlinkRequest(kind, unix.NLM_F_DUMP)
	req.AddData(header)
	if err = socket.Socket.Send(req); err != nil {
		return err
	}
	for {
		messages, _, err := socket.Socket.Receive()
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
