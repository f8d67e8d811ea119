package native_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// addBridge makes another bridge of the host.
func (h *networkHost) addBridge(tb testing.TB, name string) {
	tb.Helper()
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, TxQLen: -1}}
	if err := errors.Join(h.h.LinkAdd(bridge), h.h.LinkSetUp(bridge)); err != nil {
		tb.Fatal(err)
	}
}

// guestNet is a netlink socket in the network namespace of a guest, and that namespace.
func guestNet(tb testing.TB, i driver.Instance) (*netlink.Handle, *os.File) {
	tb.Helper()
	st, err := i.Status(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", st.InitPID))
	if err != nil {
		tb.Fatal(err)
	}
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		tb.Fatal(err)
	}
	// What is open keeps the namespace, and with it what the kernel would take.
	var once sync.Once
	release := func() { once.Do(func() { h.Close(); _ = ns.Close() }) }
	tb.Cleanup(release)
	return h, ns
}

// aliased names the devices as the engine does.
func aliased(def *davitv1.Domain) *davitv1.Domain {
	for k, n := range def.GetDevices().GetInterface() {
		if n.GetAlias() == "" {
			n.Alias = fmt.Sprintf("net%d", k)
		}
	}
	for k, n := range def.GetDevices().GetHostdev() {
		if n.GetAlias() == "" {
			n.Alias = fmt.Sprintf("hostdev%d", k)
		}
	}
	return def
}

// changed is a definition with a change.
func changed(def *davitv1.Domain, change func(*davitv1.Devices)) *davitv1.Domain {
	def = proto.CloneOf(def)
	change(def.GetDevices())
	domain.Normalize(def)
	return aliased(def)
}

func with(list ...*davitv1.Interface) func(*davitv1.Devices) {
	return func(d *davitv1.Devices) {
		for _, n := range list {
			d.Interface = append(d.Interface, proto.CloneOf(n))
		}
	}
}

func without(alias string) func(*davitv1.Devices) {
	return func(d *davitv1.Devices) {
		d.Interface = slices.DeleteFunc(d.Interface, func(n *davitv1.Interface) bool { return n.GetAlias() == alias })
		d.Hostdev = slices.DeleteFunc(d.Hostdev, func(n *davitv1.Hostdev) bool { return n.GetAlias() == alias })
	}
}

// named is an interface under an alias.
func named(n *davitv1.Interface, alias string) *davitv1.Interface {
	n = proto.CloneOf(n)
	n.Alias = alias
	return n
}

// report tells what the driver says of interfaces, a line each.
func report(tb testing.TB, i driver.Instance) []string {
	tb.Helper()
	reporter, ok := i.(driver.DeviceReporter)
	if !ok {
		tb.Fatal("it reports no devices")
	}
	list, err := reporter.Interfaces(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	for _, s := range list {
		addresses := slices.DeleteFunc(slices.Clone(s.GetAddresses()), func(a string) bool { return strings.HasPrefix(a, "fe80:") })
		kind := strings.ToLower(strings.TrimPrefix(s.GetType().String(), "INTERFACE_TYPE_"))
		out = append(out, strings.Join(strings.Fields(fmt.Sprint(s.GetAlias(), " ", kind, " ", s.GetSource(), " ", s.GetHostDev(), " ", s.GetGuestDev(), " ", s.GetMac(),
			" ", s.GetMtu(), " up=", s.GetUp(), " ", strings.Join(addresses, ","))), " "))
	}
	return out
}

// expect compares what the driver says of interfaces.
func expect(tb testing.TB, when string, i driver.Instance, want ...string) {
	tb.Helper()
	if diff := cmp.Diff(want, report(tb, i)); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func update(tb testing.TB, i driver.Instance, def *davitv1.Domain) {
	tb.Helper()
	if err := i.Update(tb.Context(), def); err != nil {
		tb.Fatalf("update: %v", err)
	}
}

// nextBoot has the guest reboot, which says that it is up, and waits for it; from is where its console is. It tells where it is then.
func nextBoot(tb testing.TB, i driver.Instance, from uint64) uint64 {
	tb.Helper()
	before, err := i.Status(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	if err := i.Signal(tb.Context(), 1, 1); err != nil {
		tb.Fatal(err)
	}
	from = booted(tb, i, from, "up")
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(5 * time.Millisecond) {
		st, err := i.Status(tb.Context())
		if err == nil && st.Restarts > before.Restarts && st.InitPID != 0 {
			return from
		}
		if err != nil || !st.Running || time.Now().After(end) {
			tb.Fatalf("no boot: %+v, %v", st, err)
		}
	}
}

// rebootsWhenTold is the init of a guest that reboots when it is told to.
const rebootsWhenTold = "trap 'exec /guest/reboot' HUP; echo up; while :; do sleep infinity & wait; done"

func restarts(def *davitv1.Domain) {
	def.OnReboot = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
}

// Interfaces come, change and go while the domain runs; a reboot finds them as they are then. It need not have had any at first.
func TestRewire(t *testing.T) {
	h := newNetworkHost(t, "11fe0060")
	h.addBridge(t, "br1")
	d := closing(t, h.open(t))
	spec := h.spec(rebootsWhenTold, restarts, withInterfaces())
	i := start(t, d, spec)
	at := booted(t, i, 0, "up")
	def := changed(spec.Definition, with(named(bridged("52:54:00:00:01:01", "10.0.0.2"), "net7")))
	update(t, i, def)
	first := "net7 bridge br0 vnet0 eth0 52:54:00:00:01:01 1500 up=true 10.0.0.2/24"
	expect(t, "the first", i, first)
	if err := h.h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "parent0", TxQLen: -1}, PeerName: "parent1"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"parent0", "parent1"} {
		l, err := h.h.LinkByName(name)
		if err == nil {
			err = h.h.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	def = changed(def, with(
		&davitv1.Interface{Alias: "net8", Type: davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET, Mac: "52:54:00:00:01:02", TargetDev: "free0", GuestDev: "wan", Mtu: 1400},
		&davitv1.Interface{
			Alias: "net9", Type: davitv1.InterfaceType_INTERFACE_TYPE_DIRECT, Mac: "52:54:00:00:01:03", SourceDev: "parent0",
			SourceMode: davitv1.DirectMode_DIRECT_MODE_BRIDGE,
		},
	))
	update(t, i, def)
	free, direct := "net8 ethernet free0 wan 52:54:00:00:01:02 1400 up=true", "net9 direct parent0 eth1 52:54:00:00:01:03 1500 up=true"
	expect(t, "three", i, first, free, direct)
	// All that can be changed.
	def = changed(def, func(d *davitv1.Devices) {
		isolated := true
		d.Interface[0].SourceBridge, d.Interface[0].PortIsolated = "br1", &isolated
		d.Interface[0].Bandwidth = &davitv1.Bandwidth{Outbound: &davitv1.BandwidthLimit{Average: 1024}}
		d.Interface[1].LinkState = davitv1.LinkState_LINK_STATE_DOWN
		d.Interface[2].LinkState = davitv1.LinkState_LINK_STATE_DOWN
	})
	down := func(s string) string { return strings.Replace(s, "up=true", "up=false", 1) }
	for _, when := range []string{"changed", "told again"} {
		update(t, i, def)
		expect(t, when, i, strings.Replace(first, "br0", "br1", 1), down(free), down(direct))
	}
	end, err := h.h.LinkByName("vnet0")
	if err != nil {
		t.Fatal(err)
	}
	if p, protErr := h.h.LinkGetProtinfo(end); protErr != nil || !p.Isolated {
		t.Errorf("the port is %+v, %v; want an isolated one", p, protErr)
	}
	at = nextBoot(t, i, at)
	expect(t, "after a reboot", i, strings.Replace(first, "br0", "br1", 1), down(free), down(direct))
	completed := proto.CloneOf(def)
	completer, ok := i.(driver.Completer)
	if !ok {
		t.Fatal("it completes no definition")
	}
	completer.Complete(completed)
	var names []string
	for _, n := range completed.GetDevices().GetInterface() {
		names = append(names, n.GetTargetDev())
	}
	if diff := cmp.Diff([]string{"vnet0", "free0", ""}, names); diff != "" {
		t.Errorf("names of host ends (-want +got):\n%s", diff)
	}
	// The names inside of those that stay are kept.
	def = changed(completed, without("net7"))
	update(t, i, def)
	expect(t, "without the first", i, down(free), down(direct))
	at = nextBoot(t, i, at)
	expect(t, "without the first, after a reboot", i, down(free), down(direct))
	def = changed(def, func(d *davitv1.Devices) { d.Interface = nil })
	update(t, i, def)
	expect(t, "without any", i)
	if got := h.links(t); !slices.Equal(got, []string{"br1", "parent0", "parent1"}) {
		t.Errorf("on the host %q", got)
	}
	nextBoot(t, i, at)
	expect(t, "without any, after a reboot", i)
	kill(t, i)
}

// A domain whose interfaces have all gone boots as before, also under a davitd that never knew it with some.
func TestBootAfterAllInterfacesWent(t *testing.T) {
	for name, at := range map[string]bool{"at start": true, "attached": false} {
		t.Run(name, func(t *testing.T) {
			h := newNetworkHost(t, "11fe0069")
			d := h.open(t)
			bare := h.spec(rebootsWhenTold, restarts, withInterfaces())
			def := changed(bare.Definition, with(named(bridged("52:54:00:00:09:01", "10.0.0.2"), "net0")))
			spec := bare
			if at {
				spec.Definition = def
			}
			i := start(t, d, spec)
			console := booted(t, i, 0, "up")
			update(t, i, def)
			update(t, i, bare.Definition)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			again := closing(t, h.open(t))
			i, err := again.Recover(t.Context(), bare)
			if err != nil {
				t.Fatal(err)
			}
			nextBoot(t, i, console)
			expect(t, "after a reboot", i)
			kill(t, i)
		})
	}
}

// A change that cannot be made as a whole is not made at all, and says why.
func TestRewireRefused(t *testing.T) {
	h := newNetworkHost(t, "11fe0061")
	d := closing(t, h.open(t))
	spec := h.spec(idle, withInterfaces(bridged("52:54:00:00:02:01", "10.0.0.2"), bridged("52:54:00:00:02:02", "10.0.0.3")))
	aliased(spec.Definition)
	i := start(t, d, spec)
	other := start(t, d, h.spec(idle, withInterfaces(named(bridged("52:54:00:00:02:09", "10.0.0.9"), "net0"))))
	before, links := report(t, i), h.links(t)
	added := named(bridged("52:54:00:00:02:03", "10.0.0.4"), "net2")
	for name, c := range map[string]struct {
		change func(*davitv1.Devices)
		want   string
		reason davitv1.ErrorReason
	}{
		"no bridge": {func(d *davitv1.Devices) {
			missing := named(bridged("52:54:00:00:02:04", "10.0.0.5"), "net3")
			missing.SourceBridge = "br9"
			with(added, missing)(d)
			without("net0")(d)
		}, `interface "br9" does not exist`, davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"to no bridge": {func(d *davitv1.Devices) { with(added)(d); d.Interface[1].SourceBridge = "br9" }, `"br9"`, davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"name taken on the host": {func(d *davitv1.Devices) {
			with(added)(d)
			d.Interface[2].TargetDev = "br0"
		}, `host end "br0"`, davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"reserved name": {func(d *davitv1.Devices) {
			with(added)(d)
			d.Interface[2].TargetDev = "dvifb7"
		}, `"dvifb"`, davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"long name": {func(d *davitv1.Devices) {
			with(added)(d)
			d.Interface[2].TargetDev = "abcdefghijklmnop"
		}, `15 are the limit`, davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"name taken inside": {func(d *davitv1.Devices) {
			with(added)(d)
			d.Interface[2].GuestDev = "mine"
		}, `name "mine" inside`, davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"address in use": {func(d *davitv1.Devices) {
			with(added)(d)
			d.Interface[2].Mac = "52:54:00:00:02:09"
		}, "has the hardware address 52:54:00:00:02:09", davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY},
		"multicast": {func(d *davitv1.Devices) {
			with(added)(d)
			d.Interface[2].Mac = "53:54:00:00:02:09"
		}, "multicast", davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"address twice": {func(d *davitv1.Devices) {
			with(added)(d)
			d.Interface[2].Ip = append(d.Interface[2].Ip, d.Interface[2].Ip[0])
		}, "the address 10.0.0.4/24", davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"another address": {func(d *davitv1.Devices) { with(added)(d); d.Interface[0].Mac = "52:54:00:00:02:05" }, "hardware address of an interface cannot be changed", davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"another mtu":     {func(d *davitv1.Devices) { with(added)(d); d.Interface[0].Mtu = 1400 }, "mtu of an interface cannot be changed", davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
		"user mode": {func(d *davitv1.Devices) {
			with(&davitv1.Interface{Alias: "net3", Type: davitv1.InterfaceType_INTERFACE_TYPE_USER})(d)
		}, "no user-mode networks", davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "name taken inside" {
				g, _ := guestNet(t, i)
				l := &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "mine", TxQLen: -1}}
				if err := g.LinkAdd(l); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = g.LinkDel(l) }()
			}
			err := i.Update(t.Context(), changed(spec.Definition, c.change))
			var e *domain.Error
			if !errors.As(err, &e) || e.Reason != c.reason || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q and %v", err, c.want, c.reason)
			}
		})
		if diff := cmp.Diff(before, report(t, i)); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", name, diff)
		}
		if diff := cmp.Diff(links, h.links(t)); diff != "" {
			t.Errorf("on the host after %s (-before +after):\n%s", name, diff)
		}
	}
	kill(t, i)
	kill(t, other)
	h.settle(t)
}

// What the guest does to its end is its own affair: the host end goes all the same when it is detached, and a reboot brings all back.
func TestGuestSpoilsInterface(t *testing.T) {
	for name, spoil := range map[string]func(testing.TB, *netlink.Handle, netlink.Link) error{
		"removed": func(_ testing.TB, g *netlink.Handle, l netlink.Link) error { return g.LinkDel(l) },
		"renamed": func(_ testing.TB, g *netlink.Handle, l netlink.Link) error {
			return errors.Join(g.LinkSetDown(l), g.LinkSetName(l, "mine"))
		},
		"elsewhere": func(tb testing.TB, g *netlink.Handle, l netlink.Link) error {
			tb.Helper()
			return g.LinkSetNsFd(l, int(testenv.Netns(tb).Fd()))
		},
		"another in its place": func(_ testing.TB, g *netlink.Handle, l netlink.Link) error {
			index := l.Attrs().Index
			return errors.Join(g.LinkDel(l), g.LinkAdd(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "eth0", Index: index, TxQLen: -1}}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newNetworkHost(t, "11fe0062")
			d := closing(t, h.open(t))
			spec := h.spec(rebootsWhenTold, restarts, withInterfaces(bridged("52:54:00:00:03:01", "10.0.0.2")))
			aliased(spec.Definition)
			i := start(t, d, spec)
			at := booted(t, i, 0, "up")
			want := report(t, i)
			g, ns := guestNet(t, i)
			l, err := g.LinkByName("eth0")
			if err == nil {
				err = spoil(t, g, l)
			}
			g.Close()
			_ = ns.Close()
			if err != nil {
				t.Fatal(err)
			}
			report(t, i)
			update(t, i, spec.Definition) // what has nothing to do with it is not refused
			nextBoot(t, i, at)
			expect(t, "after a reboot", i, want...)
			g, ns = guestNet(t, i)
			if l, err = g.LinkByName("eth0"); err == nil {
				err = spoil(t, g, l)
			}
			g.Close()
			_ = ns.Close()
			if err != nil {
				t.Fatal(err)
			}
			update(t, i, changed(spec.Definition, without("net0")))
			if got := h.links(t); len(got) > 0 {
				t.Errorf("left on the host: %q", got)
			}
			kill(t, i)
		})
	}
}

// Changes meet reboots at every instant: in the end the container has what the last definition says, once.
func TestRewireWhileRebooting(t *testing.T) {
	h := newNetworkHost(t, "11fe0063")
	d := closing(t, h.open(t))
	spec := h.spec("exec /guest/reboot", restarts, withInterfaces(bridged("52:54:00:00:04:01", "10.0.0.2")), func(def *davitv1.Domain) {
		def.Restart = &davitv1.Restart{DelayMs: proto.Uint32(1), MaxDelayMs: proto.Uint32(1)}
	})
	aliased(spec.Definition)
	i := start(t, d, spec)
	more := changed(spec.Definition, with(named(bridged("52:54:00:00:04:02", "10.0.0.3"), "net1")))
	for k := range 40 {
		def := spec.Definition
		if k%2 == 0 {
			def = more
		}
		if err := i.Update(t.Context(), def); err != nil {
			t.Fatalf("update %d: %v", k, err)
		}
	}
	update(t, i, more)
	// A namespace that is gone meanwhile has taken its end with it; what there is, is there once.
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(time.Millisecond) {
		st, err := i.Status(t.Context())
		if err != nil || !st.Running {
			t.Fatalf("%+v, %v", st, err)
		}
		if st.InitPID != 0 {
			if list := report(t, i); len(list) == 2 && strings.HasSuffix(list[0], "10.0.0.2/24") && strings.HasSuffix(list[1], "10.0.0.3/24") {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("last seen %q", report(t, i))
		}
	}
	kill(t, i)
	h.settle(t)
}

// cycles is how often interfaces come and go in one test; a soak asks for more.
func cycles(tb testing.TB, otherwise int) int {
	tb.Helper()
	text := os.Getenv("DAVIT_TEST_CYCLES")
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("DAVIT_TEST_CYCLES=%q is no number of cycles", text)
	}
	return n
}

// Interfaces come and go many times, and leave nothing.
func TestHotplugCycles(t *testing.T) {
	h := newNetworkHost(t, "11fe0064")
	d := closing(t, h.open(t))
	spec := h.spec(idle, withInterfaces())
	i := start(t, d, spec)
	limited := named(bridged("52:54:00:00:05:01", "10.0.0.2"), "net0")
	limited.Bandwidth = &davitv1.Bandwidth{Outbound: &davitv1.BandwidthLimit{Average: 1024}, Inbound: &davitv1.BandwidthLimit{Average: 1024}}
	def := changed(spec.Definition, with(limited))
	for k := range cycles(t, 50) {
		update(t, i, def)
		if k%10 == 0 {
			expect(t, "attached", i, "net0 bridge br0 vnet0 eth0 52:54:00:00:05:01 1500 up=true 10.0.0.2/24")
		}
		update(t, i, spec.Definition)
		if got := h.links(t); len(got) > 0 {
			t.Fatalf("cycle %d leaves %q on the host", k, got)
		}
	}
	expect(t, "in the end", i)
	kill(t, i)
}

// Interfaces of several domains come and go at the same time.
func TestHotplugInParallel(t *testing.T) {
	h := newNetworkHost(t, "11fe0065")
	d := closing(t, h.open(t))
	const domains = 4
	var instances [domains]driver.Instance
	var specs [domains]driver.Spec
	for k := range domains {
		specs[k] = h.spec(idle, withInterfaces())
		instances[k] = start(t, d, specs[k])
	}
	var running sync.WaitGroup
	for k, i := range instances {
		running.Go(func() {
			var list []*davitv1.Interface
			for n := range 3 {
				list = append(list, named(bridged(fmt.Sprintf("52:54:00:00:06:%x%x", k, n), fmt.Sprintf("10.0.%d.%d", k, n+1)), fmt.Sprintf("net%d", n)))
			}
			for cycle := range 12 {
				def := specs[k].Definition
				if cycle%4 > 0 {
					def = changed(def, with(list[:cycle%4]...))
				}
				if err := i.Update(context.Background(), def); err != nil {
					t.Errorf("domain %d, cycle %d: %v", k, cycle, err)
					return
				}
			}
		})
	}
	running.Wait()
	for k, i := range instances {
		if got := report(t, i); len(got) != 3 {
			t.Errorf("domain %d has %q", k, got)
		}
		kill(t, i)
	}
	h.settle(t)
}

// A bridge that is removed under a running domain is told, and the reboot that misses it says so; the domain goes with no more left than
// ever.
func TestBridgeGoes(t *testing.T) {
	h := newNetworkHost(t, "11fe0066")
	h.addBridge(t, "br1")
	d := closing(t, h.open(t))
	n := bridged("52:54:00:00:07:01", "10.0.0.2")
	n.SourceBridge = "br1"
	spec := h.spec(rebootsWhenTold, restarts, withInterfaces(n))
	aliased(spec.Definition)
	i := start(t, d, spec)
	booted(t, i, 0, "up")
	from, err := i.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	bridge, err := h.h.LinkByName("br1")
	if err == nil {
		err = h.h.LinkDel(bridge)
	}
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "without its bridge", i, "net0 bridge br1 vnet0 eth0 52:54:00:00:07:01 1500 up=false 10.0.0.2/24")
	update(t, i, spec.Definition)
	h.addBridge(t, "br1")
	update(t, i, spec.Definition)
	expect(t, "with a bridge again", i, "net0 bridge br1 vnet0 eth0 52:54:00:00:07:01 1500 up=true 10.0.0.2/24")
	if bridge, err = h.h.LinkByName("br1"); err == nil {
		err = h.h.LinkDel(bridge)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Signal(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case ev := <-from:
			stopped, ok := ev.Kind.(driver.Stopped)
			if !ok {
				continue
			}
			if stopped.Err == nil || !strings.Contains(stopped.Err.Error(), `"br1"`) {
				t.Errorf("stopped: %v", stopped.Err)
			}
		case <-time.After(testenv.Scale(time.Minute)):
			t.Fatal("it has not stopped")
		}
		break
	}
	if err := i.Release(t.Context()); err != nil {
		t.Error(err)
	}
	h.settle(t)
	h.empty(t)
}

// What the guest makes itself is told after what it was given, and is bounded; counters are the guest's.
func TestInterfacesOfGuest(t *testing.T) {
	h := newNetworkHost(t, "11fe0067")
	d := closing(t, h.open(t))
	spec := h.spec(idle, withInterfaces(bridged("52:54:00:00:08:01", "10.0.0.2")))
	aliased(spec.Definition)
	i := start(t, d, spec)
	g, ns := guestNet(t, i)
	var all []error
	for k := range 300 {
		all = append(all, g.LinkAdd(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("own%d", k), TxQLen: -1}}))
	}
	eth, err := g.LinkByName("eth0")
	if err = errors.Join(append(all, err)...); err != nil {
		t.Fatal(err)
	}
	if err = errors.Join(g.LinkSetDown(eth), g.LinkSetName(eth, "odd\xff"), g.LinkSetHardwareAddr(eth, net.HardwareAddr{2, 0, 0, 0, 8, 2}), g.LinkSetUp(eth)); err != nil {
		t.Fatal(err)
	}
	list := report(t, i)
	if len(list) < 100 || len(list) > 300 || list[0] != "net0 bridge br0 vnet0 odd\ufffd 02:00:00:00:08:02 1500 up=true 10.0.0.2/24" || !strings.Contains(list[1], "own") {
		t.Errorf("%d interfaces, the first %q and %q", len(list), list[0], list[1])
	}
	stats, err := i.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := stats.GetInterfaces(); len(n) != 1 || n[0].GetCounters() == nil || n[0].GetHostDev() != "vnet0" || !n[0].GetUp() || len(n[0].GetAddresses()) != 0 {
		t.Errorf("statistics %v", n)
	}
	g.Close()
	_ = ns.Close()
	kill(t, i)
	h.settle(t)
}

// networks are virtual networks of the test.
type networks map[string]native.NetworkPort

func (n networks) Port(name, portgroup string) (native.NetworkPort, error) {
	p, ok := n[name]
	if !ok || portgroup != "" {
		return p, errors.New("it is not active")
	}
	return p, nil
}

// An interface of a virtual network is attached to what the network says; without one the start is refused with a reason.
func TestVirtualNetwork(t *testing.T) {
	h := newNetworkHost(t, "11fe0068")
	onNetwork := func(name string) *davitv1.Interface {
		n := named(bridged("52:54:00:00:09:01", "10.0.0.2"), "net0")
		n.Type, n.SourceBridge, n.SourceNetwork = davitv1.InterfaceType_INTERFACE_TYPE_NETWORK, "", name
		return n
	}
	refused := func(d *native.Driver, n *davitv1.Interface, want string) {
		t.Helper()
		_, err := d.Start(t.Context(), h.spec(idle, withInterfaces(n)))
		var e *domain.Error
		if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		h.empty(t)
	}
	d := h.open(t)
	refused(d, onNetwork("default"), `no virtual networks: use the bridge of network "default"`)
	refused(d, &davitv1.Interface{Type: davitv1.InterfaceType_INTERFACE_TYPE_USER}, "no user-mode networks")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	h.options.Networks = networks{"default": {Bridge: "br0", MTU: 1450, Isolated: true}}
	d = closing(t, h.open(t))
	refused(d, onNetwork("other"), `network "other": it is not active`)
	if warnings, err := d.Check(t.Context(), h.spec(idle, withInterfaces(onNetwork("other"))).Definition); err != nil || len(warnings) == 0 {
		t.Errorf("checked: %v, %v", warnings, err)
	}
	spec := h.spec(idle, withInterfaces(onNetwork("default")))
	i := start(t, d, spec)
	expect(t, "on a network", i, "net0 network default vnet0 eth0 52:54:00:00:09:01 1450 up=true 10.0.0.2/24")
	kill(t, i)
	h.settle(t)
}
