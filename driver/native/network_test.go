package native_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// networkHost is a host whose network is a namespace of the test's own, with a bridge in it.
type networkHost struct {
	*host
	h *netlink.Handle
}

func newNetworkHost(tb testing.TB, instance string) *networkHost {
	tb.Helper()
	h := newHost(tb, instance)
	ns := testenv.Netns(tb)
	handle, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(handle.Close)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", TxQLen: -1}}
	if err := errors.Join(handle.LinkAdd(bridge), handle.LinkSetUp(bridge)); err != nil {
		tb.Fatal(err)
	}
	h.options.Network = ns
	return &networkHost{h, handle}
}

// links are the interfaces of the host but for lo and the bridge.
func (h *networkHost) links(t *testing.T) []string {
	t.Helper()
	list, err := h.h.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range list {
		if name := l.Attrs().Name; name != "lo" && name != "br0" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// settle waits until the kernel has taken what goes with the network namespaces of guests.
func (h *networkHost) settle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(testenv.Scale(2 * time.Minute)); len(h.links(t)) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("left on the host: %q", h.links(t))
		}
	}
}

// inside tells the interfaces of a guest, but for lo.
func inside(t *testing.T, i driver.Instance) []string {
	t.Helper()
	st, err := i.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", st.InitPID))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	list, err := link.List(ns)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range list {
		if s.Name == "lo" || len(s.MAC) == 0 {
			continue
		}
		var addresses []string
		for _, a := range s.Addresses {
			if !a.Addr().IsLinkLocalUnicast() {
				addresses = append(addresses, a.String())
			}
		}
		out = append(out, fmt.Sprintf("%s %s %d %v %s", s.Name, s.MAC, s.MTU, s.Up, strings.Join(addresses, " ")))
	}
	return out
}

func withInterfaces(list ...*davitv1.Interface) func(*davitv1.Domain) {
	return func(def *davitv1.Domain) {
		def.Devices.Interface = list
		domain.Normalize(def)
	}
}

func bridged(mac, address string) *davitv1.Interface {
	length := uint32(24)
	return &davitv1.Interface{
		Type: davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, SourceBridge: "br0", Mac: mac,
		Ip: []*davitv1.IpAddress{{Address: address, Prefix: &length}},
	}
}

// A domain has the interfaces of its definition when its init runs, and the host has their other ends, marked as the domain's.
// They go with it.
func TestInterfaces(t *testing.T) {
	h := newNetworkHost(t, "11fe0051")
	d := closing(t, h.open(t))
	limited := bridged("52:54:00:00:00:01", "10.0.0.2")
	limited.Bandwidth = &davitv1.Bandwidth{Outbound: &davitv1.BandwidthLimit{Average: 1024}}
	free := &davitv1.Interface{
		Type: davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET, Mac: "52:54:00:00:00:02", TargetDev: "free0", GuestDev: "wan", Mtu: 1400,
		LinkState: davitv1.LinkState_LINK_STATE_DOWN,
	}
	spec := h.spec("cat /sys/class/net/eth0/address >/dev/console; "+idle, withInterfaces(limited, free))
	i := start(t, d, spec)
	want := []string{"eth0 52:54:00:00:00:01 1500 true 10.0.0.2/24", "wan 52:54:00:00:00:02 1400 false "}
	if diff := cmp.Diff(want, inside(t, i)); diff != "" {
		t.Errorf("inside (-want +got):\n%s", diff)
	}
	end, err := h.h.LinkByName("vnet0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{fmt.Sprintf("dvifb%d", end.Attrs().Index), "free0", "vnet0"}, h.links(t)); diff != "" {
		t.Errorf("on the host (-want +got):\n%s", diff)
	}
	if got, want := end.Attrs().Alias, "davit-11fe0051-"+spec.UUID; got != want {
		t.Errorf("the host end is marked %q, want %q", got, want)
	}
	if got := output(t, i, "cat", "/sys/class/net/eth0/address"); got != "52:54:00:00:00:01\n" {
		t.Errorf("the guest sees %q", got)
	}
	kill(t, i)
	h.settle(t)
}

// Interfaces without a name inside get the first that is free.
func TestNamesOfInterfaces(t *testing.T) {
	for _, c := range []struct{ given, want []string }{
		{[]string{"", "", ""}, []string{"eth0", "eth1", "eth2"}},
		{[]string{"eth1", "", ""}, []string{"eth1", "eth0", "eth2"}},
		{[]string{"", "eth0", "wan", ""}, []string{"eth1", "eth0", "wan", "eth2"}},
	} {
		var list []*davitv1.Interface
		for _, name := range c.given {
			list = append(list, &davitv1.Interface{GuestDev: name})
		}
		if got := native.GuestNames(&davitv1.Devices{Interface: list}, nil); !slices.Equal(got, c.want) {
			t.Errorf("%q get %q, want %q", c.given, got, c.want)
		}
	}
}

// A guest that reboots has its interfaces again, also when davitd was away meanwhile: the reboot waits for it.
func TestInterfacesAfterReboot(t *testing.T) {
	h := newNetworkHost(t, "11fe0052")
	d := h.open(t)
	spec := h.spec("sleep 1; exec /guest/reboot", withInterfaces(bridged("52:54:00:00:00:03", "10.0.0.3")), func(def *davitv1.Domain) {
		def.OnReboot = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	})
	start(t, d, spec)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	// Its host end goes with the boot that it belongs to, and none comes while nobody is there to make it.
	h.settle(t)
	d = closing(t, h.open(t))
	i, err := d.Recover(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := i.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for restarts := 0; restarts < 2; {
		select {
		case ev := <-ch:
			switch k := ev.Kind.(type) {
			case driver.Restarted:
				restarts++
				if got := inside(t, i); !slices.Equal(got, []string{"eth0 52:54:00:00:00:03 1500 true 10.0.0.3/24"}) {
					t.Errorf("after restart %d: %q", k.Count, got)
				}
			case driver.Stopped:
				t.Fatalf("stopped: %v", k.Err)
			}
		case <-time.After(testenv.Scale(time.Minute)):
			t.Fatal("no restart")
		}
	}
	kill(t, i)
	h.settle(t)
}

// A start whose interfaces cannot be made says why and leaves nothing; that something will be missing is told before.
func TestInterfacesThatCannotBe(t *testing.T) {
	h := newNetworkHost(t, "11fe0053")
	d := closing(t, h.open(t))
	missing := bridged("52:54:00:00:00:04", "10.0.0.4")
	missing.SourceBridge = "br9"
	for name, c := range map[string]struct {
		list []*davitv1.Interface
		want string
	}{
		"no bridge":    {[]*davitv1.Interface{bridged("52:54:00:00:00:05", "10.0.0.5"), missing}, `interface "br9" does not exist`},
		"no way there": {[]*davitv1.Interface{{Type: davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET, Route: []*davitv1.Route{{Address: "10.9.0.0", Gateway: "10.8.0.1"}}}}, "add route to 10.9.0.0/8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.Start(t.Context(), h.spec(idle, withInterfaces(c.list...)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			h.settle(t)
			h.empty(t)
		})
	}
	warnings, err := d.Check(t.Context(), h.spec(idle, withInterfaces(missing)).Definition)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(warnings, func(w *davitv1.Warning) bool {
		return w.GetXmlPath() == "/domain/devices/interface[1]/source/@bridge" && strings.Contains(w.GetMessage(), `"br9" does not exist`)
	}) {
		t.Errorf("warnings %v", warnings)
	}
	network := &davitv1.Interface{Type: davitv1.InterfaceType_INTERFACE_TYPE_NETWORK, SourceNetwork: "default"}
	if _, err := d.Check(t.Context(), h.spec(idle, withInterfaces(network)).Definition); err == nil || !strings.Contains(err.Error(), `network "default"`) {
		t.Errorf("a virtual network: %v", err)
	}
}

// What a daemon that was killed left of interfaces is removed by the next one, and nothing of others.
func TestSweepInterfaces(t *testing.T) {
	h := newNetworkHost(t, "11fe0054")
	for name, alias := range map[string]string{"lost0": "davit-11fe0054-" + "5f9c6d2e-9d6c-4a6b-8f1e-0c1d2e3f4a5b", "other0": "davit-11fe0055-x", "plain0": ""} {
		l := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, TxQLen: -1, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, name[0]}}, PeerName: "p" + name}
		err := h.h.LinkAdd(l)
		if err == nil && alias != "" {
			err = h.h.LinkSetAlias(l, alias)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d := closing(t, h.open(t))
	if err := d.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"other0", "plain0", "pother0", "pplain0"}, h.links(t)); diff != "" {
		t.Errorf("on the host (-want +got):\n%s", diff)
	}
}
