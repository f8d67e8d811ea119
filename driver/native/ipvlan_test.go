package native_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// An ipvlan has the hardware address of its source. It is there at the start, when it is attached, and after a reboot of the guest; it
// goes when it is detached, and with the domain. Two of one source are told apart by their IP addresses.
func TestIPVLAN(t *testing.T) {
	h := newNetworkHost(t, "11fe0070")
	source := h.ipvlanSource(t)
	d := closing(t, h.open(t))
	length := uint32(24)
	ipvlan := func(alias, guest, address string) *davitv1.Interface {
		return &davitv1.Interface{
			Alias: alias, Type: davitv1.InterfaceType_INTERFACE_TYPE_DIRECT, SourceDev: "parent0", SourceMode: davitv1.DirectMode_DIRECT_MODE_BRIDGE,
			Ipvlan: davitv1.IpvlanMode_IPVLAN_MODE_L2, GuestDev: guest, Ip: []*davitv1.IpAddress{{Address: address, Prefix: &length}},
		}
	}
	first, second := ipvlan("net0", "eth0", "10.7.0.2"), ipvlan("net1", "eth1", "10.7.0.3")
	words := func(alias, guest, address string) string {
		return strings.Join([]string{alias, "direct parent0", guest, source.Attrs().HardwareAddr.String(), "1500 up=true", address}, " ")
	}
	one, two := words("net0", "eth0", "10.7.0.2/24"), words("net1", "eth1", "10.7.0.3/24")
	spec := h.spec(rebootsWhenTold, restarts, withInterfaces(first))
	i := start(t, d, spec)
	at := booted(t, i, 0, "up")
	expect(t, "at the start", i, one)
	def := changed(spec.Definition, with(second))
	update(t, i, def)
	expect(t, "attached", i, one, two)
	at = nextBoot(t, i, at)
	expect(t, "after a reboot", i, one, two)
	def = changed(def, without("net0"))
	update(t, i, def)
	expect(t, "detached", i, two)
	nextBoot(t, i, at)
	expect(t, "detached, after a reboot", i, two)
	kill(t, i)
	for _, name := range h.links(t) {
		if name != "parent0" && name != "parent1" {
			t.Errorf("on the host %q", name)
		}
	}
}

// ipvlanSource makes an interface of the host that ipvlans are stacked on; it skips where the kernel has none.
func (h *networkHost) ipvlanSource(t *testing.T) netlink.Link {
	t.Helper()
	if err := h.h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "parent0", TxQLen: -1}, PeerName: "parent1"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"parent1", "parent0"} {
		l, err := h.h.LinkByName(name)
		if err == nil {
			err = h.h.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	source, err := h.h.LinkByName("parent0")
	if err != nil {
		t.Fatal(err)
	}
	probe := &netlink.IPVlan{LinkAttrs: netlink.LinkAttrs{Name: "probe", ParentIndex: source.Attrs().Index, TxQLen: -1}, Mode: netlink.IPVLAN_MODE_L2}
	err = h.h.LinkAdd(probe)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("needs \"ipvlan\": this kernel has none")
	}
	if err == nil {
		err = h.h.LinkDel(probe)
	}
	if err != nil {
		t.Fatal(err)
	}
	return source
}
