package link_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/internal/testenv"
)

// namespace makes a network namespace of its own, with lo up.
func namespace(tb testing.TB) *os.File {
	tb.Helper()
	ns := testenv.Netns(tb)
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		tb.Fatal(err)
	}
	defer h.Close() // a socket keeps its namespace
	lo, err := h.LinkByName("lo")
	if err == nil {
		err = h.LinkSetUp(lo)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return ns
}

func handle(tb testing.TB, ns *os.File) *netlink.Handle {
	tb.Helper()
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(h.Close)
	return h
}

// bench is a host of its own with a bridge, and a guest.
type bench struct {
	*link.Host
	host, guest *os.File
	h, g        *netlink.Handle
}

func setUp(tb testing.TB) *bench {
	tb.Helper()
	testenv.Require(tb, testenv.Root)
	testenv.Residue(tb)
	b := &bench{host: namespace(tb), guest: namespace(tb)}
	b.h, b.g = handle(tb, b.host), handle(tb, b.guest)
	filtering := true
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", TxQLen: -1}, VlanFiltering: &filtering}
	if err := b.h.LinkAdd(br); err != nil {
		// Not every kernel filters.
		br.VlanFiltering = nil
		if err := b.h.LinkAdd(br); err != nil {
			tb.Fatal(err)
		}
	}
	if err := b.h.LinkSetUp(br); err != nil {
		tb.Fatal(err)
	}
	var err error
	if b.Host, err = link.Open(b.host); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	return b
}

func (b *bench) names(tb testing.TB, h *netlink.Handle) []string {
	tb.Helper()
	list, err := h.LinkList()
	if err != nil {
		tb.Fatal(err)
	}
	var names []string
	for _, l := range list {
		names = append(names, l.Attrs().Name)
	}
	slices.Sort(names)
	return names
}

func (b *bench) attach(tb testing.TB, s link.Spec) link.Made {
	tb.Helper()
	m, err := b.Attach(b.guest, s)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func mac(t *testing.T, s string) net.HardwareAddr {
	t.Helper()
	m, err := net.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func address(s string) link.Address { return link.Address{Prefix: netip.MustParsePrefix(s)} }

// TestAttachToBridge makes all of a pair: both ends are as asked, and the guest can use its own at once.
func TestAttachToBridge(t *testing.T) {
	b := setUp(t)
	m := b.attach(t, link.Spec{
		Kind: link.Bridge, Bridge: "br0", Guest: "eth0", MAC: mac(t, "52:54:00:12:34:56"), MTU: 1400, Isolated: true, Owner: "davit-test-1",
		Addresses: []link.Address{address("10.0.0.2/24"), address("fd00::2/64")},
		Routes: []link.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.0.1")},
			{To: netip.MustParsePrefix("fd01::/64"), Gateway: netip.MustParseAddr("fd00::1"), Metric: 7},
		},
	})
	if m.Host != "vnet0" || m.Guest != "eth0" || m.HostIndex == 0 || m.GuestIndex == 0 {
		t.Errorf("%+v is not what was made", m)
	}
	end, err := b.h.LinkByName("vnet0")
	if err != nil {
		t.Fatal(err)
	}
	bridge, _ := b.h.LinkByName("br0")
	a := end.Attrs()
	if a.Alias != "davit-test-1" || a.MTU != 1400 || a.MasterIndex != bridge.Attrs().Index || a.HardwareAddr.String() != "fe:54:00:12:34:56" || a.Flags&net.FlagUp == 0 {
		t.Errorf("the host end is %+v", a)
	}
	if p, protErr := b.h.LinkGetProtinfo(end); protErr != nil || !p.Isolated {
		t.Errorf("the port is %+v, %v; want an isolated one", p, protErr)
	}
	list, err := link.List(b.guest)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(s link.State) bool { return s.Name == "eth0" })
	if i < 0 {
		t.Fatalf("no eth0 in %+v", list)
	}
	addrs := slices.DeleteFunc(list[i].Addresses, func(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() })
	got := fmt.Sprint(list[i].MAC, list[i].MTU, list[i].Up, addrs)
	if want := "52:54:00:12:34:56 1400 true [10.0.0.2/24 fd00::2/64]"; got != want {
		t.Errorf("inside: %s, want %s", got, want)
	}
	routes, err := b.g.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, r := range routes {
		if r.Gw != nil {
			seen = append(seen, fmt.Sprint(r.Dst, " via ", r.Gw, " ", r.Priority))
		}
	}
	if diff := cmp.Diff([]string{"0.0.0.0/0 via 10.0.0.1 0", "fd01::/64 via fd00::1 7"}, seen); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

// TestAttachNothing leaves nothing behind when it fails, and says why.
func TestAttachNothing(t *testing.T) {
	b := setUp(t)
	b.attach(t, link.Spec{Guest: "eth0", Host: "taken"})
	hostBefore, guestBefore := b.names(t, b.h), b.names(t, b.g)
	for _, c := range []struct {
		name string
		spec link.Spec
		is   error
		want string
	}{
		{"no name", link.Spec{}, nil, "an interface needs a name"},
		{"long name", link.Spec{Guest: "abcdefghijklmnop"}, nil, "16 bytes, 15 are the limit"},
		{"slash", link.Spec{Guest: "a/b"}, nil, `"a/b" is no name of an interface`},
		{"pattern", link.Spec{Guest: "eth%d"}, nil, `"eth%d" is no name of an interface`},
		{"multicast", link.Spec{Guest: "eth1", MAC: mac(t, "01:00:5e:00:00:01")}, nil, "multicast"},
		{"no bridge", link.Spec{Kind: link.Bridge, Guest: "eth1", Bridge: "br9"}, fs.ErrNotExist, `interface "br9" does not exist`},
		{"not a bridge", link.Spec{Kind: link.Bridge, Guest: "eth1", Bridge: "lo"}, nil, `no bridge`},
		{"guest name taken", link.Spec{Guest: "eth0"}, fs.ErrExist, `name "eth0" inside is taken`},
		{"host name taken", link.Spec{Guest: "eth1", Host: "taken"}, fs.ErrExist, `"taken"`},
		{"no parent", link.Spec{Kind: link.Direct, Guest: "eth1", Parent: "eth9"}, fs.ErrNotExist, `interface "eth9" does not exist`},
		{"no way to the gateway", link.Spec{Guest: "eth1", Routes: []link.Route{
			{To: netip.MustParsePrefix("10.9.0.0/16"), Gateway: netip.MustParseAddr("10.8.0.1")},
		}}, nil, "add route to 10.9.0.0/16"},
		{"address twice", link.Spec{Guest: "eth1", Addresses: []link.Address{address("10.0.0.2/24"), address("10.0.0.2/24")}}, fs.ErrExist, "10.0.0.2/24"},
		{"no average", link.Spec{Guest: "eth1", Bandwidth: link.Bandwidth{Inbound: link.Limit{Peak: 5}}}, nil, "no average"},
		{"peak below", link.Spec{Guest: "eth1", Bandwidth: link.Bandwidth{Outbound: link.Limit{Average: 9, Peak: 5}}}, nil, "below the average"},
		{"no port", link.Spec{Guest: "eth1", Isolated: true}, nil, "no port of a bridge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.Attach(b.guest, c.spec)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if diff := cmp.Diff(hostBefore, b.names(t, b.h)); diff != "" {
		t.Errorf("left on the host (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(guestBefore, b.names(t, b.g)); diff != "" {
		t.Errorf("left inside (-before +after):\n%s", diff)
	}
}

// TestNameOfAFormerRun takes a name back from what its owner had before, and from nobody else.
func TestNameOfAFormerRun(t *testing.T) {
	b := setUp(t)
	free := link.Spec{Guest: "lan0", Host: "free0", Owner: "davit-former-1"}
	former, err := b.Attach(b.guest, free)
	if err != nil {
		t.Fatal(err)
	}
	other := link.Spec{Guest: "lan1", Host: "free0", Owner: "davit-former-2"}
	if _, err = b.Attach(b.guest, other); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another owner got the name: %v", err)
	}
	free.Guest = "lan1"
	made, err := b.Attach(b.guest, free)
	if err != nil || made.Host != "free0" || made.HostIndex == former.HostIndex {
		t.Fatalf("made %+v after %+v, %v", made, former, err)
	}
	if l, found := b.h.LinkByName("free0"); found != nil || l.Attrs().Index != made.HostIndex {
		t.Errorf("free0 is %+v, %v; want number %d", l, found, made.HostIndex)
	}
}

// TestNamesOfHostEnds makes up names that are free, whoever has taken the others.
func TestNamesOfHostEnds(t *testing.T) {
	b := setUp(t)
	b.attach(t, link.Spec{Guest: "a", Host: "vnet1"})
	for i, want := range []string{"vnet0", "vnet2", "vnet3"} {
		if m := b.attach(t, link.Spec{Guest: fmt.Sprintf("eth%d", i)}); m.Host != want {
			t.Errorf("%d: host end %q, want %q", i, m.Host, want)
		}
	}
}

// TestEndOfGuest takes the host end along with the guest's namespace.
func TestEndOfGuest(t *testing.T) {
	b := setUp(t)
	limit := link.Limit{Average: 1 << 20}
	m := b.attach(t, link.Spec{Guest: "eth0", Owner: "davit-test-1", Bandwidth: link.Bandwidth{Outbound: limit}})
	b.g.Close()
	if err := b.guest.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(testenv.Scale(2 * time.Minute)); slices.Contains(b.names(t, b.h), m.Host); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the host end outlives the guest's namespace")
		}
	}
	if err := b.Forget(m); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"br0", "lo"}, b.names(t, b.h)); diff != "" {
		t.Errorf("left on the host (-want +got):\n%s", diff)
	}
}

// TestDetach removes one interface of a guest that runs on, and may be asked again.
func TestDetach(t *testing.T) {
	b := setUp(t)
	b.attach(t, link.Spec{Guest: "eth0"})
	m := b.attach(t, link.Spec{Guest: "eth1", Bandwidth: link.Bandwidth{Outbound: link.Limit{Average: 1 << 20}}})
	for range 2 {
		if err := b.Detach(b.guest, m); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"br0", "lo", "vnet0"}, b.names(t, b.h)); diff != "" {
		t.Errorf("on the host (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"eth0", "lo"}, b.names(t, b.g)); diff != "" {
		t.Errorf("inside (-want +got):\n%s", diff)
	}
}

const (
	keptID = "5f9c6d2e-9d6c-4a6b-8f1e-0c1d2e3f4a5b"
	lostID = "6f9c6d2e-9d6c-4a6b-8f1e-0c1d2e3f4a5b"
)

// TestSweep removes what an instance has forgotten, and nothing of others.
func TestSweep(t *testing.T) {
	b := setUp(t)
	limit := link.Bandwidth{Outbound: link.Limit{Average: 1 << 20}}
	kept := b.attach(t, link.Spec{Guest: "a", Owner: "davit-i1-" + keptID})
	b.attach(t, link.Spec{Guest: "b", Owner: "davit-i1-" + lostID, Bandwidth: limit})
	other := b.attach(t, link.Spec{Guest: "c", Owner: "davit-i2-" + lostID, Bandwidth: limit})
	// Half made ones of the same three.
	b.halfMade(t, "davit-i1-"+keptID, "x")
	b.halfMade(t, "davit-i1-"+lostID, "y")
	b.halfMade(t, "davit-i2-"+lostID, "z")
	if err := b.Sweep("davit-i1-", []string{"davit-i1-" + keptID}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"br0", fmt.Sprintf("dvifb%d", other.HostIndex), "lo", kept.Host, other.Host, "halfx", "halfz",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, b.names(t, b.h)); diff != "" {
		t.Errorf("on the host (-want +got):\n%s", diff)
	}
}

// halfMade leaves a pair as somebody does who is killed before he can mark it.
func (b *bench) halfMade(tb testing.TB, owner, guest string) {
	tb.Helper()
	l := netlink.NewVeth(netlink.LinkAttrs{Name: "half" + guest, Group: link.MakingGroup(owner), TxQLen: -1})
	l.PeerName, l.PeerNamespace = guest, netlink.NsFd(b.guest.Fd())
	if err := b.h.LinkAdd(l); err != nil {
		tb.Fatal(err)
	}
}

// TestPrune removes of an owner what is not kept, and what was left half made.
func TestPrune(t *testing.T) {
	b := setUp(t)
	owner := "davit-i1-" + keptID
	kept := b.attach(t, link.Spec{Guest: "a", Owner: owner})
	b.attach(t, link.Spec{Guest: "b", Owner: owner})
	b.halfMade(t, owner, "c")
	if err := b.Prune(owner, []link.Made{kept}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"br0", "lo", kept.Host}, b.names(t, b.h)); diff != "" {
		t.Errorf("on the host (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "lo"}, b.names(t, b.g)); diff != "" {
		t.Errorf("inside (-want +got):\n%s", diff)
	}
}

// TestDirect puts a macvlan on an interface of the host in each mode.
func TestDirect(t *testing.T) {
	for mode, want := range map[link.Mode]netlink.MacvlanMode{
		link.VEPA: netlink.MACVLAN_MODE_VEPA, link.MacvlanBridge: netlink.MACVLAN_MODE_BRIDGE,
		link.Private: netlink.MACVLAN_MODE_PRIVATE, link.Passthrough: netlink.MACVLAN_MODE_PASSTHRU,
	} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			b := setUp(t)
			parent := b.attach(t, link.Spec{Guest: "peer", Host: "parent0"})
			m, err := b.Attach(b.guest, link.Spec{
				Kind: link.Direct, Parent: parent.Host, Mode: mode, Guest: "eth0", MAC: mac(t, "52:54:00:12:34:57"),
				Addresses: []link.Address{address("10.1.0.2/24")},
			})
			if err != nil {
				t.Fatal(err)
			}
			l, err := b.g.LinkByName("eth0")
			if err != nil {
				t.Fatal(err)
			}
			v, ok := l.(*netlink.Macvlan)
			if !ok || v.Mode != want || v.Attrs().HardwareAddr.String() != "52:54:00:12:34:57" {
				t.Errorf("inside is %+v, want mode %v", l, want)
			}
			if _, err := b.Counters(b.guest, m); err != nil {
				t.Error(err)
			}
			if err := b.Detach(b.guest, m); err != nil {
				t.Error(err)
			}
			if slices.Contains(b.names(t, b.g), "eth0") {
				t.Error("it is still there")
			}
		})
	}
}

// TestIPVLAN puts two ipvlans on an interface of the host: they have its address, and reach each other.
func TestIPVLAN(t *testing.T) {
	b := setUp(t)
	parent := b.attach(t, link.Spec{Guest: "peer", Host: "parent0"})
	spec := link.Spec{
		Kind: link.Direct, Parent: parent.Host, Mode: link.MacvlanBridge, IPVLAN: true, Guest: "eth0",
		Addresses: []link.Address{address("10.1.0.2/24")},
	}
	m, err := b.Attach(b.guest, spec)
	if errors.Is(err, unix.EOPNOTSUPP) {
		if !strings.Contains(err.Error(), "make ipvlan on \"parent0\"") || slices.Contains(b.names(t, b.g), "eth0") {
			t.Errorf("a kernel without ipvlan: %v", err)
		}
		t.Skip("needs \"ipvlan\": this kernel has none")
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.g.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	below, err := b.h.LinkByName("parent0")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := l.(*netlink.IPVlan); !ok || v.Mode != netlink.IPVLAN_MODE_L2 ||
		v.Attrs().HardwareAddr.String() != below.Attrs().HardwareAddr.String() {
		t.Errorf("inside is %+v", l)
	}
	second := spec
	second.Guest, second.Addresses = "eth1", []link.Address{address("10.1.0.3/24")}
	if _, err := b.Attach(b.guest, second); err != nil {
		t.Errorf("a second one: %v", err)
	}
	if err := b.Change(b.guest, m, &spec, spec); err != nil {
		t.Error(err)
	}
	if _, err := b.Counters(b.guest, m); err != nil {
		t.Error(err)
	}
	if err := b.Detach(b.guest, m); err != nil {
		t.Error(err)
	}
	if err := b.Discard(b.guest, second); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"lo", "peer"}, b.names(t, b.g)); diff != "" {
		t.Errorf("left inside (-want +got):\n%s", diff)
	}
}

// What an ipvlan cannot have is refused before anything is made.
func TestIPVLANRefused(t *testing.T) {
	b := setUp(t)
	for name, s := range map[string]link.Spec{
		"address": {Kind: link.Direct, Parent: "lo", Mode: link.MacvlanBridge, IPVLAN: true, Guest: "eth0", MAC: mac(t, "52:54:00:12:34:57")},
		"mode":    {Kind: link.Direct, Parent: "lo", Mode: link.Private, IPVLAN: true, Guest: "eth0"},
		"pair":    {Kind: link.Ethernet, Mode: link.MacvlanBridge, IPVLAN: true, Guest: "eth0"},
	} {
		if _, err := b.Attach(b.guest, s); err == nil || !strings.Contains(err.Error(), "is an ipvlan, which is") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVLAN puts a port into VLANs, and out of the bridge's own.
func TestVLAN(t *testing.T) {
	b := setUp(t)
	br, _ := b.h.LinkByName("br0")
	if bridge, ok := br.(*netlink.Bridge); !ok || bridge.VlanFiltering == nil || !*bridge.VlanFiltering {
		_, err := b.Attach(b.guest, link.Spec{Kind: link.Bridge, Bridge: "br0", Guest: "eth0", VLAN: link.VLAN{Native: 42}})
		if err == nil || !strings.Contains(err.Error(), "does not filter VLANs") {
			t.Fatalf("got %v, want that the bridge does not filter", err)
		}
		t.Skip("this kernel's bridges do not filter VLANs")
	}
	m := b.attach(t, link.Spec{Kind: link.Bridge, Bridge: "br0", Guest: "eth0", VLAN: link.VLAN{Native: 42, Tagged: []uint16{43, 44}}})
	all, err := b.h.BridgeVlanList()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range all[int32(m.HostIndex)] {
		got = append(got, fmt.Sprintf("%d native=%v untag=%v", v.Vid, v.PortVID(), v.EngressUntag()))
	}
	if diff := cmp.Diff([]string{"42 native=true untag=true", "43 native=false untag=false", "44 native=false untag=false"}, got); diff != "" {
		t.Errorf("VLANs of the port (-want +got):\n%s", diff)
	}
}

// TestLend gives a guest an interface of the host and takes it back under its own name, whatever the guest did to it.
func TestLend(t *testing.T) {
	for name, spoil := range map[string]func(*bench, netlink.Link) error{
		"as it was": func(*bench, netlink.Link) error { return nil },
		"renamed": func(b *bench, l netlink.Link) error {
			return errors.Join(b.g.LinkSetDown(l), b.g.LinkSetName(l, "mine"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setUp(t)
			d := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "phys0", TxQLen: -1}, PeerName: "cable0"}
			if err := errors.Join(b.h.LinkAdd(d), b.h.LinkSetUp(d)); err != nil {
				t.Fatal(err)
			}
			// Both names are taken where the interface goes.
			b.attach(t, link.Spec{Guest: "phys0", Host: "eth0"})
			loan, err := b.Offer("phys0", "eth0")
			if err != nil {
				t.Fatal(err)
			}
			loan, err = b.Lend(b.guest, loan, link.Spec{
				Addresses: []link.Address{address("10.2.0.2/24")},
				Routes:    []link.Route{{To: netip.MustParsePrefix("10.3.0.0/16"), Gateway: netip.MustParseAddr("10.2.0.1")}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(b.names(t, b.h), "phys0") {
				t.Error("the host still has it")
			}
			l, err := b.g.LinkByName("eth0")
			if err != nil {
				t.Fatal(err)
			}
			addrs, err := b.g.AddrList(l, netlink.FAMILY_V4)
			if err != nil || len(addrs) != 1 || addrs[0].IPNet.String() != "10.2.0.2/24" {
				t.Errorf("addresses inside: %v, %v", addrs, err)
			}
			if err = spoil(b, l); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err = b.GiveBack(b.guest, loan); err != nil {
					t.Fatal(err)
				}
			}
			back, err := b.h.LinkByName("phys0")
			if err != nil || back.Attrs().Index != loan.Index || back.Attrs().Flags&net.FlagUp == 0 {
				t.Errorf("what came back is %+v, %v", back, err)
			}
		})
	}
}

// TestLendNothing leaves the interface at home when it cannot go.
func TestLendNothing(t *testing.T) {
	b := setUp(t)
	b.attach(t, link.Spec{Guest: "eth0", Host: "phys0"})
	port := b.attach(t, link.Spec{Guest: "eth1", Kind: link.Bridge, Bridge: "br0"})
	before := b.names(t, b.h)
	for _, c := range []struct {
		name, dev string
		spec      link.Spec
		want      string
	}{
		{"not there", "phys9", link.Spec{Guest: "x"}, `interface "phys9" does not exist`},
		{"loopback", "lo", link.Spec{Guest: "x"}, "its own"},
		{"a port", port.Host, link.Spec{Guest: "x"}, "port of another"},
		{"name taken", "phys0", link.Spec{Guest: "eth1"}, `name "eth1" inside is taken`},
		{"no route", "phys0", link.Spec{Guest: "x", Routes: []link.Route{{
			To: netip.MustParsePrefix("10.9.0.0/16"), Gateway: netip.MustParseAddr("10.8.0.1"),
		}}}, "add route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			loan, err := b.Offer(c.dev, c.spec.Guest)
			if err == nil {
				_, err = b.Lend(b.guest, loan, c.spec)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if diff := cmp.Diff(before, b.names(t, b.h)); diff != "" {
		t.Errorf("on the host (-before +after):\n%s", diff)
	}
}
