package domain

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// schema is how a message is written: its descriptor and the options of xml.proto, made ready for the codec.
type schema struct {
	desc   protoreflect.MessageDescriptor
	root   xmlName // of a message that is a document
	spaces []declaration
	self   *element // the message's own element; its name is the business of whoever holds the message
	fields []*field // in order of declaration, which is the order of output
	byName map[string]*field
	all    map[protoreflect.FullName]*schema // of the messages of the document, this one among them
	on     [passes][]*field                  // those that each pass looks at
}

// element is a place for an element in the XML of a message.
type element struct {
	name     xmlName
	value    *field // the field that the element's text, or the element as a whole, stands for; nil for a mere container
	attrs    []attribute
	children []*element // in order of output
	kept     *field     // of a message's own element: holds elements that only other drivers act on, after all others
	bare     *element   // one of the same name, and the same text, without attributes and children: an entry of a list, or a flag
	closed   bool       // of a message's own element: children of libvirt that are not known are refused; see closedMessages
}

// attribute is a place for an attribute. With unit it names the unit of field.
type attribute struct {
	name  string
	field *field
	unit  bool
}

// field is one field of a message with its notation.
type field struct {
	desc     protoreflect.FieldDescriptor
	opts     *davitv1.XmlField
	kind     protoreflect.Kind
	list     bool
	name     string  // in the model
	message  *schema // of a message field
	words    *words  // of an enum field
	unitAttr string  // name of the attribute that names the unit
	preset   protoreflect.Value
	hasPre   bool
}

// isFlag tells whether the field is an empty element that stands for true.
func (f *field) isFlag() bool {
	return f.kind == protoreflect.BoolKind && !strings.Contains(f.opts.GetPath(), "@")
}

// closedMessages are those whose elements libvirt refuses where it does not know them: each gives something to the domain,
// or takes it away.
var closedMessages = []protoreflect.FullName{"davit.v1.Features", "davit.v1.Capabilities", "davit.v1.LxcNamespace"}

// refuses tells whether an unknown child is never ignored.
func (e *element) refuses(child xmlName) bool {
	return e.closed && (child.space == "" || e.has(child.space))
}

// has tells whether e has children of a namespace.
func (e *element) has(space string) bool {
	return slices.ContainsFunc(e.children, func(c *element) bool { return c.name.space == space })
}

// childNames are the names of the elements that may stand in e.
func (e *element) childNames() []string {
	names := make([]string, 0, len(e.children))
	for _, c := range e.children {
		names = append(names, c.name.String())
	}
	if e.kept != nil {
		names = append(names, e.kept.opts.GetKept()...)
	}
	return names
}

// attrNames are the names of the attributes that e may have.
func (e *element) attrNames() []string {
	names := make([]string, len(e.attrs))
	for i, a := range e.attrs {
		names[i] = a.name
	}
	return names
}

// find gives the child element of a name.
func (e *element) find(name xmlName) *element {
	for _, c := range e.children {
		if c.name.is(name) {
			return c
		}
	}
	return nil
}

// findAttr gives the attribute of a name.
func (e *element) findAttr(name string) *attribute {
	for i := range e.attrs {
		if e.attrs[i].name == name {
			return &e.attrs[i]
		}
	}
	return nil
}

// domainSchema is the schema of davitv1.Domain, compiled once. That it compiles is a test.
var domainSchema = sync.OnceValue(func() *schema {
	s, err := compile((&davitv1.Domain{}).ProtoReflect().Descriptor())
	if err != nil {
		panic(err)
	}
	return s
})

// compile makes a document's descriptor ready for the codec. It refuses a schema that could be read in two ways, that
// leaves a field without a notation, or that could not be written.
func compile(md protoreflect.MessageDescriptor) (*schema, error) {
	opts, _ := proto.GetExtension(md.Options(), davitv1.E_XmlMessage).(*davitv1.XmlMessage)
	if opts.GetRoot() == "" {
		return nil, fmt.Errorf("compile schema of %s: it names no root element", md.FullName())
	}
	c := &compiler{spaces: map[string]string{}, done: map[protoreflect.FullName]*schema{}}
	var spaces []declaration
	for _, ns := range opts.GetXmlns() {
		if _, ok := c.spaces[ns.GetPrefix()]; ok || ns.GetPrefix() == "" || ns.GetUri() == "" {
			return nil, fmt.Errorf("compile schema of %s: namespace %q is empty or declared twice", md.FullName(), ns.GetPrefix())
		}
		c.spaces[ns.GetPrefix()] = ns.GetUri()
		spaces = append(spaces, declaration{ns.GetPrefix(), ns.GetUri()})
	}
	s, err := c.message(md)
	if err != nil {
		return nil, fmt.Errorf("compile schema of %w", err)
	}
	s.spaces = spaces
	c.route()
	if s.root, err = c.name(opts.GetRoot()); err != nil {
		return nil, fmt.Errorf("compile schema of %s: %w", md.FullName(), err)
	}
	return s, nil
}

// compiler holds what the messages of a document share.
type compiler struct {
	spaces map[string]string // by prefix
	done   map[protoreflect.FullName]*schema
}

func (c *compiler) message(md protoreflect.MessageDescriptor) (*schema, error) {
	if s, ok := c.done[md.FullName()]; ok {
		return s, nil
	}
	s := &schema{desc: md, self: &element{closed: slices.Contains(closedMessages, md.FullName())}, byName: map[string]*field{}, all: c.done}
	c.done[md.FullName()] = s
	for i := range md.Fields().Len() {
		f, err := c.field(md.Fields().Get(i))
		switch {
		case err != nil:
		case f.keeps():
			err = s.self.keep(f)
		default:
			err = c.place(s.self, f)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: field %s: %w", md.FullName(), md.Fields().Get(i).Name(), err)
		}
		s.fields = append(s.fields, f)
		s.byName[f.name] = f
	}
	if k := s.self.kept; k != nil {
		for _, e := range s.self.children {
			if k.keepsName(e.name) {
				return nil, fmt.Errorf("%s: field %s: element %q has a field of its own", md.FullName(), k.name, e.name)
			}
		}
	}
	return s, nil
}

// field checks a field's options on their own.
func (c *compiler) field(fd protoreflect.FieldDescriptor) (*field, error) {
	opts, _ := proto.GetExtension(fd.Options(), davitv1.E_Xml).(*davitv1.XmlField)
	f := &field{desc: fd, opts: opts, kind: fd.Kind(), list: fd.IsList(), name: string(fd.Name())}
	if opts.GetPath() == "" {
		return nil, fmt.Errorf("it has no XML path")
	}
	if fd.IsMap() || fd.ContainingOneof() != nil && !fd.ContainingOneof().IsSynthetic() {
		return nil, fmt.Errorf("maps and oneofs have no notation")
	}
	var err error
	switch fd.Kind() {
	case protoreflect.MessageKind:
		f.message, err = c.message(fd.Message())
	case protoreflect.EnumKind:
		f.words, err = newWords(fd.Enum())
	case protoreflect.StringKind, protoreflect.BoolKind, protoreflect.Uint32Kind, protoreflect.Uint64Kind,
		protoreflect.Int32Kind, protoreflect.Int64Kind:
	default:
		err = fmt.Errorf("kind %s has no notation", fd.Kind())
	}
	if err != nil {
		return nil, err
	}
	return f, f.check()
}

// check refuses options that do not fit the field's kind.
func (f *field) check() error {
	kind, o := f.desc.Kind(), f.opts
	attribute := strings.Contains(o.GetPath(), "@")
	switch {
	case f.keeps() != (len(o.GetKept()) > 0):
		return fmt.Errorf("kept and the path \"*\" belong together")
	case f.keeps() && (kind != protoreflect.StringKind || !f.desc.IsList() || o.GetRaw()):
		return fmt.Errorf("only a list of strings keeps elements")
	case f.keeps() && o.GetNotHonoured() != "":
		return fmt.Errorf("elements that are kept are never honoured, not_honoured says nothing")
	case f.desc.IsList() && (attribute || o.GetPath() == "."):
		return fmt.Errorf("a list needs an element of its own, not %q", o.GetPath())
	case f.message != nil && (attribute || o.GetPath() == "."):
		return fmt.Errorf("a message needs an element of its own, not %q", o.GetPath())
	case f.desc.IsList() && kind == protoreflect.BoolKind:
		return fmt.Errorf("a list of bools has no notation")
	case f.isFlag() && (o.GetPath() == "." || f.desc.HasPresence()):
		return fmt.Errorf("a bool at an element path is an empty element: it has no presence and no text")
	case (o.GetUnit() != 0) != (o.GetUnitAttr() != ""):
		return fmt.Errorf("unit and unit_attr belong together")
	case o.GetUnit() != 0 && (kind != protoreflect.Uint64Kind || f.desc.IsList()):
		return fmt.Errorf("only a single uint64 has a unit")
	case o.GetOnOff() && (kind != protoreflect.BoolKind || f.isFlag()):
		return fmt.Errorf("only a bool with text is on or off")
	case o.GetRaw() && (kind != protoreflect.StringKind || f.desc.IsList() || attribute):
		return fmt.Errorf("only a single string at an element path holds raw XML")
	}
	if o.GetDefaultValue() == "" {
		return nil
	}
	if f.desc.IsList() || f.message != nil || f.isFlag() {
		return fmt.Errorf("it cannot have a default value")
	}
	v, err := f.parse(o.GetDefaultValue(), "")
	if err != nil {
		return fmt.Errorf("default value: %w", err)
	}
	f.preset, f.hasPre = v, true
	return nil
}

// place puts a field where its path says, below the element of its message.
func (c *compiler) place(self *element, f *field) error {
	at, attr, err := c.walk(self, f.opts.GetPath())
	if err != nil {
		return err
	}
	if attr != "" {
		err = at.add(attribute{name: attr, field: f})
	} else {
		err = at.hold(f)
	}
	if err != nil {
		return err
	}
	if f.opts.GetUnitAttr() == "" {
		return nil
	}
	unitAt, unit, err := c.walk(self, f.opts.GetUnitAttr())
	if err != nil {
		return err
	}
	if unitAt != at || unit == "" {
		return fmt.Errorf("unit_attr %q is no attribute of the element that holds the value", f.opts.GetUnitAttr())
	}
	f.unitAttr = unit
	return at.add(attribute{name: unit, field: f, unit: true})
}

// walk follows a path from an element, making what is missing, to an element and, perhaps, an attribute.
func (c *compiler) walk(e *element, path string) (*element, string, error) {
	if path == "." {
		return e, "", nil
	}
	for step := range strings.SplitSeq(path, "/") {
		if attr, ok := strings.CutPrefix(step, "@"); ok {
			if !strings.HasSuffix(path, step) || !isNCName(attr) {
				return nil, "", fmt.Errorf("path %q: an attribute is the last step", path)
			}
			return e, attr, nil
		}
		if e.value != nil {
			return nil, "", fmt.Errorf("path %q: an element on it is already field %s", path, e.value.name)
		}
		name, err := c.name(step)
		if err != nil {
			return nil, "", fmt.Errorf("path %q: %w", path, err)
		}
		next := e.find(name)
		if next == nil {
			next = &element{name: name}
			e.children = append(e.children, next)
		}
		e = next
	}
	return e, "", nil
}

// name resolves the prefix of a step.
func (c *compiler) name(step string) (xmlName, error) {
	prefix, local, ok := strings.Cut(step, ":")
	if !ok {
		prefix, local = "", step
	}
	space, known := c.spaces[prefix]
	if ok && !known {
		return xmlName{}, fmt.Errorf("prefix %q is not declared", prefix)
	}
	if !isNCName(local) {
		return xmlName{}, fmt.Errorf("%q is not a name", step)
	}
	return xmlName{prefix: prefix, local: local, space: space}, nil
}

// add gives an element an attribute.
func (e *element) add(a attribute) error {
	if e.findAttr(a.name) != nil {
		return fmt.Errorf("attribute %q has two fields", a.name)
	}
	if e.value != nil && !e.value.hasText() {
		return fmt.Errorf("the element is field %s and cannot have attributes", e.value.name)
	}
	e.attrs = append(e.attrs, a)
	return nil
}

// keep gives the element of a message the field that keeps elements of other drivers.
func (e *element) keep(f *field) error {
	if e.kept != nil {
		return fmt.Errorf("elements are kept by field %s already", e.kept.name)
	}
	e.kept = f
	return nil
}

// hold makes an element stand for a field.
func (e *element) hold(f *field) error {
	switch {
	case e.value != nil:
		return fmt.Errorf("the element is already field %s", e.value.name)
	case len(e.children) > 0:
		return fmt.Errorf("the element has children and cannot be a field")
	case len(e.attrs) > 0 && !f.hasText():
		return fmt.Errorf("the element has attributes and cannot be a list, a message, a flag or raw XML")
	}
	e.value = f
	switch {
	case f.isFlag():
		e.bare = &element{name: e.name}
	case f.list:
		e.bare = &element{name: e.name, value: f}
	}
	return nil
}

// hasText tells whether the field is the text of its element, which leaves room for attributes.
func (f *field) hasText() bool {
	return f.message == nil && !f.list && !f.isFlag() && !f.opts.GetRaw()
}
