package explain

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Entry is what there is to know of one place of the schema. What does not apply is empty.
type Entry struct {
	// Path is the place in the model, "domain.devices.filesystem.accessmode". A word has the path of its field before it, a
	// mere element of the XML that of the message which it is part of.
	Path string
	// XML is the place in the XML, "/domain/devices/filesystem/@accessmode".
	XML string
	// Spelling shows it: "<filesystem accessmode='passthrough'/>".
	Spelling string
	// Meaning is what the schema's comment says; paragraphs are parted by an empty line.
	Meaning string
	Kind    Kind
	// Message is the name of the message that a group is.
	Message string
	// List tells that there may be any number.
	List bool
	// Required tells that a definition without it is refused, where its group is there.
	Required bool
	// Values are the words that it may be.
	Values []Value
	// Range is the numbers that it may be: "2 to 262144".
	Range string
	// Default is what is written where a document says nothing.
	Default string
	// Unit is what a size is counted in, UnitAttr where the XML may name another.
	Unit, UnitAttr string
	// Effect is when a change of it reaches the domain, EffectReason why not sooner; see [domain.EffectOf]. A group whose fields
	// differ in this has none.
	Effect       davitv1.ChangeEffect
	EffectReason string
	// NotHonoured is why it is kept but not acted on.
	NotHonoured string
	// Output tells that it belongs to a running domain: it is ignored on define.
	Output bool
	// Kept are the elements that only other drivers of libvirt act on.
	Kept []string
	// Children are the places below.
	Children []*Entry
}

// Kind is what can be written at a place.
type Kind string

// The kinds.
const (
	Group   Kind = "group"   // a message: an element with places below
	Word    Kind = "word"    // one of a list
	Text    Kind = "text"    // characters
	Number  Kind = "number"  // a whole number in decimal
	Size    Kind = "size"    // a whole number with a unit, or unlimited
	Switch  Kind = "switch"  // two words in the XML, true and false elsewhere
	Flag    Kind = "flag"    // an empty element that stands for true
	Raw     Kind = "xml"     // elements of others
	Element Kind = "element" // part of the XML without a field of its own
)

// Value is a word and its meaning.
type Value struct{ Word, Meaning string }

// at is where a message stands.
type at struct{ path, xml string }

// entry documents a field of the message at a place.
func (r *Reference) entry(f *field, in at) *Entry {
	here := f.below(in)
	e := &Entry{
		Path: here.path, XML: here.xml, Spelling: f.spelling(in.xml), Meaning: r.comment(f.desc.FullName()), Kind: f.kind(),
		List: f.desc.IsList(), Range: f.rangeText(), Default: f.opts.GetDefaultValue(), NotHonoured: f.opts.GetNotHonoured(),
		Output: f.opts.GetLive(),
	}
	_, inDomain, _ := strings.Cut(here.path, ".")
	if e.Effect, e.EffectReason = domain.EffectOf(inDomain); f.message != nil && e.Effect == davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT {
		e.Effect = davitv1.ChangeEffect_CHANGE_EFFECT_UNSPECIFIED
	}
	if e.Effect == davitv1.ChangeEffect_CHANGE_EFFECT_NONE && !e.Output {
		e.NotHonoured = e.EffectReason // perhaps that of the group
	}
	e.Required = required.MatchString(e.Meaning)
	switch {
	case f.keeps():
		e.Kind, e.Kept = Raw, f.opts.GetKept()
	case f.message != nil:
		e.Message = string(f.message.desc.Name())
	case f.desc.Enum() != nil:
		e.Values = r.values(f.desc.Enum())
	case e.Kind == Switch:
		yes, no := f.boolWords()
		e.Values = []Value{{yes, "true"}, {no, "false"}}
	case f.isSize():
		e.Unit, e.UnitAttr = f.unitName(), f.opts.GetUnitAttr()
	}
	return e
}

// required finds the word in a comment by which the schema says that a field has to be there whenever its message is.
var required = regexp.MustCompile(`(?:^|\. )Required(?:\.|; |, (?:above|each))`)

// below is where a field of a message is.
func (f *field) below(in at) at {
	out := at{path: in.path + "." + f.name, xml: in.xml}
	if p := f.opts.GetPath(); p != "." {
		out.xml += "/" + p
	}
	return out
}

func (f *field) kind() Kind {
	switch {
	case f.message != nil:
		return Group
	case f.desc.Enum() != nil:
		return Word
	case f.isFlag():
		return Flag
	case f.desc.Kind() == protoreflect.BoolKind:
		return Switch
	case f.isSize():
		return Size
	case f.opts.GetRaw():
		return Raw
	case f.desc.Kind() == protoreflect.StringKind:
		return Text
	}
	return Number
}

func (f *field) boolWords() (yes, no string) {
	if f.opts.GetOnOff() {
		return "on", "off"
	}
	return "yes", "no"
}

func (f *field) unitName() string {
	if f.opts.GetUnit() == davitv1.XmlUnit_XML_UNIT_KIB {
		return "KiB"
	}
	return "bytes"
}

// values are the words of an enum.
func (r *Reference) values(ed protoreflect.EnumDescriptor) []Value {
	var all []Value
	for i := range ed.Values().Len() {
		v := ed.Values().Get(i)
		if word := domain.EnumWord(ed, v.Number()); word != "" {
			all = append(all, Value{word, r.comment(ed.FullName().Append(v.Name()))})
		}
	}
	return all
}

// spelling shows how the field is written in the element of its message, which has the place xml.
func (f *field) spelling(xml string) string {
	if f.keeps() {
		return ""
	}
	steps := strings.Split(strings.TrimPrefix(f.below(at{xml: xml}).xml, "/"), "/")
	last := steps[len(steps)-1]
	value := f.sample()
	attr, isAttr := strings.CutPrefix(last, "@")
	switch {
	case isAttr && f.opts.GetUnitAttr() != "":
		_, unit, _ := strings.Cut(f.opts.GetUnitAttr(), "@")
		return fmt.Sprintf("<%s %s='%s' %s='%s'/>", steps[len(steps)-2], attr, value, unit, f.unitName())
	case isAttr:
		return fmt.Sprintf("<%s %s='%s'/>", steps[len(steps)-2], attr, value)
	case f.isFlag():
		return "<" + last + "/>"
	case f.opts.GetUnitAttr() != "":
		_, unit, _ := strings.Cut(f.opts.GetUnitAttr(), "@")
		return fmt.Sprintf("<%s %s='%s'>%s</%s>", last, unit, f.unitName(), value, last)
	}
	return fmt.Sprintf("<%s>%s</%s>", last, value, last)
}

// sample is a value to show.
func (f *field) sample() string {
	switch {
	case f.opts.GetDefaultValue() != "":
		return f.opts.GetDefaultValue()
	case f.desc.Enum() != nil:
		for i := range f.desc.Enum().Values().Len() {
			if word := domain.EnumWord(f.desc.Enum(), f.desc.Enum().Values().Get(i).Number()); word != "" {
				return word
			}
		}
	case f.kind() == Switch:
		yes, _ := f.boolWords()
		return yes
	case f.kind() == Number || f.kind() == Size:
		return "N"
	}
	return "..."
}
