package domain

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// deviceKinds are the lists of Devices whose entries can come and go by themselves. A field of Device has the same name.
var deviceKinds = []string{"disk", "filesystem", "interface", "serial", "console", "hostdev"}

// deviceField is the list of a kind.
func deviceField(kind string) *field { return domainSchema().byName["devices"].message.byName[kind] }

// kindOf tells what a device is: its kind and the message of it. An empty one has no kind.
func kindOf(dev *davitv1.Device) (string, protoreflect.Message) {
	if dev == nil {
		return "", nil
	}
	m := dev.ProtoReflect()
	fd := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	if fd == nil {
		return "", nil
	}
	return string(fd.Name()), m.Get(fd).Message()
}

// deviceOf makes a device of a message of a kind, which becomes part of it.
func deviceOf(kind string, m protoreflect.Message) *davitv1.Device {
	dev := &davitv1.Device{}
	r := dev.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName(protoreflect.Name(kind)), protoreflect.ValueOfMessage(m))
	return dev
}

// deviceList is the list of a kind in a definition, which has devices.
func deviceList(def *davitv1.Domain, kind string) protoreflect.List {
	return def.GetDevices().ProtoReflect().Mutable(deviceField(kind).desc).List()
}

// withoutEntry takes the i-th entry out of a list.
func withoutEntry(list protoreflect.List, i int) {
	for ; i+1 < list.Len(); i++ {
		list.Set(i, list.Get(i+1))
	}
	list.Truncate(list.Len() - 1)
}

// Devices are the devices of a definition that can come and go by themselves, in the order in which its XML names them. They are
// the definition's own, not copies.
func Devices(def *davitv1.Domain) []*davitv1.Device {
	var all []*davitv1.Device
	if def.GetDevices() == nil {
		return nil
	}
	for _, kind := range deviceKinds {
		list := def.GetDevices().ProtoReflect().Get(deviceField(kind).desc).List()
		for i := range list.Len() {
			all = append(all, deviceOf(kind, list.Get(i).Message()))
		}
	}
	return all
}

// DeviceAlias is the name of a device in the running domain, empty if it has none.
func DeviceAlias(dev *davitv1.Device) string {
	kind, m := kindOf(dev)
	if kind == "" {
		return ""
	}
	return deviceText(kind, m, "alias")
}

// deviceText is a field of a device as the notations spell it.
func deviceText(kind string, m protoreflect.Message, name string) string {
	return deviceField(kind).message.byName[name].textIn(m)
}

// setText sets a field of a device that is text.
func setText(kind string, m protoreflect.Message, name, value string) {
	fd := deviceField(kind).message.byName[name].desc
	if value == "" {
		m.Clear(fd)
		return
	}
	m.Set(fd, protoreflect.ValueOfString(value))
}

// DescribeDevice names a device for people: its kind, its alias if it has one, and what tells it from others.
func DescribeDevice(dev *davitv1.Device) string {
	kind, m := kindOf(dev)
	if kind == "" {
		return "device"
	}
	words := []string{kind}
	if alias := deviceText(kind, m, "alias"); alias != "" {
		words = append(words, alias)
	}
	for _, name := range namedBy[kind] {
		if text := deviceText(kind, m, name); text != "" {
			words = append(words, quote(text))
			break
		}
	}
	return strings.Join(words, " ")
}

// namedBy are, for each kind, the fields by which people know a device, the best first.
var namedBy = map[string][]string{
	"disk":       {"target_dev"},
	"filesystem": {"target_dir"},
	"interface":  {"mac", "guest_dev", "target_dev"},
	"serial":     {"target_port"},
	"console":    {"target_port"},
	"hostdev":    {"source_block", "source_char", "source_interface", "source_product_id", "source_device"},
}

// Chosen tells whether a name of a host end is one that is made up for an interface, and not its author's.
func Chosen(hostEnd string) bool { return isGenerated(hostEnd) }

// WithoutChosen is a definition without the names of host ends that were made up for one run; def itself is not changed.
func WithoutChosen(def *davitv1.Domain) *davitv1.Domain { return withoutGenerated(def) }
