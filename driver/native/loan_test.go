package native_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// physical makes an interface of the host that stands for hardware, with a cable to another, "c" and its name.
func (h *networkHost) physical(tb testing.TB, name string) {
	tb.Helper()
	l := netlink.NewVeth(netlink.LinkAttrs{Name: name, TxQLen: -1, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 10, 0x10 + name[len(name)-1] - '0'}})
	l.PeerName = "c" + name
	if err := h.h.LinkAdd(l); err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{name, "c" + name} {
		end, err := h.h.LinkByName(name)
		if err == nil {
			err = h.h.LinkSetUp(end)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// atHome waits until nothing is left on the host but interfaces that were lent, which are as they were.
func (h *networkHost) atHome(tb testing.TB, names ...string) {
	tb.Helper()
	var want []string
	for _, name := range names {
		want = append(want, name, "c"+name)
	}
	slices.Sort(want)
	for end := time.Now().Add(testenv.Scale(30 * time.Second)); !slices.Equal(h.names(tb), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("on the host %q, want %q", h.names(tb), want)
		}
	}
	for _, name := range names {
		l, err := h.h.LinkByName(name)
		if err != nil || l.Attrs().Flags&net.FlagUp == 0 || l.Attrs().HardwareAddr[5] != 0x10+name[len(name)-1]-'0' || l.Attrs().MTU != 1500 {
			tb.Errorf("%s came home as %+v, %v", name, l, err)
		}
	}
}

// names are the interfaces of the host but for lo and br0.
func (h *networkHost) names(tb testing.TB) []string {
	tb.Helper()
	list, err := h.h.LinkList()
	if err != nil {
		tb.Fatal(err)
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

// lent is an interface of the host that a domain is lent.
func lent(name, alias string) *davitv1.Hostdev {
	length := uint32(24)
	return &davitv1.Hostdev{
		Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_NET, SourceInterface: name, Alias: alias,
		Ip: []*davitv1.IpAddress{{Address: "10.9.0.2", Prefix: &length}},
	}
}

// lentLine is what is told of the interface phys0, or another, as hostdev0.
func lentLine(n int) string {
	name := fmt.Sprintf("phys%d", n)
	return fmt.Sprintf("hostdev%d unspecified %s %s 02:00:00:00:0a:1%d 1500 up=true 10.9.0.2/24", n, name, name, n)
}

func lends(names ...string) func(*davitv1.Domain) {
	return func(def *davitv1.Domain) {
		for _, name := range names {
			def.Devices.Hostdev = append(def.Devices.Hostdev, lent(name, ""))
		}
		domain.Normalize(def)
	}
}

// plainNames leaves out the made-up names of host ends.
func plainNames(list []string) []string {
	var out []string
	for _, line := range list {
		var words []string
		for word := range strings.FieldsSeq(line) {
			if !strings.HasPrefix(word, "vnet") {
				words = append(words, word)
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

// An interface of the host is lent at boot, lent again at each reboot, and comes home when it is detached or the domain ends; so is one
// that is attached while it runs.
func TestLoan(t *testing.T) {
	h := newNetworkHost(t, "11fe0080")
	h.physical(t, "phys0")
	h.physical(t, "phys1")
	d := closing(t, h.open(t))
	spec := h.spec(rebootsWhenTold, restarts, lends("phys0"))
	aliased(spec.Definition)
	i := start(t, d, spec)
	at := booted(t, i, 0, "up")
	first, second := lentLine(0), lentLine(1)
	expect(t, "at boot", i, first)
	_, err := d.Start(t.Context(), h.spec(idle, lends("phys0")))
	if err == nil || !strings.Contains(err.Error(), `interface "phys0" is lent to domain`) {
		t.Errorf("lent twice: %v", err)
	}
	both := changed(spec.Definition, func(d *davitv1.Devices) { d.Hostdev = append(d.Hostdev, lent("phys1", "hostdev1")) })
	update(t, i, both)
	expect(t, "live", i, first, second)
	// What the guest does to it does not stay.
	g, ns := guestNet(t, i)
	l, err := g.LinkByName("phys1")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.LinkSetDown(l), g.LinkSetName(l, "mine"), g.LinkSetMTU(l, 1400), g.LinkSetHardwareAddr(l, net.HardwareAddr{2, 9, 9, 9, 9, 9})); err != nil {
		t.Fatal(err)
	}
	g.Close()
	_ = ns.Close()
	for range 3 {
		at = nextBoot(t, i, at)
		expect(t, "after a reboot", i, first, second)
	}
	update(t, i, changed(both, without("hostdev0")))
	expect(t, "one given back", i, second)
	if got := h.names(t); !slices.Equal(got, []string{"cphys0", "cphys1", "phys0"}) {
		t.Errorf("on the host %q", got)
	}
	nextBoot(t, i, at)
	expect(t, "one given back, after a reboot", i, second)
	kill(t, i)
	h.atHome(t, "phys0", "phys1")
}

// A guest that has taken an interface of the host elsewhere keeps it, and that is told.
func TestLoanElsewhere(t *testing.T) {
	h := newNetworkHost(t, "11fe0081")
	h.physical(t, "phys0")
	d := closing(t, h.open(t))
	spec := h.spec(idle, lends("phys0"))
	aliased(spec.Definition)
	i := start(t, d, spec)
	g, ns := guestNet(t, i)
	elsewhere := testenv.Netns(t)
	l, err := g.LinkByName("phys0")
	if err == nil {
		err = g.LinkSetNsFd(l, int(elsewhere.Fd()))
	}
	g.Close()
	_ = ns.Close()
	if err != nil {
		t.Fatal(err)
	}
	err = i.Update(t.Context(), changed(spec.Definition, without("hostdev0")))
	var e *domain.Error
	if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY || e.Detail["device"] != "hostdev0" {
		t.Errorf("detach: %v", err)
	}
	kill(t, i)
	h.empty(t)
}

// A start that fails after its interface was lent gives it back.
func TestLoanOfFailedStart(t *testing.T) {
	h := newNetworkHost(t, "11fe0082")
	h.physical(t, "phys0")
	d := closing(t, h.open(t))
	for name, change := range map[string]func(*davitv1.Domain){
		"no program": func(def *davitv1.Domain) { def.Os.Init = "/nowhere/init" },
		"no bridge": func(def *davitv1.Domain) {
			n := bridged("52:54:00:00:0d:01", "10.0.0.2")
			n.SourceBridge = "br9"
			withInterfaces(n)(def)
		},
		"no route": func(def *davitv1.Domain) {
			def.Devices.Hostdev[0].Route = []*davitv1.Route{{Address: "10.8.0.0", Gateway: "10.7.0.1"}}
		},
	} {
		if _, err := d.Start(t.Context(), h.spec(idle, lends("phys0"), change)); err == nil {
			t.Errorf("%s: it starts", name)
		}
		h.atHome(t, "phys0")
		h.empty(t)
	}
	if _, err := d.Start(t.Context(), h.spec(idle, lends("phys9"))); err == nil || !strings.Contains(err.Error(), `"phys9"`) {
		t.Errorf("not there: %v", err)
	}
}
