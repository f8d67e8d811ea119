package domain

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// JSON and YAML are two spellings of one tree: a mapping for a message, with the fields' names as keys in the schema's
// order, a sequence for a list, the same words for enums as in the XML, plain numbers for numbers. What is not set is
// left out.

// Tags of the tree's scalars.
const (
	strTag  = "!!str"
	intTag  = "!!int"
	boolTag = "!!bool"
	nullTag = "!!null"
)

// encodeMessage is a message as a tree.
func encodeMessage(s *schema, m protoreflect.Message) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range s.fields {
		if !m.Has(f.desc) {
			continue
		}
		value := m.Get(f.desc)
		var v *yaml.Node
		if f.desc.IsList() {
			v = &yaml.Node{Kind: yaml.SequenceNode}
			for i := range value.List().Len() {
				v.Content = append(v.Content, encodeValue(f, value.List().Get(i)))
			}
		} else {
			v = encodeValue(f, value)
		}
		n.Content = append(n.Content, scalar(strTag, f.name), v)
	}
	return n
}

func encodeValue(f *field, v protoreflect.Value) *yaml.Node {
	switch f.desc.Kind() {
	case protoreflect.MessageKind:
		return encodeMessage(f.message, v.Message())
	case protoreflect.BoolKind:
		return scalar(boolTag, strconv.FormatBool(v.Bool()))
	case protoreflect.StringKind, protoreflect.EnumKind:
		return scalar(strTag, f.format(v))
	default:
		return scalar(intTag, f.format(v))
	}
}

func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// decoder reads a tree into a message and collects what is wrong. lenient takes the text of any scalar for a string, so
// that YAML's names need no quotes when they look like numbers.
type decoder struct {
	faults
	lenient bool
}

// decode reads the tree of a whole domain.
func (d *decoder) decode(op string, n *yaml.Node) (*davitv1.Domain, error) {
	s := domainSchema()
	def := &davitv1.Domain{}
	d.message(n, s, def.ProtoReflect(), &place{xml: s.root.String()})
	if len(d.list) > 0 {
		return nil, &Error{
			Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID,
			Op: op, Violations: d.violations(),
		}
	}
	return def, nil
}

func (d *decoder) fault(n *yaml.Node, at *place, format string, args ...any) {
	d.add(Violation{
		XMLPath: at.xmlPath(), Field: at.fieldPath(), Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...),
	})
}

func (d *decoder) message(n *yaml.Node, s *schema, m protoreflect.Message, at *place) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, at, "%s is not a mapping", describe(n))
		return
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		f := s.byName[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag != strTag || f == nil:
			d.fault(key, at, "key %s is not known%s", describe(key), s.meant(key))
		case seen[key.Value]:
			d.fault(key, at, "key %s is given twice", describe(key))
		case value.Kind == yaml.ScalarNode && value.Tag == nullTag:
		default:
			d.field(value, f, m, at)
		}
		seen[key.Value] = true
	}
}

// meant tells which key may have been meant by one that is not known.
func (s *schema) meant(key *yaml.Node) string {
	if key.Kind != yaml.ScalarNode {
		return ""
	}
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return meant(key.Value, names)
}

func (d *decoder) field(n *yaml.Node, f *field, m protoreflect.Message, at *place) {
	if !f.desc.IsList() {
		where := at.of(f, 0)
		if f.message != nil {
			d.message(n, f.message, m.Mutable(f.desc).Message(), where)
		} else if v, ok := d.value(n, f, where); ok {
			m.Set(f.desc, v)
		}
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fault(n, &place{parent: at, xml: f.opts.GetPath(), field: f.name}, "%s is not a list", describe(n))
		return
	}
	for i, c := range n.Content {
		where := at.of(f, i)
		if f.message != nil {
			d.message(c, f.message, m.Mutable(f.desc).List().AppendMutable().Message(), where)
		} else if v, ok := d.value(c, f, where); ok {
			m.Mutable(f.desc).List().Append(v)
		}
	}
}

// value reads a scalar of the field's kind.
func (d *decoder) value(n *yaml.Node, f *field, at *place) (protoreflect.Value, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, at, "%s is not %s", describe(n), kindWord(f.desc.Kind()))
		return protoreflect.Value{}, false
	}
	kind := f.desc.Kind()
	var v protoreflect.Value
	var err error
	switch {
	case kind == protoreflect.StringKind && (n.Tag == strTag || d.lenient):
		return protoreflect.ValueOfString(n.Value), true
	case kind == protoreflect.EnumKind && (n.Tag == strTag || d.lenient):
		v, err = f.parse(n.Value, "")
	case kind == protoreflect.BoolKind && n.Tag == boolTag && (n.Value == "true" || n.Value == "false"):
		return protoreflect.ValueOfBool(n.Value == "true"), true
	case isNumber(kind) && n.Tag == intTag && isPlainNumber(n.Value):
		v, err = f.parseNumber(n.Value)
	default:
		err = fmt.Errorf("%s is not %s", describe(n), kindWord(kind))
	}
	if err != nil {
		d.fault(n, at, "%s", err)
	}
	return v, err == nil
}

func isNumber(k protoreflect.Kind) bool {
	return k != protoreflect.StringKind && k != protoreflect.EnumKind && k != protoreflect.BoolKind
}

// isPlainNumber tells whether a number is written as JSON writes it: no sign but a minus, no leading zero, no base.
func isPlainNumber(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		return strconv.FormatInt(n, 10) == s
	}
	u, err := strconv.ParseUint(s, 10, 64)
	return err != nil && isDigits(s) && s[0] != '0' || err == nil && strconv.FormatUint(u, 10) == s
}

func kindWord(k protoreflect.Kind) string {
	switch k {
	case protoreflect.StringKind, protoreflect.EnumKind:
		return "a string"
	case protoreflect.BoolKind:
		return "true or false"
	default:
		return "a whole number in decimal"
	}
}

// describe names a node for a message.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
	}
	if n.Tag == nullTag {
		return "null"
	}
	return quote(n.Value)
}
