package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// notation is how data is printed: as virsh does, or for programs.
type notation string

// The notations of -o.
const (
	text     notation = ""
	jsonText notation = "json"
	yamlText notation = "yaml"
)

// Set, String and Type make it the value of an option.
func (n *notation) Set(word string) error {
	switch word {
	case "text", "table":
		*n = text
	case "json", "yaml":
		*n = notation(word)
	default:
		return fmt.Errorf("unknown notation '%s', expecting 'text', 'table', 'json', or 'yaml'", word)
	}
	return nil
}

func (n *notation) String() string { return string(*n) }

// Type names the kind of value in help.
func (n *notation) Type() string { return "notation" }

// show prints data in the notation that was asked for.
func (a *app) show(data any) error {
	doc, err := encode(data)
	if err != nil {
		return err
	}
	if a.notation == yamlText {
		if doc, err = toYAML(doc); err != nil {
			return err
		}
		_, err = a.out.Write(doc)
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return err
	}
	a.print("%s\n", b.Bytes())
	return nil
}

// object is a document of its own making, in the order of its members.
type object []member

type member struct {
	name  string
	value any
}

// encode writes messages, lists, objects and plain values as JSON. The names are those of the API's fields; enum values
// are words, durations end in "s", and every field that has a value of its own is there, also when it is 0.
func encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case sparse:
		return encodeMessage(v.ProtoReflect(), true)
	case proto.Message:
		return encodeMessage(v.ProtoReflect(), false)
	case object:
		return encodeObject(v)
	case []any:
		return encodeList(v)
	case json.RawMessage:
		return v, nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func encodeObject(o object) ([]byte, error) {
	out := []byte{'{'}
	for i, m := range o {
		value, err := encode(m.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendQuote(out, m.name)
		out = append(append(out, ':'), value...)
	}
	return append(out, '}'), nil
}

func encodeList(l []any) ([]byte, error) {
	out := []byte{'['}
	for i, v := range l {
		value, err := encode(v)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, value...)
	}
	return append(out, ']'), nil
}

// sparse is a message of which most fields are of no concern, as a device of some type has none of those of other types. What has no
// text, and lists without entries, are left out; numbers and flags are there, also when they are 0.
type sparse struct{ proto.Message }

// isBlank tells a field that a sparse message leaves out.
func isBlank(m protoreflect.Message, fd protoreflect.FieldDescriptor) bool {
	return !m.Has(fd) && (fd.IsList() || fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind)
}

func encodeMessage(m protoreflect.Message, concise bool) ([]byte, error) {
	switch known := m.Interface().(type) {
	case *timestamppb.Timestamp:
		return encode(known.AsTime().Format(time.RFC3339Nano))
	case *durationpb.Duration:
		return encode(strconv.FormatFloat(known.AsDuration().Seconds(), 'f', -1, 64) + "s")
	case *structpb.Struct:
		return encode(known.AsMap())
	}
	var o object
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) && (fd.HasPresence() || fd.IsMap() || fd.Kind() == protoreflect.EnumKind) || concise && isBlank(m, fd) {
			continue
		}
		value, err := fieldValue(fd, m.Get(fd), concise)
		if err != nil {
			return nil, err
		}
		o = append(o, member{string(fd.Name()), value})
	}
	return encodeObject(o)
}

func fieldValue(fd protoreflect.FieldDescriptor, v protoreflect.Value, concise bool) (any, error) {
	if fd.IsMap() {
		return nil, fmt.Errorf("field %s: maps have no notation", fd.FullName())
	}
	if !fd.IsList() {
		return singleValue(fd, v, concise), nil
	}
	list := make([]any, 0, v.List().Len())
	for i := range v.List().Len() {
		list = append(list, singleValue(fd, v.List().Get(i), concise))
	}
	return list, nil
}

func singleValue(fd protoreflect.FieldDescriptor, v protoreflect.Value, concise bool) any {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if concise {
			return sparse{v.Message().Interface()}
		}
		return v.Message().Interface()
	case protoreflect.EnumKind:
		return enumWord(fd.Enum(), v.Enum())
	default:
		return v.Interface()
	}
}

// enumWord is the name of a value less the prefix of its enum, in lower case, with "-" for "_"; a value of a later
// version is its number.
func enumWord(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) any {
	value := e.Values().ByNumber(n)
	if value == nil {
		return int32(n)
	}
	var prefix strings.Builder
	for i, r := range string(e.Name()) {
		if i > 0 && unicode.IsUpper(r) {
			prefix.WriteByte('_')
		}
		prefix.WriteRune(unicode.ToUpper(r))
	}
	word := strings.TrimPrefix(string(value.Name()), prefix.String()+"_")
	return strings.ReplaceAll(strings.ToLower(word), "_", "-")
}

// toYAML writes a JSON document as YAML, in its order.
func toYAML(doc []byte) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(escaped(doc), &node); err != nil {
		return nil, err
	}
	plainStyle(&node)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&node); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// escaped writes the characters that JSON may hold as they are, and YAML not, as \uXXXX.
func escaped(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	for _, r := range string(doc) {
		if r >= 0x7f && r <= 0x9f || r == 0xfffe || r == 0xffff {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// plainStyle takes JSON's quotes and brackets off; the encoder quotes what needs it.
func plainStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plainStyle(c)
	}
}
