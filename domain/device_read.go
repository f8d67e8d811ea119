package domain

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// DeviceDocument is one device as somebody wrote it.
type DeviceDocument struct {
	// Device is what the document says, no more.
	Device *davitv1.Device
	// Warnings tell what the schema does not know.
	Warnings []*davitv1.Warning

	text string
	root *node // of XML
}

const opReadDevice = "read device"

// ReadDevice reads one device: the element of libvirt's domain XML, the model in JSON or YAML, or as a message. A document is read by
// the same rules and within the same limits as that of a domain; its places are those below the device: /interface/mac/@address.
func ReadDevice(src *davitv1.DeviceSource, strict bool) (*DeviceDocument, error) {
	var doc *DeviceDocument
	var err error
	switch s := src.GetSource().(type) {
	case *davitv1.DeviceSource_Text:
		doc, err = readDeviceText(s.Text, strict)
	case *davitv1.DeviceSource_Device:
		if err = RefuseUnknown(s.Device); err == nil {
			doc = &DeviceDocument{Device: proto.CloneOf(s.Device)}
		}
	}
	if err != nil {
		return nil, err
	}
	kind := ""
	if doc != nil {
		kind, _ = kindOf(doc.Device)
	}
	if kind == "" {
		return nil, &Error{
			Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, Op: opReadDevice,
			Violations: []Violation{{Field: "source", Message: "a device is required, one of " + strings.Join(deviceKinds, ", ")}},
		}
	}
	if strict {
		return doc, doc.refuseKept()
	}
	return doc, nil
}

// readDeviceText reads a device in the notation that its first character tells.
func readDeviceText(text string, strict bool) (*DeviceDocument, error) {
	switch first := strings.TrimLeft(strings.TrimPrefix(text, "\ufeff"), " \t\r\n"); {
	case strings.HasPrefix(first, "<"), first == "":
		return readDeviceXML(text, strict)
	case strings.HasPrefix(first, "{"):
		return readDeviceTree(text, scanJSON, &decoder{})
	default:
		return readDeviceTree(text, scanYAML, &decoder{lenient: true})
	}
}

func readDeviceXML(text string, strict bool) (*DeviceDocument, error) {
	const op = "read device XML"
	root, err := scanDocument(text)
	if err != nil {
		return nil, malformed(op, text, err)
	}
	p := &parser{doc: text, strict: strict}
	doc := &DeviceDocument{text: text, root: root}
	at := &place{xml: root.name.String()}
	if kind := root.name.local; root.name.space == "" && slices.Contains(deviceKinds, kind) {
		f := deviceField(kind)
		m := newDevice(kind)
		at.field = kind
		p.element(root, f.message.self, m, at)
		doc.Device = deviceOf(kind, m)
	} else {
		p.fault(root.offset, at, notDevice(root.name.String()))
	}
	if len(p.faults.list) > 0 {
		return nil, unreadable(op, p.faults)
	}
	doc.Warnings = p.warnings
	return doc, nil
}

// notDevice says that a word is not a kind of device.
func notDevice(word string) string {
	return oneOf(word, deviceKinds).Error()
}

// unreadable is the error of a document that says what cannot be read.
func unreadable(op string, f faults) error {
	return &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, Op: op, Violations: f.violations(),
	}
}

// readDeviceTree reads a mapping with one key, the kind of the device.
func readDeviceTree(text string, scan func(string) (*yaml.Node, error), d *decoder) (*DeviceDocument, error) {
	root, err := scan(text)
	if err != nil {
		return nil, malformed(opReadDevice, text, err)
	}
	nowhere := &place{}
	if root.Kind != yaml.MappingNode || len(root.Content) != 2 {
		d.fault(root, nowhere, "a device is a mapping with one key: %s", strings.Join(deviceKinds, ", "))
		return nil, unreadable(opReadDevice, d.faults)
	}
	key, value := root.Content[0], root.Content[1]
	if !slices.Contains(deviceKinds, key.Value) {
		d.fault(key, nowhere, "%s", notDevice(key.Value))
		return nil, unreadable(opReadDevice, d.faults)
	}
	f := deviceField(key.Value)
	m := newDevice(key.Value)
	d.message(value, f.message, m, &place{xml: f.opts.GetPath(), field: f.name})
	if len(d.list) > 0 {
		return nil, unreadable(opReadDevice, d.faults)
	}
	return &DeviceDocument{Device: deviceOf(key.Value, m), text: text}, nil
}

// newDevice makes an empty message of a kind.
func newDevice(kind string) protoreflect.Message {
	return deviceList(&davitv1.Domain{Devices: &davitv1.Devices{}}, kind).NewElement().Message()
}

// refuseKept refuses elements that only other drivers act on.
func (d *DeviceDocument) refuseKept() error {
	kind, m := kindOf(d.Device)
	var f faults
	refuseKept(&f, deviceField(kind).message, m, &place{xml: deviceField(kind).opts.GetPath(), field: kind})
	if len(f.list) == 0 {
		return nil
	}
	return d.Locate(unreadable(opReadDevice, f))
}

// Locate adds to an error of this device where in the document each of its violations stands. Another error is given back as it is.
func (d *DeviceDocument) Locate(err error) error {
	refusal, ok := errors.AsType[*Error](err)
	if !ok || d.root == nil || len(refusal.Violations) == 0 {
		return err
	}
	located := *refusal
	located.Violations = slices.Clone(refusal.Violations)
	for i, v := range located.Violations {
		if v.Line == 0 && strings.HasPrefix(v.XMLPath+"/", "/"+d.root.name.String()+"/") {
			located.Violations[i].Line, located.Violations[i].Column = position(d.text, locate(d.root, v.XMLPath, domainSchema().spaces))
		}
	}
	return &located
}

// FormatDeviceXML writes a device as the element of libvirt's domain XML, in the form of [FormatXML].
func FormatDeviceXML(dev *davitv1.Device, o FormatOptions) (string, error) {
	kind, m := kindOf(dev)
	if kind == "" {
		return "", fmt.Errorf("write device XML: it is none of %s", strings.Join(deviceKinds, ", "))
	}
	if i := dev.GetInterface(); o.Inactive && isGenerated(i.GetTargetDev()) {
		i = proto.CloneOf(i)
		i.TargetDev = ""
		m = i.ProtoReflect()
	}
	s := domainSchema()
	w := &writer{inactive: o.Inactive, schema: s, used: make([]bool, len(s.spaces))}
	f := deviceField(kind)
	w.element(f.message.self, f.opts.GetPath(), m, true)
	if w.err != nil {
		return "", fmt.Errorf("write device XML: %w", w.err)
	}
	return w.finish(), nil
}

// DeviceWarnings tell what of a device is kept but not acted on, on every host. Their places are those below the device.
func DeviceWarnings(dev *davitv1.Device) []*davitv1.Warning {
	kind, m := kindOf(dev)
	if kind == "" {
		return nil
	}
	def := &davitv1.Domain{Devices: &davitv1.Devices{}}
	deviceList(def, kind).Append(protoreflect.ValueOfMessage(proto.Clone(m.Interface()).ProtoReflect()))
	return WarningsBelow(NotHonoured(def), kind, 0)
}

// WarningsBelow are those of the warnings about a definition that are about the i-th device of a kind, with places below it.
func WarningsBelow(list []*davitv1.Warning, kind string, i int) []*davitv1.Warning {
	var own []*davitv1.Warning
	for _, w := range list {
		field, xml, ok := belowDevice(w.GetField(), w.GetXmlPath(), kind, i)
		if ok {
			own = append(own, &davitv1.Warning{Field: field, XmlPath: xml, Message: w.GetMessage()})
		}
	}
	return own
}

// belowDevice turns places of a definition that are within the i-th device of a kind into those below the device.
func belowDevice(field, xml, kind string, i int) (ownField, ownXML string, ok bool) {
	fieldRest, okField := strings.CutPrefix(field, entryOf("devices."+kind, i))
	xmlRest, okXML := strings.CutPrefix(xml, fmt.Sprintf("/%s/devices/%s[%d]", domainSchema().root, deviceField(kind).opts.GetPath(), i+1))
	if !okField && !okXML {
		return field, xml, false
	}
	if okField {
		field = kind + fieldRest
	}
	if okXML {
		xml = "/" + deviceField(kind).opts.GetPath() + xmlRest
	}
	return field, xml, true
}

// WarningsOf are those of the warnings about a definition that are about a device of it, with places below the device.
func WarningsOf(def *davitv1.Domain, dev *davitv1.Device, list []*davitv1.Warning) []*davitv1.Warning {
	kind, m := kindOf(dev)
	if kind == "" || def.GetDevices() == nil {
		return nil
	}
	entries := deviceList(def, kind)
	for i := range entries.Len() {
		if proto.Equal(entries.Get(i).Message().Interface(), m.Interface()) {
			return WarningsBelow(list, kind, i)
		}
	}
	return nil
}
