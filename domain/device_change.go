package domain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The changes of devices take a canonical definition, stored or of a running domain, and give another that is canonical and as a
// whole valid; theirs is not changed. In a definition of a running domain, which has a number, the device has an alias; in a stored
// one nothing of a device is kept that only a run has.

// Attach adds a device, and gives it as it is then. What is left open is filled in as it is in a definition; newMAC makes up hardware
// addresses, [NewMAC] when nil. Something that another device has already is an error with reason DEVICE_EXISTS.
func Attach(def *davitv1.Domain, dev *davitv1.Device, newMAC func() string) (next *davitv1.Domain, added *davitv1.Device, err error) {
	next, dev = changing(def), proto.CloneOf(dev)
	strip(dev, isLive(def))
	kind, m := kindOf(dev)
	if err := restoreDevice(def.GetName(), dev, nil); err != nil {
		return nil, nil, err
	}
	if err := clash(next, dev, nil); err != nil {
		return nil, nil, err
	}
	list := deviceList(next, kind)
	at := list.Len()
	list.Append(protoreflect.ValueOfMessage(m))
	if f := dev.GetFilesystem(); f != nil && comparableText(kind, m, "target_dir") == "/" {
		at = 0
		next.Devices.Filesystem = append([]*davitv1.Filesystem{f}, next.Devices.Filesystem[:list.Len()-1]...)
	}
	if newMAC == nil {
		newMAC = NewMAC
	}
	applyMACs(next.GetDevices().GetInterface(), newMAC)
	if err := admit(next, kind, at); err != nil {
		return nil, nil, err
	}
	return next, proto.CloneOf(dev), nil
}

// Detach removes the device that is selected, and gives it as it was.
func Detach(def *davitv1.Domain, sel *DeviceSelection) (next *davitv1.Domain, removed *davitv1.Device, err error) {
	next = changing(def)
	dev, err := sel.in(next).find(next)
	if err != nil {
		return nil, nil, err
	}
	kind, m := kindOf(dev)
	list := deviceList(next, kind)
	if kind == "console" && list.Len() == 1 {
		return nil, nil, selectorFault("%s is the only one: a domain has at least one console", DescribeDevice(dev))
	}
	removed = proto.CloneOf(dev)
	withoutEntry(list, indexOf(list, m))
	return next, removed, admit(next, "", 0)
}

// Replace puts a device in the place of the one of its alias, or if it has none in the place of the one that it is otherwise known by: of
// a disk and a mount the target, of an interface the hardware address, or a name, of a device of the host what it is. What was made up
// for the old one stays.
func Replace(def *davitv1.Domain, dev *davitv1.Device) (next *davitv1.Domain, old, now *davitv1.Device, err error) {
	running := isLive(def)
	next, now = changing(def), proto.CloneOf(dev)
	sel := newSelector(now, running, knownBy(now))
	if sel.alias != "" {
		sel.terms = nil
	}
	strip(now, running)
	found, err := sel.find(next)
	if err != nil {
		return nil, nil, nil, err
	}
	inherit(now, found)
	if err := restoreDevice(def.GetName(), now, found); err != nil {
		return nil, nil, nil, err
	}
	kind, m := kindOf(found)
	list := deviceList(next, kind)
	at := indexOf(list, m)
	if err := clash(next, now, found); err != nil {
		return nil, nil, nil, err
	}
	_, replacement := kindOf(now)
	list.Set(at, protoreflect.ValueOfMessage(replacement))
	if err := admit(next, kind, at); err != nil {
		return nil, nil, nil, err
	}
	return next, proto.CloneOf(found), proto.CloneOf(now), nil
}

// changing is a copy of a definition that has devices.
func changing(def *davitv1.Domain) *davitv1.Domain {
	next := proto.CloneOf(def)
	if next.Devices == nil {
		next.Devices = &davitv1.Devices{}
	}
	return next
}

// strip takes from a device what is not its author's to say. Aliases of users' own are kept while the domain runs.
func strip(dev *davitv1.Device, running bool) {
	kind, m := kindOf(dev)
	alias := deviceText(kind, m, "alias")
	clearLive(deviceField(kind).message, m)
	if running && strings.HasPrefix(alias, userAlias) {
		setText(kind, m, "alias", alias)
	}
	if i := dev.GetInterface(); isGenerated(i.GetTargetDev()) {
		i.TargetDev = ""
	}
}

// inherit gives a device what was made up for the one whose place it takes, where it says nothing of it.
func inherit(now, old *davitv1.Device) {
	kind, m := kindOf(now)
	_, was := kindOf(old)
	if alias := deviceText(kind, was, "alias"); alias != "" {
		setText(kind, m, "alias", alias)
	}
	if i := now.GetInterface(); i != nil {
		i.Mac = or(i.GetMac(), old.GetInterface().GetMac())
		if i.GetTargetDev() == "" && isGenerated(old.GetInterface().GetTargetDev()) {
			i.TargetDev = old.GetInterface().GetTargetDev()
		}
	}
	if d := now.GetDisk(); d != nil && d.GetAddress() == nil && d.GetTargetBus() == 0 {
		d.TargetBus, d.Address = old.GetDisk().GetTargetBus(), proto.CloneOf(old.GetDisk().GetAddress())
	}
	if c := now.GetConsole(); c != nil {
		c.Tty, c.SourcePath = old.GetConsole().GetTty(), old.GetConsole().GetSourcePath()
	}
}

// indexOf is the place of a message in a list that holds it.
func indexOf(list protoreflect.List, m protoreflect.Message) int {
	for i := range list.Len() {
		if list.Get(i).Message().Interface() == m.Interface() {
			return i
		}
	}
	return -1
}

// admit completes a definition whose devices were changed, and refuses what cannot be. Faults of the changed device, the i-th of its
// kind, have places below it.
func admit(next *davitv1.Domain, kind string, i int) error {
	complete(next)
	if isLive(next) {
		NameDevices(next)
	}
	f := findFaults(next, "")
	for n, v := range f.list {
		if kind == "" {
			break
		}
		f.list[n].Field, f.list[n].XMLPath, _ = belowDevice(v.Field, v.XMLPath, kind, i)
	}
	if len(f.list) > 0 {
		return invalid(next, f)
	}
	arrange(next)
	return storable(next)
}

// claim is something that one device of a domain has and no other can, with the field that says so.
type claim struct{ what, field string }

// claims are those of a device.
func claims(dev *davitv1.Device) []claim {
	kind, m := kindOf(dev)
	var all []claim
	add := func(format, field string) {
		if text := comparableText(kind, m, field); text != "" {
			all = append(all, claim{fmt.Sprintf(format, quote(text)), field})
		}
	}
	switch kind {
	case "disk":
		if name := deviceText(kind, m, "target_dev"); name != "" {
			all = append(all, claim{"the node " + quote("/dev/"+name), "target_dev"})
		}
	case "filesystem":
		add("the target %s", "target_dir")
	case "interface":
		add("the hardware address %s", "mac")
		add("the name %s on the host", "target_dev")
		add("the name %s inside", "guest_dev")
		all = append(all, addressClaims(dev.GetInterface().GetIp())...)
	case "serial":
		add("the port %s", "target_port")
	case "hostdev":
		all = append(all, addressClaims(dev.GetHostdev().GetIp())...)
		add("the node %s", "source_block")
		add("the node %s", "source_char")
		add("the name %s on the host", "source_interface")
		add("the name %s inside", "source_interface")
		if dev.GetHostdev().GetType() == davitv1.HostdevType_HOSTDEV_TYPE_USB {
			all = append(all, claim{"the usb device " + newSelector(dev, false, knownBy(dev)).String(), "source_vendor_id"})
		}
	}
	add("the alias %s", "alias")
	return all
}

// addressClaims are those of addresses. Those of one link only are not unique.
func addressClaims(ips []*davitv1.IpAddress) []claim {
	var all []claim
	for i, ip := range ips {
		if addr, err := netip.ParseAddr(ip.GetAddress()); err == nil && !addr.IsLinkLocalUnicast() {
			all = append(all, claim{"the address " + quote(addr.String()), entryOf("ip", i) + ".address"})
		}
	}
	return all
}

// clash refuses a device that has what another of the definition has, but for the one whose place it takes, or that would hide one.
func clash(def *davitv1.Domain, dev, replaced *davitv1.Device) error {
	own := claims(dev)
	for _, other := range Devices(def) {
		if replaced != nil && sameDevice(other, replaced) {
			continue
		}
		for _, theirs := range claims(other) {
			for _, c := range own {
				if c.what == theirs.what {
					return exists(def, dev, other, c.what)
				}
			}
		}
		if hides(dev, other) && (replaced == nil || !hides(replaced, other)) {
			return exists(def, dev, other, "a target that this one would hide, "+quote(other.GetFilesystem().GetTargetDir()))
		}
	}
	return nil
}

// sameDevice tells whether two are one device of a definition.
func sameDevice(a, b *davitv1.Device) bool {
	_, one := kindOf(a)
	_, two := kindOf(b)
	return one.Interface() == two.Interface()
}

// hides tells whether a mount would stand over another one that is not below the root only.
func hides(dev, other *davitv1.Device) bool {
	if dev.GetFilesystem() == nil || other.GetFilesystem() == nil {
		return false
	}
	above := comparableText("filesystem", dev.GetFilesystem().ProtoReflect(), "target_dir")
	return above != "/" && strings.HasPrefix(comparableText("filesystem", other.GetFilesystem().ProtoReflect(), "target_dir"), above+"/")
}

// exists says that a device of the domain has something already.
func exists(def *davitv1.Domain, dev, other *davitv1.Device, what string) error {
	return &Error{
		Code: codes.AlreadyExists, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_EXISTS,
		Op: "add device to domain", Subject: def.GetName(),
		Message: fmt.Sprintf("%s has %s already", DescribeDevice(other), what),
		Detail:  map[string]string{"domain": def.GetName(), "device": DescribeDevice(other), "given": DescribeDevice(dev)},
	}
}

// clashes refuses devices of the host that have what a device of another kind has, and interfaces that have an address of another. All else
// is told where the devices of one kind are compared.
func (v *validator) clashes(d *davitv1.Devices) {
	if !mayClash(d) {
		return
	}
	owner := map[string]*davitv1.Device{}
	count := map[string]int{}
	for _, dev := range Devices(&davitv1.Domain{Devices: d}) {
		kind, _ := kindOf(dev)
		for _, c := range claims(dev) {
			first := owner[c.what]
			switch {
			case first == nil:
				owner[c.what] = dev
			case strings.HasPrefix(c.field, "ip[") && !sameDevice(first, dev), c.field != "alias" && first.GetHostdev() == nil && dev.GetHostdev() != nil:
				v.fault(v.entry("devices."+kind, count[kind], c.field), "%s has %s already", DescribeDevice(first), c.what)
			}
		}
		count[kind]++
	}
}

// mayClash tells, at little cost, whether there can be a clash at all: devices of the host beside others, or an address twice.
func mayClash(d *davitv1.Devices) bool {
	if len(d.GetHostdev()) > 0 && len(d.GetDisk())+len(d.GetFilesystem())+len(d.GetInterface()) > 0 {
		return true
	}
	seen := map[netip.Addr]int{}
	twice := func(i int, ips []*davitv1.IpAddress) bool {
		return slices.ContainsFunc(ips, func(ip *davitv1.IpAddress) bool {
			addr, err := netip.ParseAddr(ip.GetAddress())
			first, ok := taken(seen, addr, i)
			return err == nil && ok && first != i
		})
	}
	for i, n := range d.GetInterface() {
		if twice(i, n.GetIp()) {
			return true
		}
	}
	for i, h := range d.GetHostdev() {
		if twice(i, h.GetIp()) {
			return true
		}
	}
	return false
}
