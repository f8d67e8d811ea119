package domain_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const xmlHead = `<!-- Written by go test ./domain -update from the annotations of proto/davit/v1/*.proto. -->
# The domain XML

davit reads and writes libvirt's domain XML. Each table below is a message of the schema: where its fields stand in the
XML, what they are called in JSON, YAML and the API, and what they mean. Fields that are *kept* are read, checked and
written again, but not acted on yet; defining a domain that uses one gives a warning. Fields that are *live* show in the
XML of a running domain and are ignored on define.

- A path is relative to the element of the message: ` + "`source/@dir`" + ` is the attribute *dir* of its child *source*, ` + "`.`" + ` is its own text.
- Elements that only other drivers of libvirt act on (*kept elements* below) are kept as they are, told of with a warning on
  define, and refused when asked to be strict. They have no effect.
- Elements and attributes that neither libvirt nor davit knows are ignored with a warning that names what may have been meant, or
  refused when asked to be strict. Always refused are unknown words and numbers, and unknown features, capabilities and
  shared namespaces.
- Everything that is wrong with a document is told at once, up to 50 faults, each with its line, its place and what is allowed.
- Sizes are read in any of libvirt's units (bytes, KB, KiB, MB, MiB, ... EiB; KiB when none is given), rounded up to whole
  KiB and written in KiB. *unlimited* is no limit, and the same as 9007199254740991 KiB.
- A document has at most 1 MiB, in JSON and YAML 4 MiB, 20000 elements 32 deep, 64 attributes an element and 128 bytes a name, in UTF-8. Document types,
  processing instructions and entities other than XML's five are refused.
- What libvirt fills in, davit fills in: a uuid, currentMemory, vcpu, clock, the lifecycle actions, the emulator's name, a
  console, the family of addresses, hardware addresses, the bus of a disk, its address and the controllers of its bus.
`

// TestXMLPage writes the schema's notation and compares it with the page.
func TestXMLPage(t *testing.T) {
	p := &page{comments: comments(t)}
	p.WriteString(xmlHead)
	p.message((&davitv1.Domain{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{})
	p.enumerations()
	if len(p.missing) > 0 {
		t.Errorf("the schema has no comment for %s", strings.Join(p.missing, ", "))
	}
	checkPage(t, "xml.md", p.String())
}

type page struct {
	strings.Builder
	comments map[string]string
	missing  []string
	enums    []protoreflect.EnumDescriptor
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(&p.Builder, format, args...) }

// comment is the text about a name, for a cell of a table.
func (p *page) comment(name protoreflect.FullName) string {
	text, ok := p.comments[string(name)]
	if !ok {
		p.missing = append(p.missing, string(name))
	}
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;").Replace(text)
}

// message writes a table for a message, and then those of the messages in it.
func (p *page) message(md protoreflect.MessageDescriptor, done map[protoreflect.FullName]bool) {
	if done[md.FullName()] {
		return
	}
	done[md.FullName()] = true
	p.printf("\n## %s\n\n%s\n\n| XML | field | values | meaning |\n|---|---|---|---|\n", md.Name(), p.comment(md.FullName()))
	for i := range md.Fields().Len() {
		p.field(md.Fields().Get(i))
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if fd.Message() != nil {
			p.message(fd.Message(), done)
		}
		if fd.Enum() != nil && !done[fd.Enum().FullName()] {
			done[fd.Enum().FullName()] = true
			p.enums = append(p.enums, fd.Enum())
		}
	}
}

func (p *page) field(fd protoreflect.FieldDescriptor) {
	o := options(fd)
	meaning := p.comment(fd.FullName())
	if o.GetLive() {
		meaning += " *Live.*"
	}
	if why := o.GetNotHonoured(); why != "" {
		meaning += " *Kept: " + why + ".*"
	}
	if kept := o.GetKept(); len(kept) > 0 {
		meaning += " *Kept elements:* `" + strings.Join(kept, "`, `") + "`."
	}
	p.printf("| `%s` | `%s` | %s | %s |\n", o.GetPath(), fd.Name(), values(fd, o), meaning)
}

func options(fd protoreflect.FieldDescriptor) *davitv1.XmlField {
	o, _ := proto.GetExtension(fd.Options(), davitv1.E_Xml).(*davitv1.XmlField)
	return o
}

// values says what a field holds.
func values(fd protoreflect.FieldDescriptor, o *davitv1.XmlField) string {
	var text string
	switch {
	case fd.Message() != nil:
		text = fmt.Sprintf("[%s](#%s)", fd.Message().Name(), strings.ToLower(string(fd.Message().Name())))
	case fd.Enum() != nil:
		text = fmt.Sprintf("[%s](#%s)", fd.Enum().Name(), strings.ToLower(string(fd.Enum().Name())))
	case fd.Kind() == protoreflect.BoolKind && o.GetOnOff():
		text = "on, off"
	case fd.Kind() == protoreflect.BoolKind && strings.Contains(o.GetPath(), "@"):
		text = "yes, no"
	case fd.Kind() == protoreflect.BoolKind:
		text = "an empty element"
	case o.GetUnitAttr() != "":
		text = fmt.Sprintf("size, unit in `%s`", o.GetUnitAttr())
	case o.GetRaw():
		text = "XML"
	case len(o.GetKept()) > 0:
		return "XML elements"
	case fd.Kind() == protoreflect.StringKind:
		text = "text"
	default:
		text = "number"
	}
	if fd.IsList() {
		text += ", any number"
	}
	if d := o.GetDefaultValue(); d != "" {
		text += "; `" + d + "` when absent"
	}
	return text
}

// enumerations writes the words of every enum that was met.
func (p *page) enumerations() {
	p.WriteString("\n## Words\n")
	for _, ed := range p.enums {
		p.printf("\n### %s\n\n%s\n\n| word | meaning |\n|---|---|\n", ed.Name(), p.comment(ed.FullName()))
		for i := range ed.Values().Len() {
			v := ed.Values().Get(i)
			if v.Number() != 0 {
				p.printf("| `%s` | %s |\n", domain.EnumWord(ed, v.Number()), p.comment(ed.FullName().Append(v.Name())))
			}
		}
	}
}

const errorsHead = `<!-- Written by go test ./domain -update from proto/davit/v1/error.proto. -->
# Errors

Every call that fails ends with a gRPC status. Its details hold one google.rpc.ErrorInfo with domain *davit.v1* and one of
the reasons below; programs act on the reason and the code, never on the words. ErrorInfo.metadata holds every dynamic part of the
message by name; *davit-op* and *davit-subject* in it are what was attempted, on what.

- INVALID_ARGUMENT carries a google.rpc.BadRequest: *field* is the place in the message, *description* begins with the
  place in the document as far as there is one: ` + "`12:17: /domain/devices/filesystem[2]/@accessmode: ...`" + `.
- FAILED_PRECONDITION carries a google.rpc.PreconditionFailure with the reason as its type.
- NOT_FOUND and ALREADY_EXISTS carry a google.rpc.ResourceInfo.

In Go, ` + "`domain.FromStatus`" + ` gives back the ` + "`*domain.Error`" + ` that the daemon made; the client library has done so already.

| reason | code | meaning |
|---|---|---|
`

// TestErrorsPage writes the reasons of errors and compares them with the page. Each reason's comment begins with its code.
func TestErrorsPage(t *testing.T) {
	p := &page{comments: comments(t)}
	p.WriteString(errorsHead)
	ed := davitv1.ErrorReason(0).Descriptor()
	for i := range ed.Values().Len() {
		v := ed.Values().Get(i)
		if v.Number() == 0 {
			continue
		}
		code, meaning, ok := strings.Cut(p.comment(ed.FullName().Append(v.Name())), ": ")
		if !ok || strings.ToUpper(code) != code {
			t.Errorf("the comment of %s does not begin with a code", v.Name())
		}
		p.printf("| %s | %s | %s |\n", strings.TrimPrefix(string(v.Name()), "ERROR_REASON_"), code, meaning)
	}
	checkPage(t, "errors.md", p.String())
}
