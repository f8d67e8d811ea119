package link_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/davitd/davit/devices/link"
)

// secondBridge makes br1, which filters VLANs where this kernel's bridges do.
func (b *bench) secondBridge(tb testing.TB) {
	tb.Helper()
	first, err := b.h.LinkByName("br0")
	if err != nil {
		tb.Fatal(err)
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br1", TxQLen: -1}}
	if bridge, ok := first.(*netlink.Bridge); ok && b.filters(tb) {
		br.VlanFiltering = bridge.VlanFiltering
	}
	if err := errors.Join(b.h.LinkAdd(br), b.h.LinkSetUp(br)); err != nil {
		tb.Fatal(err)
	}
}

// filters tells whether this kernel's bridges filter VLANs.
func (b *bench) filters(tb testing.TB) bool {
	tb.Helper()
	l, err := b.h.LinkByName("br0")
	if err != nil {
		tb.Fatal(err)
	}
	bridge, ok := l.(*netlink.Bridge)
	return ok && bridge.VlanFiltering != nil && *bridge.VlanFiltering
}

// port tells what a host end is: its bridge, isolation, VLANs and whether it is up.
func (b *bench) port(tb testing.TB, m link.Made) string {
	tb.Helper()
	end, err := b.h.LinkByIndex(m.HostIndex)
	if err != nil {
		tb.Fatal(err)
	}
	master := "none"
	if index := end.Attrs().MasterIndex; index != 0 {
		l, err := b.h.LinkByIndex(index)
		if err != nil {
			tb.Fatal(err)
		}
		master = l.Attrs().Name
	}
	isolated := false
	if p, err := b.h.LinkGetProtinfo(end); err == nil {
		isolated = p.Isolated
	}
	var vlans []string
	if all, err := b.h.BridgeVlanList(); err == nil && b.filters(tb) {
		for _, v := range all[int32(m.HostIndex)] {
			vlans = append(vlans, fmt.Sprint(v.Vid))
		}
	}
	return fmt.Sprint(master, " isolated=", isolated, " vlans=", vlans, " up=", end.Attrs().Flags&net.FlagUp != 0)
}

// TestChange changes all that can be changed of a pair that is there, back and forth, from what it was and from what is not known.
func TestChange(t *testing.T) {
	b := setUp(t)
	b.secondBridge(t)
	spec := link.Spec{Kind: link.Bridge, Bridge: "br0", Guest: "eth0", Owner: "davit-test-1", MAC: mac(t, "52:54:00:00:00:01"), Addresses: []link.Address{address("10.0.0.2/24")}}
	m := b.attach(t, spec)
	moved, down, isolated, limited, tagged := spec, spec, spec, spec, spec
	moved.Bridge, down.Down, isolated.Isolated = "br1", true, true
	limited.Bandwidth = link.Bandwidth{Inbound: link.Limit{Average: 1 << 20}, Outbound: link.Limit{Average: 1 << 20}}
	tagged.VLAN = link.VLAN{Native: 42, Tagged: []uint16{43}}
	steps := []link.Spec{moved, spec, down, isolated, limited, spec, isolated, moved, down, spec}
	if b.filters(t) {
		steps = append(steps, tagged, isolated, tagged, moved, spec)
	}
	before := b.port(t, m)
	from := spec
	for i, to := range steps {
		known := &from
		if i%2 == 1 {
			known = nil
		}
		if err := b.Change(b.guest, m, known, to); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		vlans := "[]"
		if b.filters(t) {
			if vlans = "[1]"; !to.VLAN.IsZero() {
				vlans = "[42 43]"
			}
		}
		want := fmt.Sprint(to.Bridge, " isolated=", to.Isolated, " vlans=", vlans, " up=", !to.Down)
		if got := b.port(t, m); got != want {
			t.Errorf("step %d: %s, want %s", i, got, want)
		}
		if has := slices.Contains(b.names(t, b.h), fmt.Sprintf("dvifb%d", m.HostIndex)); has != (to.Bandwidth != link.Bandwidth{}) {
			t.Errorf("step %d: shaped %v", i, has)
		}
		from = to
	}
	if after := b.port(t, m); after != before {
		t.Errorf("in the end %s, at first %s", after, before)
	}
	missing := spec
	missing.Bridge = "br9"
	if err := b.Change(b.guest, m, &spec, missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "br9") {
		t.Errorf("to a bridge that is not there: %v", err)
	}
	if after := b.port(t, m); after != before {
		t.Errorf("after a refusal %s, before %s", after, before)
	}
	if err := b.Detach(b.guest, m); err != nil {
		t.Fatal(err)
	}
	if err := b.Change(b.guest, m, &spec, down); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is gone: %v", err)
	}
}

// TestPulledCable: a link that is down is so for the guest as well, which cannot change it; what the guest has set stays.
func TestPulledCable(t *testing.T) {
	b := setUp(t)
	spec := link.Spec{
		Kind: link.Bridge, Bridge: "br0", Guest: "eth0", Down: true, Addresses: []link.Address{address("10.0.0.2/24"), address("fd00::2/64")},
		Routes: []link.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.0.1")},
			{To: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fd00::1")},
		},
	}
	m := b.attach(t, spec)
	up := spec
	up.Down = false
	from := spec
	for _, to := range []link.Spec{spec, up, spec, up} {
		if err := b.Change(b.guest, m, &from, to); err != nil {
			t.Fatal(err)
		}
		from = to
		l, err := b.g.LinkByIndex(m.GuestIndex)
		if err == nil {
			err = b.g.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		list, err := link.Look(b.guest, []int{m.GuestIndex})
		if err != nil || len(list) != 1 || list[0].Up == to.Down {
			t.Errorf("inside %+v, %v; want down: %v", list, err, to.Down)
		}
		routes, err := b.g.RouteList(l, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(slices.DeleteFunc(routes, func(r netlink.Route) bool { return r.Gw == nil })); n != 2 {
			t.Errorf("%d routes by gateways inside, want 2", n)
		}
	}
}

// TestDirectUpAgain gives a direct interface what the kernel takes from one that is down.
func TestDirectUpAgain(t *testing.T) {
	b := setUp(t)
	b.attach(t, link.Spec{Guest: "peer", Host: "parent0"})
	spec := link.Spec{
		Kind: link.Direct, Parent: "parent0", Mode: link.MacvlanBridge, Guest: "eth0", Down: true,
		Addresses: []link.Address{address("10.1.0.2/24"), address("fd01::2/64")},
		Routes:    []link.Route{{To: netip.MustParsePrefix("10.3.0.0/16"), Gateway: netip.MustParseAddr("10.1.0.1")}},
	}
	m := b.attach(t, spec)
	up := spec
	up.Down = false
	for range 2 {
		for _, step := range [][2]link.Spec{{spec, up}, {up, spec}} {
			if err := b.Change(b.guest, m, &step[0], step[1]); err != nil {
				t.Fatal(err)
			}
			list, err := link.List(b.guest, m.GuestIndex)
			if err != nil || list[0].Index != m.GuestIndex {
				t.Fatalf("%+v, %v", list, err)
			}
			l, err := b.g.LinkByIndex(m.GuestIndex)
			if err != nil || l.Attrs().Flags&net.FlagUp != 0 == step[1].Down {
				t.Errorf("%+v, %v; want down: %v", l, err, step[1].Down)
			}
			if step[1].Down {
				continue
			}
			addresses := slices.DeleteFunc(list[0].Addresses, func(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() })
			if diff := cmp.Diff("[10.1.0.2/24 fd01::2/64]", fmt.Sprint(addresses)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		}
	}
}

// TestFixed names what cannot be changed.
func TestFixed(t *testing.T) {
	spec := link.Spec{Kind: link.Bridge, Bridge: "br0", Guest: "eth0", HostHint: "vnet3"}
	for want, change := range map[string]func(*link.Spec){
		"":                 func(s *link.Spec) { s.Bridge, s.Down, s.Isolated, s.Host = "br1", true, true, "vnet3" },
		"type":             func(s *link.Spec) { s.Kind = link.Ethernet },
		"name on the host": func(s *link.Spec) { s.Host = "other" },
		"name inside":      func(s *link.Spec) { s.Guest = "wan" },
		"mtu":              func(s *link.Spec) { s.MTU = 1400 },
		"addresses":        func(s *link.Spec) { s.Addresses = []link.Address{address("10.0.0.2/24")} },
		"routes":           func(s *link.Spec) { s.Routes = []link.Route{{}} },
		"source":           func(s *link.Spec) { s.Parent = "eth0" },
		"hardware address": func(s *link.Spec) { s.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1} },
	} {
		to := spec
		change(&to)
		if got := spec.Fixed(to); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSpecAsText keeps all of a spec.
func TestSpecAsText(t *testing.T) {
	spec := link.Spec{
		Kind: link.Direct, Guest: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, VLAN: link.VLAN{Native: 3, Tagged: []uint16{4}},
		Addresses: []link.Address{address("fd00::1/64"), {Prefix: netip.MustParsePrefix("10.0.0.1/32"), Peer: netip.MustParseAddr("10.0.0.2")}},
		Routes:    []link.Route{{To: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fd00::2"), Metric: 5}},
		Bandwidth: link.Bandwidth{Outbound: link.Limit{Average: 5}}, Mode: link.Passthrough,
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var back link.Spec
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fmt.Sprintf("%+v", spec), fmt.Sprintf("%+v", back)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", text, diff)
	}
}

// TestListIsBounded: a guest with thousands of interfaces and addresses is told of in part, and its own interface always.
func TestListIsBounded(t *testing.T) {
	b := setUp(t)
	for i := range 400 {
		l := &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("many%d", i), TxQLen: -1}}
		if err := b.g.LinkAdd(l); err != nil {
			t.Fatal(err)
		}
	}
	m := b.attach(t, link.Spec{Guest: "eth0", Addresses: []link.Address{address("10.0.0.2/24")}})
	l, err := b.g.LinkByIndex(m.GuestIndex)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		addr, addErr := netlink.ParseAddr(fmt.Sprintf("10.0.1.%d/32", i))
		if addErr == nil {
			addErr = b.g.AddrAdd(l, addr)
		}
		if addErr != nil {
			t.Fatal(addErr)
		}
	}
	list, err := link.List(b.guest, m.GuestIndex, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 257 || list[0].Name != "eth0" || len(list[0].Addresses) != 64 || !slices.Contains(list[0].Addresses, netip.MustParsePrefix("10.0.0.2/24")) {
		t.Errorf("%d interfaces, the first %+v", len(list), list[0])
	}
}

// TestStanding tells whether an interface is there, whatever the guest did to its end.
func TestStanding(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(*testing.T, *bench, netlink.Link) error
		stands  bool
		drifted bool
	}{
		"as it was": {func(*testing.T, *bench, netlink.Link) error { return nil }, true, false},
		"renamed": {func(_ *testing.T, b *bench, l netlink.Link) error {
			return errors.Join(b.g.LinkSetDown(l), b.g.LinkSetName(l, "mine"))
		}, true, false},
		"elsewhere": {func(t *testing.T, b *bench, l netlink.Link) error {
			t.Helper()
			return b.g.LinkSetNsFd(l, int(namespace(t).Fd()))
		}, true, false},
		"removed": {func(_ *testing.T, b *bench, l netlink.Link) error { return b.g.LinkDel(l) }, false, false},
		"no bridge": {func(t *testing.T, b *bench, _ netlink.Link) error {
			t.Helper()
			b.secondBridge(t)
			end, err := b.h.LinkByName("vnet0")
			if err == nil {
				err = b.h.LinkSetNoMaster(end)
			}
			return err
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := setUp(t)
			spec := link.Spec{Kind: link.Bridge, Bridge: "br0", Guest: "eth0", Owner: "davit-i1-" + keptID}
			m := b.attach(t, spec)
			l, err := b.g.LinkByIndex(m.GuestIndex)
			if err == nil {
				err = c.spoil(t, b, l)
			}
			if err != nil {
				t.Fatal(err)
			}
			stands, drifted, err := b.Standing(b.guest, m, spec)
			if err != nil || stands != c.stands || drifted != c.drifted {
				t.Errorf("standing %v, drifted %v, %v; want %v, %v", stands, drifted, err, c.stands, c.drifted)
			}
			if err := b.Detach(b.guest, m); err != nil {
				t.Errorf("detach: %v", err)
			}
			if slices.Contains(b.names(t, b.h), m.Host) {
				t.Error("the host end is left")
			}
		})
	}
}
