package domain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ParseOptions change how a document is read.
type ParseOptions struct {
	// Strict makes an error of what is otherwise a warning: elements, attributes and text that the schema does not know. Elements
	// that it keeps for other drivers are known.
	Strict bool
}

// ParseXML reads a domain from libvirt's domain XML and gives what the document says, no more: defaults are the
// business of [Normalize] and [ApplyHostDefaults], and whether it makes sense that of [Validate].
//
// A document that is not well-formed, or beyond the limits (see [MaxDocument] and its neighbours), is an error with
// reason DOCUMENT_MALFORMED that names the first such place. Values that cannot be read are an error with reason
// DEFINITION_INVALID that names them all.
func ParseXML(doc []byte, o ParseOptions) (*davitv1.Domain, []*davitv1.Warning, error) {
	r, err := parseXML(string(doc), o)
	if err == nil {
		err = r.refused()
	}
	if err != nil {
		return nil, nil, err
	}
	return r.def, r.warnings, nil
}

// reading is what was read of a document.
type reading struct {
	text     string
	root     *node
	def      *davitv1.Domain // what could be read; nil if it is no domain's document
	warnings []*davitv1.Warning
	faults   faults
	unread   []string // the fields of which the document says what could not be read
}

// refused is the error of what could not be read, nil if all could.
func (r *reading) refused() error {
	if len(r.faults.list) == 0 {
		return nil
	}
	r.faults.order()
	return &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID,
		Op: "read domain XML", Violations: r.faults.violations(),
	}
}

// parseXML is ParseXML that gives what could be read beside what could not. Its error is that of a document that is not
// well-formed.
func parseXML(text string, o ParseOptions) (*reading, error) {
	root, err := scanDocument(text)
	if err != nil {
		return nil, malformed("read domain XML", text, err)
	}
	s := domainSchema()
	p := &parser{doc: text, strict: o.Strict}
	r := &reading{text: text, root: root}
	at := &place{xml: s.root.String()}
	if root.name.is(s.root) {
		r.def = &davitv1.Domain{}
		p.element(root, s.self, r.def.ProtoReflect(), at)
	} else {
		p.fault(root.offset, &place{xml: root.name.String()}, fmt.Sprintf("the root element is %s, not %q", quote(root.name.String()), s.root.String()))
	}
	r.warnings, r.faults, r.unread = p.warnings, p.faults, p.unread
	return r, nil
}

// malformed turns the scanner's fault into an Error with its place.
func malformed(op, doc string, err error) error {
	e := &Error{Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DOCUMENT_MALFORMED, Op: op}
	var syntax *syntaxError
	if !errors.As(err, &syntax) {
		e.Message = err.Error()
		return e
	}
	line, column := position(doc, syntax.offset)
	e.Violations = []Violation{{Line: line, Column: column, Message: syntax.message}}
	e.Detail = map[string]string{"line": strconv.Itoa(line), "column": strconv.Itoa(column)}
	return e
}

// parser walks a scanned document and its schema side by side.
type parser struct {
	doc      string
	strict   bool
	faults   faults
	unread   []string
	warnings []*davitv1.Warning
	unknown  int
	done     []*content // to be used again
	dump     []byte     // likewise
}

// fault tells of a value that could not be read.
func (p *parser) fault(offset int, at *place, message string) {
	p.tell(offset, at, message)
	if !p.faults.full() {
		p.unread = append(p.unread, at.fieldPath())
	}
}

func (p *parser) tell(offset int, at *place, message string) {
	if p.faults.full() {
		p.faults.more++
		return
	}
	line, column := position(p.doc, offset)
	p.faults.add(Violation{XMLPath: at.xmlPath(), Field: at.fieldPath(), Line: line, Column: column, Message: message})
}

// stranger is something that the schema does not know. Its place, its name and what is known instead are only asked for if
// it is told.
type stranger struct {
	offset int
	place  func() *place
	what   func() string
	known  func() (word string, instead []string) // nil if nothing could have been meant
	refuse bool                                   // also where the reading is not strict
}

// meet tells about a stranger.
func (p *parser) meet(s stranger) {
	near := func() string {
		if s.known == nil {
			return ""
		}
		return meant(s.known())
	}
	if p.strict || s.refuse {
		if p.faults.full() {
			p.faults.more++
			return
		}
		p.tell(s.offset, s.place(), s.what()+" is not known"+near())
		return
	}
	p.unknown++
	switch {
	case p.unknown <= maxViolations:
		at := s.place()
		p.warnings = append(p.warnings, &davitv1.Warning{XmlPath: at.xmlPath(), Field: at.fieldPath(), Message: s.what() + " is not known and ignored" + near()})
	case p.unknown == maxViolations+1:
		p.warnings = append(p.warnings, &davitv1.Warning{XmlPath: "/" + domainSchema().root.String(), Message: "more that is not known is ignored"})
	}
}

// strangeChild is the i-th node of n, an element that e has no place for.
func (p *parser) strangeChild(n *node, i int, e *element, at *place) stranger {
	child := n.children[i]
	return stranger{
		offset: child.offset,
		place:  func() *place { return at.below(child.name.String(), sibling(n, i)) },
		what:   func() string { return "element " + quote(child.name.String()) },
		known: func() (string, []string) {
			if child.name.space != "" && !e.has(child.name.space) {
				return "", nil
			}
			return child.name.String(), e.childNames()
		},
		refuse: e != nil && e.refuses(child.name),
	}
}

// element reads n, which stands at e in the XML of the message m.
func (p *parser) element(n *node, e *element, m protoreflect.Message, at *place) {
	p.attributes(n, e, m, at)
	if e.value != nil && e.value.opts.GetRaw() {
		p.raw(n, at)
		m.Set(e.value.desc, protoreflect.ValueOfString(dumpMetadata(n.children, 0)))
		return
	}
	p.text(n, e, m, at)
	if !slices.ContainsFunc(n.children, (*node).isElement) {
		return
	}
	c := p.begin(len(e.children))
	for i, child := range n.children {
		if child.kind != elementNode {
			continue
		}
		p.child(n, i, e, c, m, at)
	}
	p.done = append(p.done, c)
}

// begin is the content of an element of which nothing was read yet.
func (p *parser) begin(children int) *content {
	c := &content{}
	if last := len(p.done) - 1; last >= 0 {
		c, p.done = p.done[last], p.done[:last]
	}
	clear(c.seen)
	c.seen = slices.Grow(c.seen[:0], children)[:children]
	c.field, c.list = nil, nil
	return c
}

// raw tells about elements of applications that dumpMetadata drops.
func (p *parser) raw(n *node, at *place) {
	seen := map[string]bool{"": true}
	for i, c := range n.children {
		if c.kind != elementNode {
			continue
		}
		if seen[c.name.space] {
			what := "without a namespace"
			if c.name.space != "" {
				what = "with a namespace that another has"
			}
			s := p.strangeChild(n, i, nil, at)
			s.what, s.known = func() string { return "element " + quote(c.name.String()) + " " + what }, nil
			p.meet(s)
		}
		seen[c.name.space] = true
	}
}

// content is what was read of an element so far: which of its children, and the list of which the last one was an entry.
type content struct {
	seen  []bool
	field *field
	list  protoreflect.List
}

// of is the list of a field.
func (c *content) of(f *field, m protoreflect.Message) protoreflect.List {
	if c.field != f {
		c.field, c.list = f, m.Mutable(f.desc).List()
	}
	return c.list
}

// child reads the i-th node of n, an element.
func (p *parser) child(n *node, i int, e *element, read *content, m protoreflect.Message, at *place) {
	child := n.children[i]
	k := 0
	for k < len(e.children) && !e.children[k].name.is(child.name) {
		k++
	}
	if k == len(e.children) {
		if e.kept != nil && e.kept.keepsName(child.name) {
			p.dump = appendKept(p.dump[:0], child, 0)
			read.of(e.kept, m).Append(protoreflect.ValueOfString(string(p.dump)))
			return
		}
		p.meet(p.strangeChild(n, i, e, at))
		return
	}
	c := e.children[k]
	if c.value != nil && c.value.list {
		p.entry(child, c, read.of(c.value, m), m, at)
		return
	}
	where := at.below(c.name.String(), 0)
	if c.value != nil {
		where.field = c.value.name
	}
	if read.seen[k] {
		p.fault(child.offset, where, fmt.Sprintf("element %q is given twice", c.name.String()))
		return
	}
	read.seen[k] = true
	switch {
	case c.value != nil && c.value.message != nil:
		p.element(child, c.value.message.self, m.Mutable(c.value.desc).Message(), where)
	case c.value != nil && c.value.isFlag():
		m.Set(c.value.desc, protoreflect.ValueOfBool(true))
		p.element(child, c.bare, m, where)
	default:
		p.element(child, c, m, where)
	}
}

// entry reads an element that is an entry of a list.
func (p *parser) entry(n *node, e *element, list protoreflect.List, m protoreflect.Message, at *place) {
	f := e.value
	where := at.below(e.name.String(), list.Len()+1)
	where.field, where.entry = f.name, list.Len()+1
	if f.message != nil {
		p.element(n, f.message.self, list.AppendMutable().Message(), where)
		return
	}
	v, err := f.parse(n.content(), "")
	if err != nil {
		p.fault(n.textOffset(), where, err.Error())
		return
	}
	list.Append(v)
	p.element(n, e.bare, m, where)
}

// sibling is the place of the i-th node of n among elements of its name, 0 if it is the only one.
func sibling(n *node, i int) int {
	before, all := 0, 0
	for j, c := range n.children {
		if c.kind == elementNode && c.name.is(n.children[i].name) {
			all++
			if j <= i {
				before++
			}
		}
	}
	if all == 1 {
		return 0
	}
	return before
}

func (p *parser) attributes(n *node, e *element, m protoreflect.Message, at *place) {
	for i := range n.attrs {
		a := &n.attrs[i]
		if _, ok := a.declares(); ok || a.name.prefix == "xml" {
			continue
		}
		var known *attribute
		if a.name.prefix == "" {
			known = e.findAttr(a.name.local)
		}
		where := at.below(a.name.String(), 0)
		where.attr = true
		switch {
		case known == nil:
			p.meet(stranger{
				offset: a.offset,
				place:  func() *place { return where },
				what:   func() string { return "attribute " + quote(a.name.String()) },
				known:  func() (string, []string) { return a.name.String(), e.attrNames() },
			})
		case known.unit:
			if _, err := parseSize("0", a.value, known.field.opts.GetUnit()); err != nil {
				where.field = known.field.name
				p.fault(a.offset, where, err.Error())
			}
		default:
			where.field = known.field.name
			if why := idle[known.field.desc.FullName()][a.value]; why != "" && !p.strict {
				p.warnings = append(p.warnings, &davitv1.Warning{XmlPath: where.xmlPath(), Field: where.fieldPath(), Message: quote(a.value) + " is ignored: " + why})
				continue
			}
			p.set(n, a.value, a.offset, known.field, m, where)
		}
	}
}

// text reads the text of n. Blank text of an element that has none, or has elements beside it, is layout.
func (p *parser) text(n *node, e *element, m protoreflect.Message, at *place) {
	text := n.content()
	if text == "" || e.value != nil && e.value.list {
		return
	}
	if e.value == nil || e.value.message != nil || e.value.isFlag() {
		if strange := strings.Trim(text, " \t\r\n"); strange != "" {
			p.meet(stranger{
				offset: n.textOffset(),
				place:  func() *place { return at },
				what:   func() string { return "text " + quote(strange) },
			})
		}
		return
	}
	p.set(n, text, n.textOffset(), e.value, m, at)
}

// set reads the value of a single field.
func (p *parser) set(n *node, text string, offset int, f *field, m protoreflect.Message, at *place) {
	if at.field == "" {
		at = at.below("", 0)
		at.field = f.name
	}
	if text == "" && f.kind == protoreflect.StringKind {
		return
	}
	unit := ""
	if a := n.attr(f.unitAttr); f.unitAttr != "" && a != nil {
		unit = a.value
		if _, err := unitScaleOf(unit); err != nil {
			return // told where the attribute stands
		}
	}
	v, err := f.parse(text, unit)
	if err != nil {
		p.fault(offset, at, err.Error())
		return
	}
	m.Set(f.desc, v)
}

// unitScaleOf is unitScale that takes the absence of a unit.
func unitScaleOf(unit string) (uint64, error) {
	if unit == "" {
		return 0, nil
	}
	return unitScale(unit)
}
