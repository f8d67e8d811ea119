package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
)

const (
	firstNIC  = "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>"
	secondNIC = "<interface type='ethernet'><mac address='52:54:00:00:00:02'/></interface>"
	oneNIC    = "<devices>" + firstNIC + "</devices>"
	twoNICs   = "<devices>" + firstNIC + secondNIC + "</devices>"
)

func deviceText(text string) *davitv1.DeviceSource {
	return &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Text{Text: text}}
}

func aliased(alias string) *davitv1.DeviceSelector {
	return &davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Alias{Alias: alias}}
}

func described(text string) *davitv1.DeviceSelector {
	return &davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Source{Source: deviceText(text)}}
}

func equippedAndRuns(h *house) {
	h.etag = h.define("web", uuidWeb, twoNICs).GetEtag()
	h.boot("web")
}

func attachTo(affect davitv1.Affect) func(ctx context.Context, h *house) error {
	return func(ctx context.Context, h *house) error {
		_, err := h.AttachDevice(ctx, &davitv1.AttachDeviceRequest{Domain: byName("web"), Source: deviceText(secondNIC), Affect: affect})
		return err
	}
}

func detachFrom(affect davitv1.Affect) func(ctx context.Context, h *house) error {
	return func(ctx context.Context, h *house) error {
		_, err := h.DetachDevice(ctx, &davitv1.DetachDeviceRequest{
			Domain: byName("web"), Device: described("<interface type='ethernet'/>"), Affect: affect,
		})
		return err
	}
}

// plugged tells whether the second interface is in the definitions that are to be changed and in the container, or not in them: want says
// which of both is the case when all is done.
func plugged(live, stored, want bool) func(h *house, done bool) bool {
	const mac = "52:54:00:00:00:02"
	return func(h *house, done bool) bool {
		is := want == done
		if stored && strings.Contains(h.xml("web", true), mac) != is {
			return false
		}
		if !live {
			return true
		}
		text := h.xml("web", false)
		def, err := h.host.Definition(uuidWeb)
		return err == nil && strings.Contains(text, mac) == is && strings.Contains(text, "vnet1") == is && strings.Contains(text, "vnet0") &&
			slices.ContainsFunc(def.GetDevices().GetInterface(), func(n *davitv1.Interface) bool { return n.GetMac() == mac }) == is
	}
}

// Each kind of device comes and goes, of either definition and of both; what is done is told, shown, and outlives the daemon.
func TestDevices(t *testing.T) {
	for _, c := range []struct {
		text, alias, mark string // mark is in the XML while the device is
	}{
		{secondNIC, "net1", "52:54:00:00:00:02"},
		{"<interface type='bridge'><source bridge='br1'/></interface>", "net1", "br1"},
		{"<disk type='file'><source file='/srv/image'/><target dev='sdb'/></disk>", "scsi0-0-1", "/srv/image"},
		{"<filesystem><source dir='/srv/more'/><target dir='/more'/></filesystem>", "fs1", "/srv/more"},
		{"<hostdev mode='capabilities' type='misc'><source><char>/dev/fuse</char></source></hostdev>", "hostdev0", "/dev/fuse"},
	} {
		for _, affect := range []davitv1.Affect{0, davitv1.Affect_AFFECT_LIVE, davitv1.Affect_AFFECT_CONFIG, davitv1.Affect_AFFECT_LIVE_AND_CONFIG} {
			t.Run(fmt.Sprintf("%s/%s", c.alias, strings.TrimPrefix(affect.String(), "AFFECT_")), func(t *testing.T) {
				bubble(t, func(h *house) {
					h.define("web", uuidWeb, "<devices><filesystem><source dir='/srv'/><target dir='/'/></filesystem>"+firstNIC+"</devices>")
					h.boot("web")
					live, stored := affect != davitv1.Affect_AFFECT_CONFIG, affect >= davitv1.Affect_AFFECT_CONFIG
					before, told := [2]string{h.xml("web", false), h.xml("web", true)}, len(h.told())
					r, err := h.AttachDevice(h.t.Context(), &davitv1.AttachDeviceRequest{Domain: byName("web"), Source: deviceText(c.text), Affect: affect})
					if err != nil {
						t.Fatalf("attach: %v", err)
					}
					for _, when := range []string{"at once", "after a restart"} {
						if strings.Contains(h.xml("web", false), c.mark) != live || strings.Contains(h.xml("web", true), c.mark) != stored {
							t.Errorf("%s, live %t, stored %t:\n%s%s", when, live, stored, h.xml("web", false), h.xml("web", true))
						}
						h.kill()
						h.start()
					}
					alias := ""
					if live {
						alias = c.alias
					}
					if got := domain.DeviceAlias(r.GetDevice()); got != alias {
						t.Errorf("the alias is %q, want %q", got, alias)
					}
					if _, err = h.AttachDevice(h.t.Context(), &davitv1.AttachDeviceRequest{
						Domain: byName("web"), Source: &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Device{Device: r.GetDevice()}}, Affect: affect,
					}); !errors.Is(err, domain.ErrExists) {
						t.Errorf("attached again: %v", err)
					}
					selector := &davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Source{
						Source: &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Device{Device: r.GetDevice()}},
					}}
					d, err := h.DetachDevice(h.t.Context(), &davitv1.DetachDeviceRequest{Domain: byName("web"), Device: selector, Affect: affect})
					if err != nil {
						t.Fatalf("detach: %v", err)
					}
					if diff := cmp.Diff(r.GetDevice(), d.GetDevice(), protocmp.Transform()); diff != "" {
						t.Errorf("the device (-attached +detached):\n%s", diff)
					}
					if after := [2]string{h.xml("web", false), h.xml("web", true)}; !strings.Contains(c.alias, "scsi") && before != after {
						t.Errorf("afterwards:\n%s", cmp.Diff(before, after))
					}
					var want []string
					for _, word := range []string{"added", "removed"} {
						if stored {
							want = append(want, "web: Defined Updated")
						}
						if live {
							want = append(want, "web: "+word+" "+c.alias)
						}
					}
					if diff := cmp.Diff(want, h.told()[told:]); diff != "" {
						t.Errorf("events (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// What the driver chose is shown while the domain runs, is chosen anew for each run, and is nobody's afterwards.
func TestChosenNames(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, oneNIC)
		h.define("mail", uuidMail, strings.ReplaceAll(oneNIC, "00:01'", "00:09'"))
		h.boot("mail")
		h.boot("web")
		for _, when := range []struct {
			name string
			do   func() error
			want string
		}{
			{"started", func() error { return nil }, "vnet1"},
			{"rebooted", func() error { return h.host.Reboot(uuidWeb) }, "vnet1"},
			{"recovered", func() error { h.kill(); h.start(); return nil }, "vnet1"},
			{"reset with a name free", func() error {
				_, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("mail")})
				return errors.Join(err, resetWeb(h.t.Context(), h))
			}, "vnet0"},
		} {
			if err := when.do(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if text := h.xml("web", false); !strings.Contains(text, "<target dev='"+when.want+"'/>") {
				t.Errorf("%s: it has no %s:\n%s", when.name, when.want, text)
			}
			if text := h.xml("web", true); strings.Contains(text, "vnet") {
				t.Errorf("%s: the stored definition has a name that was chosen:\n%s", when.name, text)
			}
			def, err := h.host.Definition(uuidWeb)
			if err != nil || def.GetDevices().GetInterface()[0].GetTargetDev() != "" {
				t.Errorf("%s: the driver was told a name: %v, %v", when.name, def, err)
			}
		}
		etag := h.get("web").GetEtag()
		r, err := h.AttachDevice(h.t.Context(), &davitv1.AttachDeviceRequest{Domain: byName("web"), Source: deviceText(secondNIC), Etag: etag})
		if err != nil || r.GetDevice().GetInterface().GetTargetDev() != "vnet1" || r.GetDevice().GetInterface().GetAlias() != "net1" {
			t.Errorf("attached: %v, %v", r, err)
		}
		if h.get("web").GetEtag() != etag {
			t.Error("the stored definition has another etag and was not changed")
		}
	})
}

// What cannot be done is refused with its reason, and nothing is changed or told.
func TestDeviceRefusals(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, "<devices><filesystem><source dir='/srv'/><target dir='/'/></filesystem>"+firstNIC+secondNIC+"</devices>")
		live, both := davitv1.Affect_AFFECT_LIVE, davitv1.Affect_AFFECT_LIVE_AND_CONFIG
		attach := func(text string, affect davitv1.Affect) error {
			_, err := h.AttachDevice(h.t.Context(), &davitv1.AttachDeviceRequest{Domain: byName("web"), Source: deviceText(text), Affect: affect})
			return err
		}
		detach := func(sel *davitv1.DeviceSelector, affect davitv1.Affect) error {
			_, err := h.DetachDevice(h.t.Context(), &davitv1.DetachDeviceRequest{Domain: byName("web"), Device: sel, Affect: affect})
			return err
		}
		update := func(text string, affect davitv1.Affect) error {
			_, err := h.UpdateDevice(h.t.Context(), &davitv1.UpdateDeviceRequest{Domain: byName("web"), Source: deviceText(text), Affect: affect})
			return err
		}
		check := func(name string, err error, class error, words string) {
			t.Helper()
			if !errors.Is(err, class) || !strings.Contains(fmt.Sprint(err), words) {
				t.Errorf("%s: %v, want %s", name, err, words)
			}
		}
		disk := "<disk type='file'><source file='/srv/image'/><target dev='sda'/></disk>"
		check("attach to what is off", attach(disk, live), domain.ErrFailedPrecondition, "domain is not running")
		check("detach by alias of what is off", detach(aliased("net0"), 0), domain.ErrNotFound, "aliases when it starts")
		check("no such scope", attach(disk, 99), domain.ErrInvalid, "99 is not known")
		h.boot("web")
		before, told := [2]string{h.xml("web", false), h.xml("web", true)}, len(h.told())
		check("console", attach("<console type='pty'/>", both), domain.ErrFailedPrecondition, "keeps each console")
		check("root", detach(described("<filesystem><target dir='/'/></filesystem>"), live), domain.ErrFailedPrecondition, "keeps its root")
		check("missing source", attach("<disk type='file'><source file='/nonexistent/a'/><target dev='sda'/></disk>", both), domain.ErrFailedPrecondition, "no such file")
		check("fault", attach("<interface type='bridge'>\n<mtu size='1'/></interface>", both), domain.ErrInvalid, "2:6: /interface/mtu/@size")
		check("mac in use", attach("<interface type='ethernet'><mac address='52:54:00:00:00:01'/></interface>", both), domain.ErrExists, "52:54:00:00:00:01")
		check("nothing such", detach(aliased("net7"), both), domain.ErrNotFound, "net7")
		check("several", detach(described("<interface type='bridge'><alias name='net1'/></interface>"), live), domain.ErrNotFound, "alias \"net1\"")
		check("type", update("<interface type='ethernet'><mac address='52:54:00:00:00:01'/></interface>", both), domain.ErrFailedPrecondition, "/interface/@type")
		stale := &davitv1.AttachDeviceRequest{Domain: byName("web"), Source: deviceText(disk), Etag: "0"}
		_, err := h.AttachDevice(h.t.Context(), stale)
		check("etag", err, domain.ErrAborted, "has etag")
		h.host.FailNextUpdate(errors.New("veth: file exists"))
		err = attach("<interface type='ethernet'/>", both)
		check("driver", err, domain.ErrFailedPrecondition, "veth: file exists")
		if refusal, ok := errors.AsType[*domain.Error](err); !ok || refusal.Reason != davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED || refusal.Detail["device"] == "" {
			t.Errorf("the driver's error became %#v", err)
		}
		if after := [2]string{h.xml("web", false), h.xml("web", true)}; before != after || len(h.told()) != told {
			t.Errorf("something was changed: %v\n%s", h.told()[told:], cmp.Diff(before, after))
		}
	})
}

// A device that comes back with something in the place of its secrets keeps them, in both definitions, and none is attached so.
func TestDevicesKeepSecrets(t *testing.T) {
	disk := func(target, cookie string) string {
		return "<disk type='file' device='disk'><source file='/srv/image'/><target dev='" + target + "'/><mirror><source><cookies>" +
			"<cookie name='c'>" + cookie + "</cookie></cookies></source></mirror></disk>"
	}
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, "<devices>"+disk("vdb", "hush")+"</devices>")
		h.boot("web")
		for affect := range davitv1.Affect_name {
			q := &davitv1.UpdateDeviceRequest{Domain: byName("web"), Source: deviceText(disk("vdb", domain.Withheld)), Affect: davitv1.Affect(affect)}
			if _, err := h.UpdateDevice(h.t.Context(), q); err != nil {
				h.t.Error(err)
			}
		}
		_, err := h.AttachDevice(h.t.Context(), &davitv1.AttachDeviceRequest{Domain: byName("web"), Source: deviceText(disk("vdc", domain.Withheld))})
		if !errors.Is(err, domain.ErrInvalid) || !strings.Contains(fmt.Sprint(err), domain.Withheld) {
			h.t.Errorf("attach: %v", err)
		}
		for _, inactive := range []bool{false, true} {
			r, err := h.GetDomainXML(engine.WithOperator(h.t.Context()), &davitv1.GetDomainXMLRequest{
				Domain: byName("web"), Inactive: inactive, IncludeSecrets: true,
			})
			if err != nil || strings.Count(r.GetXml(), "hush") != 1 || strings.Contains(r.GetXml(), domain.Withheld) {
				h.t.Errorf("inactive %t: %s, %v", inactive, r.GetXml(), err)
			}
		}
	})
}

// A paused domain can be changed, a transient one only as it runs, and an update that changes nothing tells nothing.
func TestDevicesOfOthers(t *testing.T) {
	bubble(t, func(h *house) {
		if _, err := h.CreateDomain(h.t.Context(), &davitv1.CreateDomainRequest{Source: xml("web", uuidWeb, oneNIC), Paused: true}); err != nil {
			t.Fatal(err)
		}
		etag := h.get("web").GetEtag()
		if err := attachTo(davitv1.Affect_AFFECT_LIVE_AND_CONFIG)(h.t.Context(), h); !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), "transient") {
			t.Errorf("attached to both: %v", err)
		}
		if err := attachTo(0)(h.t.Context(), h); err != nil {
			t.Fatalf("attach: %v", err)
		}
		if h.condition("web") != "paused (user)" || h.get("web").GetEtag() == etag {
			t.Errorf("it is %s with etag %s", h.condition("web"), h.get("web").GetEtag())
		}
		told := len(h.told())
		for range 2 {
			r, err := h.UpdateDevice(h.t.Context(), &davitv1.UpdateDeviceRequest{Domain: byName("web"), Source: deviceText(secondNIC)})
			if err != nil || r.GetDevice().GetInterface().GetTargetDev() != "vnet1" {
				t.Errorf("changed to what it is: %v, %v", r, err)
			}
		}
		if more := h.told()[told:]; len(more) > 0 {
			t.Errorf("told are %q", more)
		}
	})
}

// The interfaces and disks of an active domain are as its driver has them, of another as they are defined.
func TestListDevices(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, "<devices><disk type='file'><source file='/srv/image'/><target dev='sda'/><readonly/></disk>"+
			strings.Replace(firstNIC, "<source", "<ip address='192.0.2.1' prefix='24'/><link state='down'/><source", 1)+
			"<hostdev mode='capabilities' type='net'><source><interface>eno2</interface></source></hostdev></devices>")
		list := func(inactive bool) (string, string) {
			nics, err := h.ListInterfaces(h.t.Context(), &davitv1.ListInterfacesRequest{Domain: byName("web"), Inactive: inactive})
			disks, err2 := h.ListBlockDevices(h.t.Context(), &davitv1.ListBlockDevicesRequest{Domain: byName("web"), Inactive: inactive})
			if err = errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			var a, b []string
			for _, n := range nics.GetInterfaces() {
				a = append(a, fmt.Sprintf("%s|%s|%s|%s|%s|%t|%v|%d", n.GetAlias(), n.GetSource(), n.GetHostDev(), n.GetGuestDev(), n.GetMac(), n.GetUp(),
					n.GetAddresses(), n.GetCounters().GetReceivedBytes()))
			}
			for _, d := range disks.GetBlockDevices() {
				b = append(b, fmt.Sprintf("%s|%s|%s|%t|%d", d.GetAlias(), d.GetTarget(), d.GetSource(), d.GetReadonly(), d.GetCapacityBytes()))
			}
			return strings.Join(a, "; "), strings.Join(b, "; ")
		}
		defined := [2]string{"|br0|||52:54:00:00:00:01|false|[192.0.2.1/24]|0; |eno2||eno2||true|[]|0", "|sda|/srv/image|true|0"}
		running := [2]string{
			"net0|br0|vnet0|eth0|52:54:00:00:00:01|false|[192.0.2.1/24]|1000; hostdev0|eno2||eno2||true|[]|2000",
			"scsi0-0-0|sda|/srv/image|true|1073741824",
		}
		for _, c := range []struct {
			inactive bool
			want     [2]string
		}{{false, defined}, {true, defined}} {
			nics, disks := list(c.inactive)
			if diff := cmp.Diff(c.want, [2]string{nics, disks}); diff != "" {
				t.Errorf("off, inactive %t (-want +got):\n%s", c.inactive, diff)
			}
		}
		h.boot("web")
		for inactive, want := range map[bool][2]string{false: running, true: defined} {
			nics, disks := list(inactive)
			if diff := cmp.Diff(want, [2]string{nics, disks}); diff != "" {
				t.Errorf("on, inactive %t (-want +got):\n%s", inactive, diff)
			}
		}
		stats, err := h.GetDomainStats(h.t.Context(), &davitv1.GetDomainStatsRequest{Domain: byName("web")})
		if err != nil || len(stats.GetStats().GetInterfaces()) != 2 || len(stats.GetStats().GetBlockDevices()) != 1 {
			t.Errorf("stats: %v, %v", stats, err)
		}
	})
}

// A device that was attached when the daemon was killed, and that the guest uses before the next daemon could take it back, stays and is told.
func TestKilledAndInUse(t *testing.T) {
	stayed := 0
	for steps := range 40 {
		killed := false
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.start()
			h.define("web", uuidWeb, oneNIC)
			h.boot("web")
			synctest.Wait()
			h.life.arm(steps)
			ctx, cancel := context.WithCancel(context.Background())
			go func() { _ = attachTo(davitv1.Affect_AFFECT_LIVE)(ctx, h) }()
			time.Sleep(time.Second)
			cancel()
			where := h.life.where()
			killed = h.life.dead()
			if err := h.host.Occupy(uuidWeb, "net1", true); err != nil {
				t.Fatal(err)
			}
			def, err := h.host.Definition(uuidWeb)
			if err != nil {
				t.Fatal(err)
			}
			there := len(def.GetDevices().GetInterface()) == 2
			for range 2 {
				h.kill()
				h.start()
				time.Sleep(time.Second)
				if !plugged(true, false, true)(h, there) {
					t.Errorf("killed %s: the device is there: %t, and the definition says:\n%s", where, there, h.xml("web", false))
				}
				if told := slices.Contains(h.told(), "web: added net1"); told != there {
					t.Errorf("killed %s: the device is there: %t, told are %q", where, there, h.told())
				}
			}
			if there && killed {
				stayed++
			}
			h.kill()
		})
		if !killed {
			break
		}
	}
	if stayed == 0 {
		t.Error("the daemon was never killed with the device in use")
	}
}

// Many devices that come and go at once leave nothing behind, and each has names of its own.
func TestManyDevices(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		h.boot("web")
		before := h.xml("web", false)
		const many = 100
		done := make(chan *davitv1.Device, many)
		for range many {
			go func() {
				r, err := h.AttachDevice(h.t.Context(), &davitv1.AttachDeviceRequest{Domain: byName("web"), Source: deviceText("<interface type='ethernet'/>")})
				if err != nil {
					t.Errorf("attach: %v", err)
				}
				done <- r.GetDevice()
			}()
		}
		names := map[string]bool{}
		var all []*davitv1.Device
		for range many {
			dev := <-done
			n := dev.GetInterface()
			names[n.GetAlias()], names[n.GetMac()], names[n.GetTargetDev()] = true, true, true
			all = append(all, proto.CloneOf(dev))
		}
		if len(names) != 3*many {
			t.Errorf("%d names for %d devices", len(names), many)
		}
		for _, dev := range all {
			go func() {
				_, err := h.DetachDevice(h.t.Context(), &davitv1.DetachDeviceRequest{Domain: byName("web"), Device: aliased(dev.GetInterface().GetAlias())})
				if err != nil {
					t.Errorf("detach: %v", err)
				}
				done <- nil
			}()
		}
		for range many {
			<-done
		}
		if diff := cmp.Diff(before, h.xml("web", false)); diff != "" {
			t.Errorf("afterwards:\n%s", diff)
		}
	})
}
