package native_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// cutOff are the steps of a change of interfaces that a davitd is killed before.
var cutOff = []struct {
	step string
	nth  int
}{
	{"announce interfaces", 0},
	{"change interface", 0},
	{"make interface", 0},
	{"change interface", 1},
	{"change interface", 2},
	{"make interface", 1},
	{"change interface", 3},
	{"change interface", 4},
	{"note interfaces", 0},
	{"", 0},
}

// A davitd that is killed in the middle of a change is followed by one that makes the change, or undoes it, as it is told: nothing is
// there twice, nothing is left, and what was lent is lent or at home.
func TestKilledWhileRewiring(t *testing.T) {
	for k, c := range cutOff {
		for _, undo := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %s, undone %v", k, c.step, undo), func(t *testing.T) {
				h := newNetworkHost(t, "11fe0070")
				h.physical(t, "phys0")
				h.physical(t, "phys1")
				spec := h.spec(rebootsWhenTold, restarts, withInterfaces(bridged("52:54:00:00:0a:01", "10.0.0.2"), bridged("52:54:00:00:0a:02", "10.0.0.3")), lends("phys0"))
				aliased(spec.Definition)
				next := changed(spec.Definition, func(d *davitv1.Devices) {
					without("net0")(d)
					without("hostdev0")(d)
					with(named(bridged("52:54:00:00:0a:03", "10.0.0.4"), "net2"))(d)
					d.Interface[0].LinkState = davitv1.LinkState_LINK_STATE_DOWN
					d.Hostdev = append(d.Hostdev, lent("phys1", "hostdev1"))
				})
				h.killed(t, task{Step: c.step, Nth: c.nth, Definition: spec.Definition, Ref: spec.Ref, Update: next})
				before := []string{
					"net0 bridge br0 vnet0 eth0 52:54:00:00:0a:01 1500 up=true 10.0.0.2/24", "net1 bridge br0 vnet1 eth1 52:54:00:00:0a:02 1500 up=true 10.0.0.3/24",
					lentLine(0),
				}
				after := []string{
					"net1 bridge br0 vnet1 eth1 52:54:00:00:0a:02 1500 up=false 10.0.0.3/24", "net2 bridge br0 vnet2 eth0 52:54:00:00:0a:03 1500 up=true 10.0.0.4/24",
					lentLine(1),
				}
				def, want, home := next, after, "phys0"
				if undo {
					def, want, home = spec.Definition, before, "phys1"
				}
				d := closing(t, h.open(t))
				recovered := spec
				recovered.Definition = proto.CloneOf(def)
				i, err := d.Recover(t.Context(), recovered)
				if err != nil {
					t.Fatal(err)
				}
				for _, when := range []string{"told", "told again"} {
					update(t, i, def)
					// Names on the host are the first that were free, which what was left half made may have had.
					if diff := cmp.Diff(plainNames(want), plainNames(report(t, i))); diff != "" {
						t.Errorf("%s (-want +got):\n%s", when, diff)
					}
				}
				if got := h.links(t); len(got) != 2+1+2 || !slices.Contains(got, home) {
					t.Errorf("on the host %q, want two host ends, %s, and the other ends of both", got, home)
				}
				nextBoot(t, i, booted(t, i, 0, "up"))
				if diff := cmp.Diff(plainNames(want), plainNames(report(t, i))); diff != "" {
					t.Errorf("after a reboot (-want +got):\n%s", diff)
				}
				kill(t, i)
				h.atHome(t, "phys0", "phys1")
				h.empty(t)
			})
		}
	}
}

// What the next davitd does not even ask for is swept, and what was lent comes home.
func TestSweepWhileRewiring(t *testing.T) {
	for k, c := range cutOff {
		t.Run(fmt.Sprintf("%d %s", k, c.step), func(t *testing.T) {
			h := newNetworkHost(t, "11fe0071")
			h.physical(t, "phys0")
			h.physical(t, "phys1")
			spec := h.spec(idle, withInterfaces(bridged("52:54:00:00:0b:01", "10.0.0.2"), bridged("52:54:00:00:0b:02", "10.0.0.3")), lends("phys0"))
			aliased(spec.Definition)
			next := changed(spec.Definition, func(d *davitv1.Devices) {
				without("net0")(d)
				without("hostdev0")(d)
				with(named(bridged("52:54:00:00:0b:03", "10.0.0.4"), "net2"))(d)
				d.Interface[0].LinkState = davitv1.LinkState_LINK_STATE_DOWN
				d.Hostdev = append(d.Hostdev, lent("phys1", "hostdev1"))
			})
			h.killed(t, task{Step: c.step, Nth: c.nth, Definition: spec.Definition, Ref: spec.Ref, Update: next})
			d := closing(t, h.open(t))
			if err := d.Sweep(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			h.atHome(t, "phys0", "phys1")
			h.empty(t)
		})
	}
}

// A domain whose monitor was killed keeps its interfaces, and has them after a reboot under the next one; the next start of the same domain
// finds all of its names free.
func TestMonitorKilledWithInterfaces(t *testing.T) {
	h := newNetworkHost(t, "11fe0072")
	h.physical(t, "phys0")
	d := closing(t, h.open(t))
	free := &davitv1.Interface{Type: davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET, Mac: "52:54:00:00:0c:01", TargetDev: "free0", Bandwidth: &davitv1.Bandwidth{
		Outbound: &davitv1.BandwidthLimit{Average: 1024},
	}}
	spec := h.spec(rebooter, withInterfaces(free), lends("phys0"))
	aliased(spec.Definition)
	for range 3 {
		i := start(t, d, spec)
		init := initOf(t, i)
		from := booted(t, i, 0, "up")
		monitor := h.monitorPID(t, spec.UUID)
		slay(t, monitor)
		h.runsOn(t, i, init, monitor)
		has := [][2]string{{"ls /sys/class/net", "eth0"}, {"ls /sys/class/net", "phys0"}}
		ask(t, "adopted", i, has)
		if err := i.Shutdown(t.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); err != nil {
			t.Fatalf("reboot: %v", err)
		}
		booted(t, i, from, "up")
		ask(t, "after a reboot", i, has)
		kill(t, i)
		spec.Generation = uuid.NewString()
	}
	h.atHome(t, "phys0")
	h.empty(t)
}
