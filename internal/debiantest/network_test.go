package debiantest_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// hostAddress is that of the host's end of the domain's network.
const hostAddress = "10.111.0.1"

// connect gives the host's end of the domain's network its address.
func (h *host) connect(t *testing.T) {
	t.Helper()
	ns, err := netns.GetFromPid(h.daemon.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	handle, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	link, err := handle.LinkByName(hostLink)
	if err != nil {
		t.Fatal(err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(hostAddress), Mask: net.CIDRMask(24, 32)}}
	if err := handle.AddrReplace(link, address); err != nil {
		t.Fatal(fmt.Errorf("address %s: %w", hostLink, err))
	}
	if err := handle.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
}
