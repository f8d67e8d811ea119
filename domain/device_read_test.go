package domain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// written is a device as text.
func written(text string) *davitv1.DeviceSource {
	return &davitv1.DeviceSource{Source: &davitv1.DeviceSource_Text{Text: text}}
}

// device reads one that is right.
func device(t *testing.T, text string) *davitv1.Device {
	t.Helper()
	doc, err := domain.ReadDevice(written(text), true)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return doc.Device
}

// All notations of a device say the same.
func TestDeviceNotations(t *testing.T) {
	nic := &davitv1.Interface{Type: davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, SourceBridge: "br0", Mac: "52:54:00:00:00:01", Mtu: 1400}
	want := &davitv1.Device{Kind: &davitv1.Device_Interface{Interface: nic}}
	for name, source := range map[string]*davitv1.DeviceSource{
		"xml": written("<?xml version='1.0'?>\n<!-- mine -->\n<interface type='bridge'><source bridge='br0'/>" +
			"<mac address='52:54:00:00:00:01'/><mtu size='1400'/></interface>\n"),
		"json":    written(`{"interface": {"type": "bridge", "mac": "52:54:00:00:00:01", "source_bridge": "br0", "mtu": 1400}}`),
		"yaml":    written("interface:\n  type: bridge\n  mac: 52:54:00:00:00:01\n  source_bridge: br0\n  mtu: 1400\n"),
		"message": {Source: &davitv1.DeviceSource_Device{Device: want}},
	} {
		doc, err := domain.ReadDevice(source, true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, doc.Device, protocmp.Transform()); diff != "" || len(doc.Warnings) > 0 {
			t.Errorf("%s (-want +got), warnings %v:\n%s", name, doc.Warnings, diff)
		}
	}
}

// Each kind is read from its element and written back as it was, with the namespace that it needs.
func TestDeviceXML(t *testing.T) {
	for _, text := range []string{
		"<disk type='block' device='disk'>\n  <source dev='/dev/sdb'/>\n  <target dev='sda' bus='scsi'/>\n  <readonly/>\n</disk>\n",
		"<filesystem type='mount' accessmode='passthrough' xmlns:davit='http://davit.dev/xmlns/1.0'>\n  <davit:overlay upper='discard'/>\n" +
			"  <source dir='/srv'/>\n  <target dir='/srv'/>\n</filesystem>\n",
		"<interface type='bridge'>\n  <mac address='52:54:00:00:00:01'/>\n  <source bridge='br0'/>\n  <model type='virtio'/>\n</interface>\n",
		"<console type='pty'>\n  <target type='lxc' port='1'/>\n</console>\n",
		"<hostdev mode='capabilities' type='misc'>\n  <source>\n    <char>/dev/fuse</char>\n  </source>\n</hostdev>\n",
	} {
		text = strings.Replace(text, "http://davit.dev/xmlns/1.0", overlaySpace(t), 1)
		doc, err := domain.ReadDevice(written(text), false)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		back, err := domain.FormatDeviceXML(doc.Device, domain.FormatOptions{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(text, back); diff != "" {
			t.Errorf("written back (-was +is):\n%s", diff)
		}
	}
	if text, err := domain.FormatDeviceXML(&davitv1.Device{}, domain.FormatOptions{}); err == nil {
		t.Errorf("a device of no kind was written: %s", text)
	}
	nic := device(t, "<interface type='bridge'><target dev='vnet3'/><alias name='net0'/></interface>")
	back, err := domain.FormatDeviceXML(nic, domain.FormatOptions{Inactive: true})
	if err != nil || back != "<interface type='bridge'/>\n" {
		t.Errorf("inactive: %q, %v", back, err)
	}
	if nic.GetInterface().GetTargetDev() != "vnet3" {
		t.Error("the device was changed by being written")
	}
}

// overlaySpace is the namespace of davit's own elements.
func overlaySpace(t *testing.T) string {
	t.Helper()
	text, err := domain.FormatXML(&davitv1.Domain{PidsLimit: 1}, domain.FormatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "xmlns:davit='")
	space, _, _ := strings.Cut(rest, "'")
	return space
}

// What cannot be read is told with its place, what is not known is a warning or, strictly, an error.
func TestDeviceFaults(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "1:1: the document has no root element"},
		{"<interface>", "1:1: element \"interface\" does not end"},
		{"<!DOCTYPE a [<!ENTITY b 'c'>]><interface/>", "1:1: document types are not allowed"},
		{"<domain/>", `1:1: /domain: "domain" is not one of disk, filesystem, interface, serial, console, hostdev`},
		{"<interfaces/>", `1:1: /interfaces: "interfaces" is not one of disk, filesystem, interface, serial, console, hostdev; did you mean "interface"?`},
		{"<interface type='bridg'/>", `1:12: /interface/@type: "bridg" is not one of`},
		{"\n <interface type='bridge'>\n  <mtu size='x'/></interface>", `3:8: /interface/mtu/@size: "x" is not a number`},
		{"<interface type='bridge'><mtu size='1'/><mtu size='1'/></interface>", `1:41: /interface/mtu: element "mtu" is given twice`},
		{"<disk type='file'><sourc/></disk>", `1:19: /disk/sourc: element "sourc" is not known; did you mean "source"?`},
		{"<disk type='file'><geometry cyls='1'/></disk>", "/disk/geometry: only other drivers of libvirt use it"},
		{`{"interface": {"type": "bridge", "mtu": "x"}}`, `1:41: /interface/mtu/@size: "x" is not a whole number in decimal`},
		{`{"interface": {}, "disk": {}}`, "1:1: a device is a mapping with one key"},
		{`{"nic": {}}`, `1:2: "nic" is not one of disk`},
		{"interface:\n  typ: bridge\n", `2:3: /interface: key "typ" is not known; did you mean "type"?`},
		{"interface: &a {}\n", "1:12: anchors are not allowed"},
		{"<disk>" + strings.Repeat(" ", domain.MaxDocument) + "</disk>", "1048576 are the limit"},
	} {
		_, err := domain.ReadDevice(written(c.text), true)
		var refusal *domain.Error
		if !errors.As(err, &refusal) || !errors.Is(err, domain.ErrInvalid) || len(refusal.Violations) == 0 {
			t.Errorf("%.60q: %v", c.text, err)
			continue
		}
		if got := refusal.Violations[0].String(); !strings.Contains(got, c.want) {
			t.Errorf("%.60q: %q, want %q", c.text, got, c.want)
		}
	}
	for _, source := range []*davitv1.DeviceSource{nil, {}, {Source: &davitv1.DeviceSource_Device{}}, {Source: &davitv1.DeviceSource_Device{Device: &davitv1.Device{}}}} {
		if doc, err := domain.ReadDevice(source, false); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%v: %v, %v", source, doc, err)
		}
	}
	doc, err := domain.ReadDevice(written("<disk type='file' colour='red'><sourc/><geometry/></disk>"), false)
	if err != nil {
		t.Fatal(err)
	}
	var warnings []string
	for _, w := range doc.Warnings {
		warnings = append(warnings, fmt.Sprintf("%s: %s", w.GetXmlPath(), w.GetMessage()))
	}
	want := []string{
		`/disk/@colour: attribute "colour" is not known and ignored`,
		`/disk/sourc: element "sourc" is not known and ignored; did you mean "source"?`,
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	kept := domain.DeviceWarnings(doc.Device)
	if len(kept) == 0 || kept[len(kept)-1].GetXmlPath() != "/disk/geometry" {
		t.Errorf("what is not honoured: %v", kept)
	}
}
