package domain_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// equipped is a canonical definition with one device of each kind and more.
const equipped = `<domain type='lxc'><name>web</name><uuid>6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a001</uuid><memory>65536</memory>
<os><type>exe</type><init>/sbin/init</init></os><devices>
<disk type='block'><source dev='/dev/sdx'/><target dev='sda'/></disk>
<disk type='file'><source file='/srv/image'/><target dev='vda'/></disk>
<filesystem><source dir='/srv/root'/><target dir='/'/></filesystem>
<filesystem><source dir='/srv/data'/><target dir='/data/a'/></filesystem>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><guest dev='eth0'/></interface>
<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/><target dev='web1'/><ip address='192.0.2.7'/><ip address='fe80::1'/></interface>
<console type='pty'/>
<hostdev mode='capabilities' type='misc'><source><char>/dev/fuse</char></source></hostdev>
<hostdev mode='capabilities' type='net'><source><interface>eno2</interface></source></hostdev>
<hostdev mode='subsystem' type='usb'><source><vendor id='0x046d'/><product id='0xc52b'/></source></hostdev>
</devices></domain>`

// storedDef is that definition, runningDef the one of a run of it.
func storedDef(t *testing.T) *davitv1.Domain {
	t.Helper()
	def, _, err := domain.Read(&davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: equipped}}, domain.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func runningDef(t *testing.T) *davitv1.Domain {
	t.Helper()
	def := storedDef(t)
	def.Id = 7
	domain.NameDevices(def)
	def.Devices.Interface[0].TargetDev = "vnet0"
	return def
}

func aliases(def *davitv1.Domain) string {
	var all []string
	for _, dev := range domain.Devices(def) {
		all = append(all, domain.DeviceAlias(dev))
	}
	return strings.Join(all, " ")
}

func madeMAC() string { return "52:54:00:aa:aa:aa" }

// Each kind can be added; what it leaves open is filled in, and the others keep their names.
func TestAttach(t *testing.T) {
	for _, c := range []struct{ text, alias string }{
		{"<disk type='file'><source file='/srv/more'/><target dev='sdb'/></disk>", "scsi0-0-1"},
		{"<disk type='file'><source file='/srv/more'/><target dev='vdb'/></disk>", "virtio-disk1"},
		{"<disk type='file'><source file='/srv/more'/><target dev='hda'/></disk>", "ide0-0-0"},
		{"<filesystem><source dir='/srv/more'/><target dir='/more'/></filesystem>", "fs2"},
		{"<filesystem type='ram'><source usage='10'/><target dir='/tmp'/><alias name='fs0'/></filesystem>", "fs2"},
		{"<interface type='bridge'><source bridge='br1'/></interface>", "net2"},
		{"<interface type='bridge'><source bridge='br1'/><target dev='vnet0'/><alias name='ua-mine'/></interface>", "ua-mine"},
		{"<console type='pty'/>", "console1"},
		{"<hostdev mode='capabilities' type='storage'><source><block>/dev/sdy</block></source></hostdev>", "hostdev3"},
	} {
		for _, running := range []bool{false, true} {
			def := storedDef(t)
			if running {
				def = runningDef(t)
			}
			before, was := proto.CloneOf(def), aliases(def)
			next, added, err := domain.Attach(def, device(t, c.text), madeMAC)
			if err != nil {
				t.Errorf("%s: %v", c.text, err)
				continue
			}
			if diff := cmp.Diff(before, def, protocmp.Transform()); diff != "" {
				t.Errorf("%s changed what it was given:\n%s", c.text, diff)
			}
			if len(domain.Devices(next)) != len(domain.Devices(def))+1 || domain.Validate(next) != nil {
				t.Errorf("%s: %v", c.text, next)
			}
			alias := ""
			if running {
				alias = c.alias
				for name := range strings.FieldsSeq(was) {
					if !strings.Contains(" "+aliases(next)+" ", " "+name+" ") {
						t.Errorf("%s: %s is gone: %s", c.text, name, aliases(next))
					}
				}
			}
			if got := domain.DeviceAlias(added); got != alias {
				t.Errorf("%s: alias %q, want %q", c.text, got, alias)
			}
			if n := added.GetInterface(); n != nil && (n.GetMac() != madeMAC() || n.GetTargetDev() != "") {
				t.Errorf("%s: %v", c.text, n)
			}
			// Taken away again, all is as before.
			sel, err := domain.ReadDeviceSelector(&davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Source{
				Source: &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Device{Device: added}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			back, removed, err := domain.Detach(next, sel)
			if err != nil {
				t.Errorf("%s: detach: %v", c.text, err)
				continue
			}
			back.Devices.Controller = def.GetDevices().GetController() // libvirt keeps those that were added
			if diff := cmp.Diff(def, back, protocmp.Transform()); diff != "" {
				t.Errorf("%s, attached and detached (-was +is):\n%s", c.text, diff)
			}
			if diff := cmp.Diff(added, removed, protocmp.Transform()); diff != "" {
				t.Errorf("%s, detached (-attached +detached):\n%s", c.text, diff)
			}
		}
	}
}

// An alias that is free again is the next one's.
func TestAttachFillsGap(t *testing.T) {
	def := runningDef(t)
	next, _, err := domain.Detach(def, byAlias(t, "net0"))
	if err != nil {
		t.Fatal(err)
	}
	next, added, err := domain.Attach(next, device(t, "<interface type='ethernet'/>"), nil)
	if err != nil || domain.DeviceAlias(added) != "net0" || added.GetInterface().GetMac() == "" {
		t.Fatalf("%v, %v", added, err)
	}
	if got := next.GetDevices().GetInterface()[0].GetAlias(); got != "net1" {
		t.Errorf("the other one is %s now", got)
	}
}

func byAlias(t *testing.T, alias string) *domain.DeviceSelection {
	t.Helper()
	sel, err := domain.ReadDeviceSelector(&davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Alias{Alias: alias}})
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

// What another device has is refused by its name, in every combination of kinds.
func TestAttachExists(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"<disk type='file'><source file='/srv/more'/><target dev='sda'/></disk>", `disk scsi0-0-0 "sda" has the node "/dev/sda" already`},
		{"<filesystem><source dir='/x'/><target dir='/data/a/'/></filesystem>", `filesystem fs1 "/data/a" has the target "/data/a" already`},
		{"<filesystem><source dir='/x'/><target dir='/data'/></filesystem>", `filesystem fs1 "/data/a" has a target that this one would hide, "/data/a" already`},
		{"<interface type='ethernet'><mac address='52:54:0:0:0:1'/></interface>", `interface net0 "52:54:00:00:00:01" has the hardware address "52:54:00:00:00:01" already`},
		{"<interface type='ethernet'><guest dev='eth0'/></interface>", `has the name "eth0" inside already`},
		{"<interface type='ethernet'><guest dev='eno2'/></interface>", `hostdev hostdev1 "eno2" has the name "eno2" inside already`},
		{"<interface type='ethernet'><target dev='web1'/></interface>", `has the name "web1" on the host already`},
		{"<interface type='ethernet'><target dev='eno2'/></interface>", `has the name "eno2" on the host already`},
		{"<interface type='ethernet'><alias name='ua-x'/></interface>", ""},
		{"<interface type='ethernet'><ip address='192.0.2.7'/></interface>", `interface net1 "52:54:00:00:00:02" has the address "192.0.2.7" already`},
		{"<interface type='ethernet'><ip address='fe80::1'/></interface>", ""},
		{"<hostdev mode='capabilities' type='misc'><source><char>/dev/fuse</char></source></hostdev>", `hostdev hostdev0 "/dev/fuse" has the node "/dev/fuse" already`},
		{"<hostdev mode='capabilities' type='storage'><source><block>/dev/sda</block></source></hostdev>", `disk scsi0-0-0 "sda" has the node "/dev/sda" already`},
		{"<hostdev mode='capabilities' type='net'><source><interface>eth0</interface></source></hostdev>", `interface net0 "52:54:00:00:00:01" has the name "eth0" inside already`},
		{"<hostdev mode='subsystem' type='usb'><source><vendor id='0x46d'/><product id='50475'/></source></hostdev>", "has the usb device"},
	} {
		_, _, err := domain.Attach(runningDef(t), device(t, c.text), madeMAC)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		var refusal *domain.Error
		if !errors.As(err, &refusal) || !errors.Is(err, domain.ErrExists) ||
			refusal.Reason != davitv1.ErrorReason_ERROR_REASON_DEVICE_EXISTS || refusal.Detail["device"] == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}

// What cannot be is refused at its place in the document of the device.
func TestAttachInvalid(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"<interface type='bridge'>\n <mac address='01:54:00:00:00:01'/><source bridge='br0'/></interface>", `2:7: /interface/mac/@address: "01:54:00:00:00:01" is a multicast address`},
		{"<interface type='bridge'/>", "1:1: /interface/source/@bridge: an interface of type bridge needs a bridge"},
		{"<interface/>", "1:1: /interface/@type: containers have no user-mode networks"},
		{"<disk type='file'><source file='/srv/a'/><driver type='qcow2'/><target dev='sdb'/></disk>", `/disk/driver/@type: "qcow2" is not raw`},
		{"<disk type='file'><source file='/srv/a'/></disk>", "/disk/target/@dev: a disk needs a target"},
		{"<filesystem><source dir='srv'/><target dir='/srv'/></filesystem>", "1:21: /filesystem/source/@dir: source \"srv\" is not absolute"},
		{"<filesystem><source dir='/srv'/><target dir='/a/../b'/></filesystem>", "/filesystem/target/@dir: target \"/a/../b\" contains \"..\""},
		{"<hostdev mode='capabilities' type='misc'/>", "/hostdev/source/char: a misc device needs its character device"},
	} {
		doc, err := domain.ReadDevice(written(c.text), true)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		_, _, err = domain.Attach(storedDef(t), doc.Device, madeMAC)
		if err = doc.Locate(err); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}

// A selector finds one device by what it says of it, or says why it does not.
func TestSelect(t *testing.T) {
	for _, c := range []struct{ text, stored, running string }{
		{"<disk><target dev='sda'/></disk>", "sda", "sda"},
		{"<disk type='block'><target dev='sda'/><readonly/></disk>", "sda", "sda"},
		{"<disk type='file'><target dev='sda'/></disk>", "NOT_FOUND", "NOT_FOUND"},
		{"<disk type='file'><source file='/srv/image'/></disk>", "vda", "vda"},
		{"<filesystem><target dir='/data/a/'/></filesystem>", "/data/a", "/data/a"},
		{"<filesystem type='mount'/>", "2 devices fit", "filesystem fs0 \"/\", filesystem fs1 \"/data/a\""},
		{"<filesystem/>", "it says nothing", "it says nothing"},
		{"<interface type='bridge'><mac address='52-54-00-00-00-01'/></interface>", "52:54:00:00:00:01", "52:54:00:00:00:01"},
		{"<interface><guest dev='eth0'/></interface>", "52:54:00:00:00:01", "52:54:00:00:00:01"},
		{"<interface><target dev='vnet0'/></interface>", "it says nothing", "52:54:00:00:00:01"},
		{"<interface><target dev='web1'/></interface>", "52:54:00:00:00:02", "52:54:00:00:00:02"},
		{"<interface><alias name='net1'/><target dev='vnet0'/></interface>", "it says nothing", "NOT_FOUND"},
		{"<interface type='bridge'/>", "2 devices fit", "2 devices fit: interface net0 \"52:54:00:00:00:01\", interface net1 \"52:54:00:00:00:02\"; say which"},
		{"<interface type='network'/>", "NOT_FOUND", "interface with type \"network\""},
		{"<hostdev><source><char>/dev/fuse</char></source></hostdev>", "/dev/fuse", "/dev/fuse"},
		{"<hostdev type='usb'/>", "0xc52b", "0xc52b"},
		{"<console><target port='0'/></console>", "only one", "only one"},
	} {
		for def, want := range map[*davitv1.Domain]string{storedDef(t): c.stored, runningDef(t): c.running} {
			sel, err := domain.ReadDeviceSelector(&davitv1.DeviceSelector{By: &davitv1.DeviceSelector_Source{Source: written(c.text)}})
			if err != nil {
				t.Fatal(err)
			}
			_, removed, err := domain.Detach(def, sel)
			got := fmt.Sprint(domain.DescribeDevice(removed), err)
			if errors.Is(err, domain.ErrNotFound) {
				got += " NOT_FOUND"
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s, running %t: %s, want %s", c.text, def.GetId() != 0, got, want)
			}
		}
	}
	for _, sel := range []*davitv1.DeviceSelector{nil, {}, {By: &davitv1.DeviceSelector_Alias{}}, {By: &davitv1.DeviceSelector_Source{}}} {
		if s, err := domain.ReadDeviceSelector(sel); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%v: %v, %v", sel, s, err)
		}
	}
	if _, _, err := domain.Detach(runningDef(t), byAlias(t, "net7")); !errors.Is(err, domain.ErrNotFound) || !strings.Contains(err.Error(), `device with alias "net7"`) {
		t.Errorf("an alias that nobody has: %v", err)
	}
}

// A device is found again in another definition of its domain by what stays the same of it.
func TestSelectAgain(t *testing.T) {
	stored := storedDef(t)
	for _, dev := range domain.Devices(runningDef(t)) {
		found, err := domain.FindDevice(stored, domain.SelectDevice(dev))
		if err != nil {
			t.Errorf("%s: %v", domain.DescribeDevice(dev), err)
		} else if domain.DeviceAlias(found) != "" {
			t.Errorf("%v has an alias", found)
		}
	}
}

// A device takes the place of the one that it is known by, and keeps what was made up for that.
func TestReplace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br9'/><guest dev='eth0'/></interface>", ""},
		{"<interface type='bridge'><source bridge='br9'/><guest dev='eth0'/><link state='down'/></interface>", ""},
		{"<interface type='bridge'><alias name='net0'/><source bridge='br9'/><guest dev='eth0'/></interface>", ""},
		{"<interface type='bridge'><alias name='net0'/><source bridge='br9'/><guest dev='eth0'/><vlan><tag id='4'/></vlan></interface>", ""},
		{"<interface type='bridge'><guest dev='eth0'/><source bridge='br0'/><bandwidth><inbound average='9'/></bandwidth><port isolated='yes'/></interface>", ""},
		{"<interface type='ethernet'><guest dev='eth0'/></interface>", "/interface/@type"},
		{"<interface type='bridge'><guest dev='eth0'/><source bridge='br0'/><mtu size='1400'/><ip address='192.0.2.1'/></interface>", "/interface/mtu/@size"},
		{"<interface type='bridge'><alias name='net0'/><mac address='52:54:00:00:00:09'/><guest dev='eth0'/><source bridge='br0'/></interface>", "/interface/mac/@address"},
		{"<interface type='bridge'><alias name='net0'/><source bridge='br0'/></interface>", "/interface/guest/@dev"},
		{"<disk type='block'><source dev='/dev/sdx'/><target dev='sda'/></disk>", ""},
		{"<disk type='block'><source dev='/dev/sdx'/><target dev='sda'/><readonly/></disk>", "/disk/readonly"},
		{"<filesystem><source dir='/srv/other'/><target dir='/data/a'/></filesystem>", "/filesystem/source/@dir"},
		{"<hostdev mode='capabilities' type='net'><source><interface>eno2</interface></source><ip address='192.0.2.1'/></hostdev>", "/hostdev/ip[1]"},
	} {
		def := runningDef(t)
		next, old, now, err := domain.Replace(def, device(t, c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if aliases(next) != aliases(def) || domain.DeviceAlias(now) != domain.DeviceAlias(old) {
			t.Errorf("%s: aliases are %s, were %s", c.text, aliases(next), aliases(def))
		}
		if n := now.GetInterface(); n != nil && n.GetTargetDev() != old.GetInterface().GetTargetDev() {
			t.Errorf("%s: the host end is %q, was %q", c.text, n.GetTargetDev(), old.GetInterface().GetTargetDev())
		}
		err = domain.CanChange(def, old, now)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(fmt.Sprint(err), c.want)) {
			t.Errorf("%s in a running domain: %v, want %q", c.text, err, c.want)
		}
		if strings.Contains(fmt.Sprint(err), "{") {
			t.Errorf("%s in a running domain: %v, with JSON in it", c.text, err)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"<interface type='ethernet'><mac address='52:54:00:00:00:07'/></interface>", `it has no interface with mac "52:54:00:00:00:07"`},
		{"<interface type='ethernet'/>", "it says nothing by which interface is told from others"},
		{"<interface type='ethernet'><mac address='52:54:00:00:00:01'/><target dev='web1'/></interface>", `has the name "web1" on the host already`},
		{"<interface type='bridge'><mac address='52:54:00:00:00:01'/></interface>", "needs a bridge"},
	} {
		if _, _, _, err := domain.Replace(storedDef(t), device(t, c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}

// What a running domain keeps is told as a word, or by its place if it is an element with others in it.
func TestKeptIsTold(t *testing.T) {
	def := runningDef(t)
	def.Devices.Interface[0].Ip = []*davitv1.IpAddress{{Address: "192.0.2.7"}}
	_, old, now, err := domain.Replace(def, device(t, "<interface type='bridge'><guest dev='eth0'/><source bridge='br0'/><mtu size='1400'/></interface>"))
	if err != nil {
		t.Fatal(err)
	}
	e, ok := errors.AsType[*domain.Error](domain.CanChange(def, old, now))
	if !ok {
		t.Fatal("it can be changed")
	}
	var told []string
	for _, v := range e.Violations {
		told = append(told, v.XMLPath+": "+v.Message)
	}
	slices.Sort(told)
	const keeps, again = "a running domain keeps what it was started with", "; detach the device and attach it anew"
	if diff := cmp.Diff([]string{"/interface/ip[1]: " + keeps + again, "/interface/mtu/@size: " + keeps + ", none" + again}, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Consoles and roots stay while a domain runs.
func TestCanPlug(t *testing.T) {
	def := runningDef(t)
	var kept []string
	for _, dev := range domain.Devices(def) {
		err := domain.CanPlug(def, dev, "detach")
		if errors.Is(err, domain.ErrFailedPrecondition) {
			kept = append(kept, domain.DeviceAlias(dev))
		} else if err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(kept, []string{"fs0", "console0"}) {
		t.Errorf("kept are %v", kept)
	}
}

// What kinds of devices have in common is refused in definitions, too.
func TestDeviceClashes(t *testing.T) {
	def := storedDef(t)
	def.Devices.Interface[0].Ip = []*davitv1.IpAddress{{Address: "192.0.2.7", Family: davitv1.IpFamily_IP_FAMILY_IPV4}}
	def.Devices.Hostdev = append(def.Devices.Hostdev,
		&davitv1.Hostdev{Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_STORAGE, SourceBlock: "/dev/sda"},
		&davitv1.Hostdev{Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_NET, SourceInterface: "eth0"},
		&davitv1.Hostdev{Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_NET, SourceInterface: "web1"})
	var refusal *domain.Error
	if err := domain.Validate(def); !errors.As(err, &refusal) {
		t.Fatalf("it is valid: %v", err)
	}
	var got []string
	for _, v := range refusal.Violations {
		got = append(got, v.String())
	}
	want := []string{
		`/domain/devices/interface[2]/ip[1]/@address: interface "52:54:00:00:00:01" has the address "192.0.2.7" already`,
		`/domain/devices/hostdev[4]/source/block: disk "sda" has the node "/dev/sda" already`,
		`/domain/devices/hostdev[5]/source/interface: interface "52:54:00:00:00:01" has the name "eth0" inside already`,
		`/domain/devices/hostdev[6]/source/interface: interface "52:54:00:00:00:02" has the name "web1" on the host already`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}
