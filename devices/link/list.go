package link

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Limits of what is read of a guest, which makes as many interfaces and addresses as it likes.
const (
	// maxLinks is how many interfaces [List] tells of beside those that it is asked for.
	maxLinks = 256
	// maxAddresses is how many addresses of one interface are told, maxAddressesRead how many of a namespace are looked at.
	maxAddresses, maxAddressesRead = 64, 8192
)

// List tells the interfaces of a namespace as its owner made them: first those that have one of the numbers, in that order and as
// far as they are there, then the others, up to a limit.
func List(ns *os.File, first ...int) ([]State, error) {
	list, err := Look(ns, first)
	if err != nil {
		return nil, err
	}
	asked := len(list)
	at := make(map[int]int, asked)
	for i, s := range list {
		at[s.Index] = i
	}
	err = dump(ns, unix.RTM_GETLINK, nl.NewIfInfomsg(unix.AF_UNSPEC), func(kind uint16, data []byte) bool {
		l, badErr := netlink.LinkDeserialize(nil, data)
		if kind != unix.RTM_NEWLINK || badErr != nil {
			return true
		}
		if _, known := at[l.Attrs().Index]; !known {
			at[l.Attrs().Index] = len(list)
			list = append(list, stateOf(l))
		}
		return len(list) < asked+maxLinks
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return list, listAddresses(ns, list, at, asked)
}

// listAddresses fills in addresses: of the first by asking for each, as the addresses of others are no limit to them, then of all.
func listAddresses(ns *os.File, list []State, at map[int]int, first int) error {
	for i := range min(first, len(list)) {
		if err := readAddresses(ns, list[i].Index, func(index int, p netip.Prefix) {
			if index == list[i].Index {
				list[i].add(p)
			}
		}); err != nil {
			return err
		}
	}
	if first >= len(list) {
		return nil
	}
	return readAddresses(ns, 0, func(index int, p netip.Prefix) {
		if i, ok := at[index]; ok && i >= first {
			list[i].add(p)
		}
	})
}

func (s *State) add(p netip.Prefix) {
	if len(s.Addresses) < maxAddresses {
		s.Addresses = append(s.Addresses, p)
	}
}

// readAddresses reads the addresses of an interface, of all if the number is 0, as far as the kernel can tell them apart.
func readAddresses(ns *os.File, index int, each func(index int, p netip.Prefix)) error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		header := nl.NewIfAddrmsg(family)
		header.Index = uint32(index)
		read := 0
		err := dump(ns, unix.RTM_GETADDR, header, func(kind uint16, data []byte) bool {
			if index, p, ok := parseAddress(data); ok && kind == unix.RTM_NEWADDR {
				each(index, p)
			}
			read++
			return read < maxAddressesRead
		})
		if err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
	}
	return nil
}

// parseAddress reads rtnetlink(7), RTM_NEWADDR.
func parseAddress(data []byte) (index int, p netip.Prefix, ok bool) {
	if len(data) < unix.SizeofIfAddrmsg {
		return 0, p, false
	}
	header := nl.DeserializeIfAddrmsg(data)
	attributes, err := nl.ParseRouteAttr(data[header.Len():])
	if err != nil {
		return 0, p, false
	}
	var own, local syscall.NetlinkRouteAttr
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFA_ADDRESS:
			own = a
		case unix.IFA_LOCAL:
			local = a // of a point-to-point link the other is the peer's
		}
	}
	if local.Value != nil {
		own = local
	}
	addr, ok := netip.AddrFromSlice(own.Value)
	return int(header.Index), netip.PrefixFrom(addr, int(header.Prefixlen)), ok
}
