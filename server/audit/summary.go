package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Bounds of a summary.
const (
	maxText    = 256  // bytes of one text; longer ones are digested
	maxEntries = 64   // of a list
	maxSummary = 4096 // bytes of all texts together
)

// digested are the texts that are told by size and SHA-256 whatever their length: documents, and what people write for
// their own programs. Messages of the definition are told so anyway, and so are all bytes.
var digested = map[protoreflect.FullName]bool{
	"davit.v1.DefinitionSource.xml":         true,
	"davit.v1.DeviceSource.text":            true,
	"davit.v1.UpdateDomainRequest.metadata": true,
}

// environments are the lists of NAME=VALUE, of which the names are told.
var environments = map[protoreflect.FullName]bool{"davit.v1.ExecStart.env": true}

// commands are the lists of a command and its arguments, of which the command is told, and how many arguments it has: passwords are
// given there, too.
var commands = map[protoreflect.FullName]bool{"davit.v1.ExecStart.argv": true}

// summarize tells what a request asks for, in short and without its secrets.
func summarize(q proto.Message) *structpb.Struct {
	s := &summary{left: maxSummary}
	return s.message(q.ProtoReflect())
}

// summary is one in the making.
type summary struct {
	left int // bytes that more texts may have
}

func (s *summary) message(m protoreflect.Message) *structpb.Struct {
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() { // in this order, so that what is cut is the same each time
		if field := fields.Get(i); m.Has(field) {
			out.Fields[string(field.Name())] = s.field(field, m.Get(field))
		}
	}
	return out
}

func (s *summary) field(field protoreflect.FieldDescriptor, v protoreflect.Value) *structpb.Value {
	switch {
	case field.IsMap():
		return structpb.NewStringValue(fmt.Sprintf("%d entries", v.Map().Len()))
	case !field.IsList():
		return s.value(field, v)
	}
	list := v.List()
	most := maxEntries
	if commands[field.FullName()] {
		most = 1
	}
	var values []*structpb.Value
	for i := range min(list.Len(), most) {
		values = append(values, s.value(field, list.Get(i)))
	}
	if more := list.Len() - len(values); more > 0 {
		values = append(values, structpb.NewStringValue(fmt.Sprintf("and %d more", more)))
	}
	return structpb.NewListValue(&structpb.ListValue{Values: values})
}

func (s *summary) value(field protoreflect.FieldDescriptor, v protoreflect.Value) *structpb.Value {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return structpb.NewBoolValue(v.Bool())
	case protoreflect.StringKind:
		switch text := v.String(); {
		case digested[field.FullName()]:
			return digest([]byte(text))
		case environments[field.FullName()]:
			name, _, _ := strings.Cut(text, "=")
			return s.text(name)
		default:
			return s.text(text)
		}
	case protoreflect.BytesKind:
		return digest(v.Bytes())
	case protoreflect.EnumKind:
		if known := field.Enum().Values().ByNumber(v.Enum()); known != nil {
			return structpb.NewStringValue(string(known.Name()))
		}
		return structpb.NewNumberValue(float64(v.Enum()))
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return s.inner(v.Message())
	default: // numbers, as text where a double would round them
		return structpb.NewStringValue(v.String())
	}
}

// inner tells of a message within the request.
func (s *summary) inner(m protoreflect.Message) *structpb.Value {
	if mask, ok := m.Interface().(*fieldmaskpb.FieldMask); ok {
		return s.text(strings.Join(mask.GetPaths(), ","))
	}
	switch {
	case m.Descriptor().ParentFile().Package() == "google.protobuf": // a time, a duration
		text, err := protojson.Marshal(m.Interface())
		if err != nil {
			return structpb.NewStringValue("not valid")
		}
		return s.text(strings.Trim(string(text), `"`))
	case isDefinition(m.Descriptor()):
		return s.definition(m)
	}
	return structpb.NewStructValue(s.message(m))
}

// isDefinition tells whether a message is a definition or a part of one: its fields have places in XML.
func isDefinition(d protoreflect.MessageDescriptor) bool {
	for i := range d.Fields().Len() {
		if proto.HasExtension(d.Fields().Get(i).Options(), davitv1.E_Xml) {
			return true
		}
	}
	return false
}

// definition tells of a definition by its digest, of a whole one also which domain it is.
func (s *summary) definition(m protoreflect.Message) *structpb.Value {
	wire, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m.Interface())
	if err != nil {
		return structpb.NewStringValue("not valid")
	}
	out := digest(wire)
	if def, ok := m.Interface().(*davitv1.Domain); ok {
		for key, text := range map[string]string{"name": def.GetName(), "uuid": def.GetUuid()} {
			if text != "" {
				out.GetStructValue().GetFields()[key] = s.text(text)
			}
		}
	}
	return out
}

// text tells a text, or a digest where it is long or there is no more room.
func (s *summary) text(text string) *structpb.Value {
	if len(text) > maxText || len(text) > s.left || !utf8.ValidString(text) {
		return digest([]byte(text))
	}
	s.left -= len(text)
	return structpb.NewStringValue(text)
}

// digest tells data by size and SHA-256.
func digest(data []byte) *structpb.Value {
	sum := sha256.Sum256(data)
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		"bytes":  structpb.NewNumberValue(float64(len(data))),
		"sha256": structpb.NewStringValue(hex.EncodeToString(sum[:])),
	}})
}
