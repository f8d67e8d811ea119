package domain_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// keptFrames is where the elements that a message keeps stand in a document, by the message.
var keptFrames = map[protoreflect.FullName]string{
	"davit.v1.Domain":     "%s",
	"davit.v1.CpuTune":    "<cputune>%s</cputune>",
	"davit.v1.NumaTune":   "<numatune>%s</numatune>",
	"davit.v1.Features":   "<features>%s</features>",
	"davit.v1.Timer":      "<clock><timer name='rtc'>%s</timer></clock>",
	"davit.v1.Devices":    "<devices>%s</devices>",
	"davit.v1.Disk":       "<devices><disk><source file='/a'/><target dev='sda'/>%s</disk></devices>",
	"davit.v1.Controller": "<devices><controller type='usb' index='0'>%s</controller></devices>",
	"davit.v1.Filesystem": "<devices><filesystem><source dir='/a'/><target dir='/a'/>%s</filesystem></devices>",
	"davit.v1.Interface":  "<devices><interface type='ethernet'>%s</interface></devices>",
	"davit.v1.Serial":     "<devices><serial>%s</serial></devices>",
	"davit.v1.Hostdev":    "<devices><hostdev mode='capabilities' type='misc'><source><char>/dev/fuse</char></source>%s</hostdev></devices>",
}

// keptDocument is a document with an element where a message keeps it.
func keptDocument(md protoreflect.FullName, element string) string {
	os, frame := "", keptFrames[md]
	if md == "davit.v1.Os" {
		os, frame = element, "%s"
		element = ""
	}
	return "<domain type='lxc'><name>kept</name><memory>65536</memory><os><type>exe</type><init>/init</init>" + os + "</os>" +
		fmt.Sprintf(frame, element) + "</domain>"
}

// eachKeptName calls do for each element of other drivers that the schema keeps.
func eachKeptName(do func(md protoreflect.FullName, name string)) {
	descriptors((&davitv1.Domain{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{}, func(fd protoreflect.FieldDescriptor) {
		for _, name := range options(fd).GetKept() {
			do(fd.Parent().FullName(), name)
		}
	})
}

// TestKept: each element that only other drivers act on comes back as it is and is told of; it is refused under strict,
// as what it is rather than as unknown.
func TestKept(t *testing.T) {
	eachKeptName(func(md protoreflect.FullName, name string) {
		t.Run(string(md.Name())+"/"+name, func(t *testing.T) {
			element := "<" + name + " a='it&apos;s'><b/></" + name + ">"
			source := xmlSource(keptDocument(md, element))
			def, warnings, err := domain.Read(source, domain.ReadOptions{Host: goldenHost()})
			if err != nil {
				t.Fatal(err)
			}
			text, err := domain.FormatXML(def, domain.FormatOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if flat := strings.ReplaceAll(strings.ReplaceAll(text, "\n", ""), "  ", ""); !strings.Contains(flat, element) {
				t.Errorf("%s does not come back:\n%s", element, text)
			}
			told := func(w *davitv1.Warning) bool {
				return strings.HasSuffix(w.GetXmlPath(), "/"+name) && strings.HasPrefix(w.GetMessage(), "only other drivers of libvirt use it")
			}
			if !slices.ContainsFunc(warnings, told) {
				t.Errorf("nothing is told of it: %v", warnings)
			}
			_, _, err = domain.Read(source, domain.ReadOptions{Strict: true, Host: goldenHost()})
			var e *domain.Error
			if !errors.As(err, &e) || !slices.ContainsFunc(e.Violations, func(v domain.Violation) bool {
				return strings.HasSuffix(v.XMLPath, "/"+name) && v.Line > 0 && v.Message == "only other drivers of libvirt use it"
			}) {
				t.Errorf("strict says %v", err)
			}
		})
	})
}

func xmlSource(doc string) *davitv1.DefinitionSource {
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: doc}}
}

// TestKeptRefused: what a message has in the place of such an element is refused if it is none.
func TestKeptRefused(t *testing.T) {
	deep := strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)
	for _, c := range []struct{ name, entry, want string }{
		{"empty", "", `"" is not one element`},
		{"text", "graphics", `"graphics" is not one element`},
		{"two", "<graphics/><video/>", "is not one element"},
		{"element and text", "<graphics/>x", "is not one element"},
		{"element and comment", "<!-- c --><graphics/>", "is not one element"},
		{"not closed", "<graphics>", `1:1: element "graphics" does not end`},
		{"closes another", "<graphics/></devices><devices>", "an end tag without its element"},
		{"unknown", "<grafics/>", `element "grafics" is none of those that are kept here`},
		{"unknown but near", "<grafics/>", `did you mean "graphics"?`},
		{"known to davit", "<filesystem/>", `element "filesystem" is none of those`},
		{"of another place", "<maxMemory/>", `element "maxMemory" is none of those`},
		{"of a namespace", "<x:graphics xmlns:x='urn:x'/>", `element "x:graphics" is none of those`},
		{"of a default namespace", "<graphics xmlns='urn:x'/>", "is none of those"},
		{"prefix of nobody", "<graphics x:a='1'/>", `prefix "x" is not declared`},
		{"document type", "<!DOCTYPE graphics><graphics/>", "document types"},
		{"too deep", "<graphics>" + deep + "</graphics>", "deep"},
		{"control character", "<graphics a='\x01'/>", "U+0001"},
		{"not UTF-8", "<graphics a='\xff'/>", "is not UTF-8"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			def := minimal()
			def.Devices = &davitv1.Devices{Other: []string{"<video/>", c.entry}}
			_, err := admitMessage(def)
			var e *domain.Error
			if !errors.As(err, &e) || !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if len(e.Violations) != 1 || e.Violations[0].Field != "devices.other[1]" {
				t.Errorf("it is told of %+v", e.Violations)
			}
		})
	}
}

// TestKeptCanonical: an entry of a message is brought into the form that a document gives it.
func TestKeptCanonical(t *testing.T) {
	def := minimal()
	def.Devices = &davitv1.Devices{Other: []string{
		"\n <video >\n<model\ntype=\"vga\" /></video>\n", "<graphics type=\"vnc\"></graphics>", "<channel></channel>",
	}}
	want := []string{"<channel/>", "<graphics type='vnc'/>", "<video>\n  <model type='vga'/>\n</video>"}
	got, err := admitMessage(def)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&davitv1.Devices{Other: want}, &davitv1.Devices{Other: got.GetDevices().GetOther()}) {
		t.Errorf("got %q\nwant %q", got.GetDevices().GetOther(), want)
	}
}
