package domain

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// selective are, for each kind, the fields by which a selector tells a device from others. What else a selector says is of no account.
var selective = map[string][]string{
	"disk":       {"target_dev", "type", "source_file", "source_dev"},
	"filesystem": {"target_dir", "type", "source_dir", "source_file", "source_dev", "source_name", "source_pool", "source_volume"},
	"interface": {
		"mac", "guest_dev", "target_dev", "type", "source_bridge", "source_network", "source_portgroup", "source_dev", "source_mode",
	},
	"serial":  {"target_port"},
	"console": {"target_port"},
	"hostdev": hostdevIdentity,
}

// hostdevIdentity are the fields that say what a device of the host is.
var hostdevIdentity = identities["Hostdev"][0]

// selector is how a device is looked for.
type selector struct {
	kind  string // any when empty
	alias string
	terms []term
}

// term is a field that must say something.
type term struct{ field, text string }

// String is the selector in words.
func (s *selector) String() string {
	var words []string
	if s.alias != "" {
		words = append(words, "alias "+quote(s.alias))
	}
	for _, t := range s.terms {
		words = append(words, strings.ReplaceAll(t.field, "_", " ")+" "+quote(t.text))
	}
	return or(s.kind, "device") + " with " + strings.Join(words, ", ")
}

// isLive tells whether a definition is that of a running domain, whose devices have aliases and names that were made up for it.
func isLive(def *davitv1.Domain) bool { return def.GetId() != 0 }

// comparable is a field of a device as two devices are compared by it.
func comparableText(kind string, m protoreflect.Message, field string) string {
	text := deviceText(kind, m, field)
	switch field {
	case "mac":
		if mac, err := parseMAC(text); err == nil {
			return mac.String()
		}
	case "target_dir", "source_dir":
		if text != "" {
			return path.Clean(text)
		}
	case "source_vendor_id", "source_product_id":
		if id, err := parseUSBID(text); err == nil {
			return formatUSBID(id)
		}
	}
	return text
}

// newSelector makes a selector of a device as far as it says what tells it from others. Of one that is looked for in a stored
// definition, what only a run has does not count.
func newSelector(dev *davitv1.Device, running bool, fields func(kind string) []string) *selector {
	kind, m := kindOf(dev)
	s := &selector{kind: kind}
	if running {
		s.alias = deviceText(kind, m, "alias")
	}
	for _, name := range fields(kind) {
		text := comparableText(kind, m, name)
		if text == "" || name == "target_dev" && kind == "interface" && !running && isGenerated(text) {
			continue
		}
		s.terms = append(s.terms, term{name, text})
	}
	return s
}

// fits tells whether a device is one that is looked for.
func (s *selector) fits(dev *davitv1.Device) bool {
	kind, m := kindOf(dev)
	if s.kind != "" && kind != s.kind || s.alias != "" && deviceText(kind, m, "alias") != s.alias {
		return false
	}
	for _, t := range s.terms {
		if comparableText(kind, m, t.field) != t.text {
			return false
		}
	}
	return true
}

// find gives the one device of a definition that fits.
func (s *selector) find(def *davitv1.Domain) (*davitv1.Device, error) {
	if s.alias == "" && len(s.terms) == 0 {
		return nil, selectorFault("it says nothing by which %s is told from others: name its alias or its %s", or(s.kind, "a device"),
			strings.ReplaceAll(strings.Join(namedBy[s.kind], ", "), "_", " "))
	}
	var fitting []*davitv1.Device
	for _, dev := range Devices(def) {
		if s.fits(dev) {
			fitting = append(fitting, dev)
		}
	}
	switch len(fitting) {
	case 1:
		return fitting[0], nil
	case 0:
		return nil, &Error{
			Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_NOT_FOUND,
			Op: "find device of domain", Subject: def.GetName(), Message: "it has no " + s.String(),
			Detail: map[string]string{"domain": def.GetName(), "device": s.String()},
		}
	}
	names := make([]string, 0, len(fitting))
	for _, dev := range fitting[:min(len(fitting), maxCandidates)] {
		names = append(names, DescribeDevice(dev))
	}
	if more := len(fitting) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return nil, selectorFault("%d devices fit: %s; say which", len(fitting), strings.Join(names, ", "))
}

// maxCandidates is how many devices are named that a selector could mean.
const maxCandidates = 8

// selectorFault refuses a selector.
func selectorFault(format string, args ...any) error {
	return &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, Op: "find device",
		Violations: []Violation{{Field: "device", Message: fmt.Sprintf(format, args...)}},
	}
}

// DeviceSelection is a way to find one device of a definition.
type DeviceSelection struct {
	alias string
	dev   *davitv1.Device
	known bool // dev is a device of another definition of the domain, not what somebody wrote
}

// ReadDeviceSelector reads how a device is selected.
func ReadDeviceSelector(sel *davitv1.DeviceSelector) (*DeviceSelection, error) {
	switch by := sel.GetBy().(type) {
	case *davitv1.DeviceSelector_Alias:
		if by.Alias != "" {
			return &DeviceSelection{alias: by.Alias}, nil
		}
	case *davitv1.DeviceSelector_Source:
		doc, err := ReadDevice(by.Source, false)
		if err != nil {
			return nil, err
		}
		return &DeviceSelection{dev: doc.Device}, nil
	}
	return nil, selectorFault("a selector is required: an alias, or a device")
}

// Alias is the alias that is looked for, empty if it is another thing.
func (s *DeviceSelection) Alias() string {
	if s.dev != nil {
		return DeviceAlias(s.dev)
	}
	return s.alias
}

// SelectDevice looks for a device of another definition of the same domain by what stays the same of it: the target of a disk and
// a mount, the hardware address of an interface, what a device of the host is.
func SelectDevice(dev *davitv1.Device) *DeviceSelection {
	return &DeviceSelection{dev: dev, known: true}
}

// FindDevice gives the device of a definition that is selected, a copy. There is none with reason DEVICE_NOT_FOUND; more than one
// are refused with their names. A stored definition has no aliases: it is not searched by them.
func FindDevice(def *davitv1.Domain, sel *DeviceSelection) (*davitv1.Device, error) {
	dev, err := sel.in(def).find(def)
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(dev), nil
}

// in makes the selection one for a definition.
func (s *DeviceSelection) in(def *davitv1.Domain) *selector {
	running := isLive(def)
	switch {
	case s.dev == nil:
		return &selector{alias: s.alias}
	case s.known:
		sel := newSelector(s.dev, false, knownBy(s.dev))
		return sel
	default:
		return newSelector(s.dev, running, func(kind string) []string { return selective[kind] })
	}
}

// knownBy are the fields by which the same device is known in another definition of its domain, or in another state: the first
// that it has, of a device of the host all.
func knownBy(dev *davitv1.Device) func(string) []string {
	return func(kind string) []string {
		if kind == "hostdev" {
			return hostdevIdentity
		}
		_, m := kindOf(dev)
		names := slices.DeleteFunc(slices.Clone(namedBy[kind]), func(name string) bool { return deviceText(kind, m, name) == "" })
		return names[:min(len(names), 1)]
	}
}

// Identified is a device with the hardware address of the one of its domain that it stands for, where it names none.
func Identified(dev, known *davitv1.Device) *davitv1.Device {
	dev = proto.CloneOf(dev)
	if n := dev.GetInterface(); n != nil {
		n.Mac = or(n.GetMac(), known.GetInterface().GetMac())
	}
	return dev
}

// SelectAlias looks for the device that has an alias.
func SelectAlias(alias string) *DeviceSelection { return &DeviceSelection{alias: alias} }

// Written tells whether the selection is a device that somebody wrote, and not merely an alias.
func (s *DeviceSelection) Written() bool { return s.dev != nil }
