package explain

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// message is a message of the schema: its fields, and the XML of its element. That the options can be read in one way only
// is seen to by the codec.
type message struct {
	desc   protoreflect.MessageDescriptor
	fields []*field
	self   *element // its name is the business of whoever holds the message
}

// field is one field with its notation.
type field struct {
	desc    protoreflect.FieldDescriptor
	opts    *davitv1.XmlField
	name    string
	message *message // of a message field
}

// element is a place for an element in the XML of a message.
type element struct {
	name     string // as paths have it, with its prefix
	value    *field // what the element as a whole, or its text, stands for; nil for a mere container
	attrs    []attribute
	children []*element
	kept     *field // of a message's own element: the elements that only other drivers act on
}

// attribute is a place for an attribute. With unit it names the unit of field.
type attribute struct {
	name  string
	field *field
	unit  bool
}

// tree makes messages, each once.
type tree struct {
	done map[protoreflect.FullName]*message
}

func (t *tree) message(md protoreflect.MessageDescriptor) *message {
	if m, ok := t.done[md.FullName()]; ok {
		return m
	}
	m := &message{desc: md, self: &element{}}
	t.done[md.FullName()] = m
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := &field{desc: fd, opts: optionsOf(fd), name: string(fd.Name())}
		if fd.Message() != nil {
			f.message = t.message(fd.Message())
		}
		m.fields = append(m.fields, f)
		m.self.place(f)
	}
	return m
}

// place puts a field where its path says.
func (e *element) place(f *field) {
	if f.keeps() {
		e.kept = f
		return
	}
	at, attr := e.walk(f.opts.GetPath())
	if attr == "" {
		at.value = f
	} else {
		at.attrs = append(at.attrs, attribute{name: attr, field: f})
	}
	if unit := f.opts.GetUnitAttr(); unit != "" {
		at, attr := e.walk(unit)
		at.attrs = append(at.attrs, attribute{name: attr, field: f, unit: true})
	}
}

// walk follows a path, making what is missing, to an element and perhaps an attribute of it.
func (e *element) walk(path string) (at *element, attr string) {
	if path == "." {
		return e, ""
	}
	for step := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(step, "@"); ok {
			return e, name
		}
		next := e.child(step)
		if next == nil {
			next = &element{name: step}
			e.children = append(e.children, next)
		}
		e = next
	}
	return e, ""
}

func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (m *message) field(name string) *field {
	for _, f := range m.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

// keeps tells whether the field holds elements that only other drivers act on.
func (f *field) keeps() bool { return f.opts.GetPath() == "*" }

// isFlag tells whether the field is an empty element that stands for true.
func (f *field) isFlag() bool {
	return f.desc.Kind() == protoreflect.BoolKind && !strings.Contains(f.opts.GetPath(), "@")
}

// isSize tells whether the field is a size with a unit.
func (f *field) isSize() bool { return f.opts.GetUnit() != davitv1.XmlUnit_XML_UNIT_UNSPECIFIED }

func optionsOf(fd protoreflect.FieldDescriptor) *davitv1.XmlField {
	o, _ := proto.GetExtension(fd.Options(), davitv1.E_Xml).(*davitv1.XmlField)
	return o
}

func documentOf(md protoreflect.MessageDescriptor) *davitv1.XmlMessage {
	o, _ := proto.GetExtension(md.Options(), davitv1.E_XmlMessage).(*davitv1.XmlMessage)
	return o
}
