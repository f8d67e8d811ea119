package explain

import (
	"encoding/xml"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

const rngHead = `<?xml version="1.0" encoding="UTF-8"?>
<!-- Written by go test ./domain/explain -update from the annotations and comments of proto/davit/v1/*.proto. -->
`

// rngShared are the patterns that many places use.
const rngShared = `  <define name="anything">
    <zeroOrMore>
      <choice>
        <attribute>
          <anyName/>
        </attribute>
        <text/>
        <element>
          <anyName/>
          <ref name="anything"/>
        </element>
      </choice>
    </zeroOrMore>
  </define>
  <define name="applications">
    <zeroOrMore>
      <choice>
        <text/>
        <element>
          <anyName>
            <except>
              <nsName ns=""/>
            </except>
          </anyName>
          <ref name="anything"/>
        </element>
      </choice>
    </zeroOrMore>
  </define>
  <define name="size">
    <choice>
      <value>unlimited</value>
      <data type="unsignedLong"/>
    </choice>
  </define>
  <define name="sizeUnit">
    <data type="string">
      <param name="pattern">[bB]([yY][tT][eE][sS]?)?|[kKmMgGtTpPeE]([iI]?[bB])?</param>
    </data>
  </define>
`

// RelaxNG is the grammar of the XML in RELAX NG's XML syntax, with the meaning of each element and attribute as its
// documentation. Elements stand in any order, as in libvirt's own grammar. It refuses what the schema does not know, and
// what cannot be where one place tells; what follows from several is left to [domain.Validate].
func (r *Reference) RelaxNG() string {
	g := &grammar{ref: r}
	g.WriteString(rngHead)
	spaces := []string{
		"xmlns", "http://relaxng.org/ns/structure/1.0", "xmlns:a", "http://relaxng.org/ns/compatibility/annotations/1.0",
	}
	for _, prefix := range slices.Sorted(maps.Keys(r.spaces)) {
		spaces = append(spaces, "xmlns:"+prefix, r.spaces[prefix])
	}
	g.open("grammar", append(spaces, "datatypeLibrary", "http://www.w3.org/2001/XMLSchema-datatypes")...)
	g.open("start")
	g.open("element", "name", r.name)
	g.document(r.comment(r.root.desc.FullName()))
	g.empty("ref", "name", string(r.root.desc.Name()))
	g.close("element")
	g.close("start")
	g.message(r.root, map[*message]bool{})
	slices.SortFunc(g.enums, func(a, b protoreflect.EnumDescriptor) int { return strings.Compare(string(a.Name()), string(b.Name())) })
	for _, ed := range g.enums {
		g.enum(ed)
	}
	g.WriteString(rngShared)
	g.close("grammar")
	return g.String()
}

// grammar writes a grammar.
type grammar struct {
	strings.Builder
	ref   *Reference
	depth int
	enums []protoreflect.EnumDescriptor // that are used
}

func (g *grammar) tag(name, end string, attrs []string) {
	g.WriteString(strings.Repeat("  ", g.depth) + "<" + name)
	for i := 0; i < len(attrs); i += 2 {
		g.WriteString(" " + attrs[i] + `="` + escape(attrs[i+1]) + `"`)
	}
	g.WriteString(end)
}

func (g *grammar) open(name string, attrs ...string) {
	g.tag(name, ">\n", attrs)
	g.depth++
}

func (g *grammar) close(name string) {
	g.depth--
	g.WriteString(strings.Repeat("  ", g.depth) + "</" + name + ">\n")
}

func (g *grammar) empty(name string, attrs ...string) { g.tag(name, "/>\n", attrs) }

func (g *grammar) leaf(name, text string, attrs ...string) {
	g.tag(name, ">"+escape(text)+"</"+name+">\n", attrs)
}

func (g *grammar) document(text string) {
	if text != "" {
		g.leaf("a:documentation", text)
	}
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes all
	return strings.NewReplacer("&#xA;", "\n", "&#39;", "'", "&#34;", "&quot;").Replace(b.String())
}

// message defines the content of a message's element, and that of those in it.
func (g *grammar) message(m *message, done map[*message]bool) {
	if done[m] {
		return
	}
	done[m] = true
	g.open("define", "name", string(m.desc.Name()))
	g.content(m.self)
	g.close("define")
	for _, f := range m.fields {
		if f.message != nil {
			g.message(f.message, done)
		}
		if ed := f.desc.Enum(); ed != nil && !slices.Contains(g.enums, ed) {
			g.enums = append(g.enums, ed)
		}
	}
}

// enum defines the words of an enum.
func (g *grammar) enum(ed protoreflect.EnumDescriptor) {
	g.open("define", "name", string(ed.Name()))
	g.open("choice")
	for _, v := range g.ref.values(ed) {
		g.leaf("value", v.Word)
		g.document(v.Meaning) // annotations of a value stand after it
	}
	g.close("choice")
	g.close("define")
}

// content is what an element holds: its attributes, its text, its elements in any order.
func (g *grammar) content(e *element) {
	if len(e.attrs) == 0 && len(e.children) == 0 && e.kept == nil && e.value == nil {
		g.empty("empty")
	}
	for _, a := range e.attrs {
		g.attribute(a)
	}
	if e.value != nil {
		g.text(e.value)
	}
	many := len(e.children)
	if e.kept != nil {
		many++
	}
	if many > 1 {
		g.open("interleave")
	}
	for _, c := range e.children {
		g.element(c)
	}
	if e.kept != nil {
		g.kept(e.kept)
	}
	if many > 1 {
		g.close("interleave")
	}
}

func (g *grammar) attribute(a attribute) {
	needed := g.ref.requires(a.field) && !a.unit
	if !needed {
		g.open("optional")
	}
	g.open("attribute", "name", a.name)
	if a.unit {
		g.document("Unit of the size, " + a.field.unitName() + " when absent.")
		g.empty("ref", "name", "sizeUnit")
	} else {
		g.documentField(a.field)
		g.value(a.field)
	}
	g.close("attribute")
	if !needed {
		g.close("optional")
	}
}

// element is a child: as often as it may be there.
func (g *grammar) element(e *element) {
	f := e.value
	times := "optional"
	switch {
	case f != nil && f.desc.IsList():
		times = "zeroOrMore"
	case g.ref.needs(e):
		times = ""
	}
	if times != "" {
		g.open(times)
	}
	g.open("element", "name", e.name)
	if f != nil {
		g.documentField(f)
	}
	switch {
	case f == nil:
		g.content(e)
	case f.message != nil:
		g.empty("ref", "name", string(f.message.desc.Name()))
	case f.isFlag():
		g.empty("empty")
	case f.opts.GetRaw():
		g.empty("ref", "name", "applications")
	default:
		g.content(e)
	}
	g.close("element")
	if times != "" {
		g.close(times)
	}
}

// kept are elements that only other drivers act on, whatever they hold.
func (g *grammar) kept(f *field) {
	g.open("zeroOrMore")
	g.open("element")
	g.open("choice")
	for _, name := range f.opts.GetKept() {
		g.leaf("name", name)
	}
	g.close("choice")
	g.empty("ref", "name", "anything")
	g.close("element")
	g.close("zeroOrMore")
}

// text is the text of an element, which may be empty where the field need not be there.
func (g *grammar) text(f *field) {
	optional := !g.ref.requires(f) && f.kind() != Text
	if optional {
		g.open("choice")
		g.empty("empty")
	}
	g.value(f)
	if optional {
		g.close("choice")
	}
}

// value is what a field may be.
func (g *grammar) value(f *field) {
	switch f.kind() {
	case Word:
		g.empty("ref", "name", string(f.desc.Enum().Name()))
	case Switch:
		yes, no := f.boolWords()
		g.open("choice")
		g.leaf("value", yes)
		g.leaf("value", no)
		g.close("choice")
	case Size:
		g.empty("ref", "name", "size")
	case Number:
		g.number(f)
	default:
		if !g.ref.requires(f) {
			g.empty("text")
			return
		}
		g.open("data", "type", "string")
		g.leaf("param", "1", "name", "minLength")
		g.close("data")
	}
}

// number is a number in one of the runs that the field may be.
func (g *grammar) number(f *field) {
	spans := f.spans()
	if len(spans) > 1 {
		g.open("choice")
	}
	for _, s := range spans {
		kind := "unsignedLong"
		if s.min < 0 {
			kind = "long"
		}
		g.open("data", "type", kind)
		if s.min != 0 && s.min != math.MinInt64 {
			g.leaf("param", strconv.FormatInt(s.min, 10), "name", "minInclusive")
		}
		if s.max != math.MaxUint64 && (s.min >= 0 || s.max != math.MaxInt64) {
			g.leaf("param", strconv.FormatUint(s.max, 10), "name", "maxInclusive")
		}
		g.close("data")
	}
	if len(spans) > 1 {
		g.close("choice")
	}
}

func (g *grammar) documentField(f *field) { g.document(g.ref.told(f)) }

// told is the meaning of a field with what becomes of it.
func (r *Reference) told(f *field) string {
	text := r.comment(f.desc.FullName())
	if why := f.opts.GetNotHonoured(); why != "" {
		text += fmt.Sprintf(" Kept, not acted on: %s.", why)
	}
	return text
}

// requires tells whether a field has to be there where its message is.
func (r *Reference) requires(f *field) bool {
	return required.MatchString(r.comment(f.desc.FullName()))
}

// needs tells whether an element has to be there: it, or what it holds without being a field, is required.
func (r *Reference) needs(e *element) bool {
	if e.value != nil && r.requires(e.value) {
		return true
	}
	for _, a := range e.attrs {
		if !a.unit && r.requires(a.field) {
			return true
		}
	}
	if e.value != nil && e.value.message != nil {
		return false
	}
	return slices.ContainsFunc(e.children, r.needs)
}
