package domain

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// hot are the fields of devices, by their kinds, that a running domain can be changed in. All else of a device it keeps as long as it
// has the device.
var hot = map[string][]string{
	"interface": {
		"link_state", "source_bridge", "source_network", "source_portgroup", "port_isolated", "vlan", "bandwidth",
	},
}

// pluggable are the kinds of devices that a running domain can be given, and that can be taken from it.
var pluggable = []string{"disk", "filesystem", "interface", "hostdev"}

// isHot tells whether a path without places is that of a field of a device that a running domain can be changed in, or in one.
func isHot(path string) bool {
	kind, field, below := strings.Cut(strings.TrimPrefix(path, "devices."), ".")
	if !below || !strings.HasPrefix(path, "devices.") {
		return false
	}
	name, _, _ := strings.Cut(field, ".")
	return slices.Contains(hot[kind], name)
}

// isPluggable tells whether a path is that of a list of devices that can come and go while the domain runs.
func isPluggable(path string) bool {
	kind, ok := strings.CutPrefix(path, "devices.")
	return ok && slices.Contains(pluggable, kind)
}

// CanPlug refuses devices that a running domain cannot be given, or that cannot be taken from it.
func CanPlug(def *davitv1.Domain, dev *davitv1.Device, verb string) error {
	kind, _ := kindOf(dev)
	var why string
	switch {
	case !slices.Contains(pluggable, kind):
		why = fmt.Sprintf("a running domain keeps each %s that it was started with", kind)
	case isRoot(dev):
		why = keptRoot
	default:
		return nil
	}
	return notLive(def, dev, verb, []Violation{{Field: kind, XMLPath: "/" + deviceField(kind).opts.GetPath(), Message: why}})
}

// keptRoot is why a root stays.
const keptRoot = "a running domain keeps its root"

// keepsRoot tells why a change that is a root's that comes or goes has to wait, if it is one.
func keepsRoot(c *davitv1.FieldChange, from, to *davitv1.Domain) string {
	def := to
	if c.GetNew() == "" {
		def = from
	}
	for i, f := range def.GetDevices().GetFilesystem() {
		if c.GetField() == entryOf("devices.filesystem", i) && isRoot(deviceOf("filesystem", f.ProtoReflect())) {
			return keptRoot
		}
	}
	return ""
}

// isRoot tells whether a device is the root of its domain.
func isRoot(dev *davitv1.Device) bool {
	f := dev.GetFilesystem()
	return f != nil && comparableText("filesystem", f.ProtoReflect(), "target_dir") == "/"
}

// CanChange refuses to make a device of a running domain another one in what it keeps as long as it has the device. Each such field is
// named.
func CanChange(def *davitv1.Domain, old, now *davitv1.Device) error {
	var keeps []Violation
	for _, c := range deviceChanges(old, now) {
		if c.GetEffect() == davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT {
			keeps = append(keeps, Violation{Field: c.GetField(), XMLPath: c.GetXmlPath(), Message: fmt.Sprintf(
				"a running domain keeps what it was started with%s; detach the device and attach it anew", keptText(c.GetOld()))})
		}
	}
	if len(keeps) == 0 {
		return nil
	}
	return notLive(def, now, "change", keeps)
}

// keptText is what a running domain keeps, where that is a word: what is an element with others in it, which a change tells in JSON, is
// named by its place alone.
func keptText(old string) string {
	switch {
	case old == "":
		return ", none"
	case strings.HasPrefix(old, "{"), strings.HasPrefix(old, "["):
		return ""
	}
	return ", " + old
}

// deviceChanges tell how one device becomes another, field by field, with places below the device.
func deviceChanges(old, now *davitv1.Device) []*davitv1.FieldChange {
	kind, was := kindOf(old)
	_, is := kindOf(now)
	f := deviceField(kind)
	d := &differ{}
	at := &place{parent: &place{xml: domainSchema().root.String()}, xml: "devices", field: "devices"}
	d.message(f.message, rested(kind, was), rested(kind, is), &place{parent: at, xml: f.opts.GetPath(), field: f.name})
	for _, c := range d.changes {
		c.Effect = fieldEffect(f, c.GetField())
		c.Field = strings.TrimPrefix(c.GetField(), "devices.")
		c.XmlPath = strings.TrimPrefix(c.GetXmlPath(), "/"+domainSchema().root.String()+"/devices")
	}
	return d.changes
}

// rested is a copy of a device without what belongs to a run.
func rested(kind string, m protoreflect.Message) protoreflect.Message {
	dev := deviceOf(kind, proto.Clone(m.Interface()).ProtoReflect())
	strip(dev, false)
	_, copied := kindOf(dev)
	return copied
}

// fieldEffect is what a change of a field of a device comes down to, whatever is said of its list as a whole.
func fieldEffect(list *field, path string) davitv1.ChangeEffect {
	names := []string{"devices", list.name}
	effect := davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT
	s := list.message
	for step := range strings.SplitSeq(strings.TrimPrefix(path, "devices."+list.name+"."), ".") {
		name, _, _ := strings.Cut(step, "[")
		if s == nil || s.byName[name] == nil {
			break
		}
		f := s.byName[name]
		names = append(names, name)
		own, _ := f.effect(strings.Join(names, "."))
		if own != davitv1.ChangeEffect_CHANGE_EFFECT_UNSPECIFIED {
			effect = own
		}
		s = f.message
	}
	return effect
}

// notLive refuses what only a stored definition can take.
func notLive(def *davitv1.Domain, dev *davitv1.Device, verb string, why []Violation) error {
	return &Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
		Op: verb + " device of domain", Subject: def.GetName(),
		Message:    DescribeDevice(dev) + " cannot be changed so while the domain is active; its definition can",
		Detail:     map[string]string{"domain": def.GetName(), "device": DescribeDevice(dev), "action": verb},
		Violations: why,
	}
}
