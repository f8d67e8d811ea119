package wire

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/runtime/protoimpl"
)

// This file encodes and decodes messages by the tags that protoc-gen-go writes beside the fields of its structs:
//
//	Pid uint32 `protobuf:"varint,5,opt,name=pid"`
//
// Package proto does the same by way of descriptors, which it unpacks at first use into a few hundred KiB of tables. In a
// monitor, which exchanges a handful of small messages in its life, that is a third of its memory. The bytes are the same;
// a test holds the two against each other on every message, and fuzzing on any bytes.
//
// It knows what the messages of package monitorv1 are made of: numbers as varints, strings, bytes, messages, oneofs, and
// lists of strings, messages and packed enumerations. It panics on anything else, which that test would have found.

// errTruncated is a message that ends within a field.
var errTruncated = errors.New("message ends within a field")

// field is a field of a message, as its tag tells.
type field struct {
	number protowire.Number
	varint bool
	list   bool
}

// fieldOf reads a field's tag; false means that it is none.
func fieldOf(tag reflect.StructTag) (f field, ok bool) {
	kind, rest, ok := strings.Cut(tag.Get("protobuf"), ",")
	if !ok {
		return f, false
	}
	digits, rest, _ := strings.Cut(rest, ",")
	number, err := strconv.Atoi(digits)
	if err != nil || kind != "varint" && kind != "bytes" {
		panic("wire: unknown kind of field: " + string(tag))
	}
	return field{protowire.Number(number), kind == "varint", strings.HasPrefix(rest, "rep")}, true
}

// Encode gives the encoding of a message.
func Encode(m proto.Message) ([]byte, error) { return encode(nil, m) }

// Decode parses a message into an empty one. Fields that this release does not know are dropped.
func Decode(data []byte, m proto.Message) error {
	return decodeStruct(data, reflect.ValueOf(m).Elem())
}

// encode appends the encoding of a message.
func encode(b []byte, m proto.Message) ([]byte, error) {
	return encodeStruct(b, reflect.ValueOf(m).Elem())
}

// encodeStruct appends the fields of a message, in the order of the struct, which is that of the .proto file.
func encodeStruct(b []byte, v reflect.Value) ([]byte, error) {
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		value := v.Field(i)
		if tag.Get("protobuf_oneof") != "" {
			if value.IsNil() {
				continue
			}
			wrapper := value.Elem().Elem()
			chosen, _ := fieldOf(wrapper.Type().Field(0).Tag)
			var err error
			if b, err = encodeValue(b, chosen, wrapper.Field(0)); err != nil {
				return nil, err
			}
			continue
		}
		f, ok := fieldOf(tag)
		if !ok || value.IsZero() {
			continue
		}
		var err error
		if b, err = encodeField(b, f, value); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// encodeField appends a field, or each element of a list.
func encodeField(b []byte, f field, v reflect.Value) ([]byte, error) {
	if !f.list {
		return encodeValue(b, f, v)
	}
	if f.varint {
		var packed []byte
		for i := range v.Len() {
			packed = protowire.AppendVarint(packed, bits(v.Index(i)))
		}
		if len(packed) == 0 {
			return b, nil
		}
		return protowire.AppendBytes(protowire.AppendTag(b, f.number, protowire.BytesType), packed), nil
	}
	for i := range v.Len() {
		var err error
		if b, err = encodeValue(b, f, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// encodeValue appends a field with one value.
func encodeValue(b []byte, f field, v reflect.Value) ([]byte, error) {
	if f.varint {
		return protowire.AppendVarint(protowire.AppendTag(b, f.number, protowire.VarintType), bits(v)), nil
	}
	b = protowire.AppendTag(b, f.number, protowire.BytesType)
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return nil, fmt.Errorf("string %q is not UTF-8", v.String())
		}
		return protowire.AppendString(b, v.String()), nil
	case reflect.Slice:
		return protowire.AppendBytes(b, v.Bytes()), nil
	case reflect.Pointer:
		if v.IsNil() {
			return protowire.AppendVarint(b, 0), nil
		}
		return encodeMessage(b, v.Elem())
	default:
		panic("wire: unknown type of field: " + v.Type().String())
	}
}

// encodeMessage appends a message within a message, behind its length.
func encodeMessage(b []byte, v reflect.Value) ([]byte, error) {
	start := len(b)
	b, err := encodeStruct(append(b, 0), v)
	if err != nil {
		return nil, err
	}
	size := len(b) - start - 1
	prefix := protowire.AppendVarint(nil, uint64(size))
	return slices.Replace(b, start, start+1, prefix...), nil
}

// bits is a number as it is encoded: signed ones with their sign over all 64 bits.
func bits(v reflect.Value) uint64 {
	switch {
	case v.Kind() == reflect.Bool && v.Bool():
		return 1
	case v.Kind() == reflect.Bool:
		return 0
	case v.CanInt():
		return uint64(v.Int())
	}
	return v.Uint()
}

// decodeStruct parses the fields of a message.
func decodeStruct(b []byte, v reflect.Value) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(number, kind, b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := decodeField(number, kind, b[:size], v); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// decodeField parses a field, whose value's encoding is complete.
func decodeField(number protowire.Number, kind protowire.Type, b []byte, v reflect.Value) error {
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if tag.Get("protobuf_oneof") != "" {
			if wrapper := wrapperOf(v, number, t.Field(i).Type); wrapper != nil {
				return decodeOneof(wrapper, kind, b, v.Field(i))
			}
			continue
		}
		if f, ok := fieldOf(tag); ok && f.number == number {
			return decodeValue(f, kind, b, v.Field(i))
		}
	}
	return nil
}

// wrapperOf finds the type of struct that holds a field of a oneof.
func wrapperOf(v reflect.Value, number protowire.Number, oneof reflect.Type) reflect.Type {
	m, ok := reflect.TypeAssert[proto.Message](v.Addr())
	if !ok {
		return nil
	}
	info, ok := m.ProtoReflect().Type().(*protoimpl.MessageInfo)
	if !ok {
		return nil
	}
	for _, example := range info.OneofWrappers {
		t := reflect.TypeOf(example)
		if f, _ := fieldOf(t.Elem().Field(0).Tag); f.number == number && t.Implements(oneof) {
			return t.Elem()
		}
	}
	return nil
}

// decodeOneof parses a field of a oneof, in place of one that came before it.
func decodeOneof(wrapper reflect.Type, kind protowire.Type, b []byte, v reflect.Value) error {
	f, _ := fieldOf(wrapper.Field(0).Tag)
	if !f.takes(kind) {
		return nil
	}
	// The same message twice is one message, of all their fields.
	chosen := v.Elem()
	if v.IsNil() || chosen.Elem().Type() != wrapper {
		chosen = reflect.New(wrapper)
	}
	if err := decodeValue(f, kind, b, chosen.Elem().Field(0)); err != nil {
		return err
	}
	v.Set(chosen)
	return nil
}

// takes tells whether a field can be encoded that way; one that is encoded otherwise is not this field.
func (f field) takes(kind protowire.Type) bool {
	if f.varint {
		return kind == protowire.VarintType || f.list && kind == protowire.BytesType
	}
	return kind == protowire.BytesType
}

// decodeValue parses a value into a field, or adds it to a list.
func decodeValue(f field, kind protowire.Type, b []byte, v reflect.Value) error {
	switch {
	case !f.takes(kind):
		return nil
	case f.list && f.varint:
		return decodeNumbers(kind, b, v)
	case f.varint:
		number, _ := protowire.ConsumeVarint(b)
		setBits(v, number)
		return nil
	}
	content, _ := protowire.ConsumeBytes(b)
	if !f.list {
		return decodeContent(content, v)
	}
	element := reflect.New(v.Type().Elem()).Elem()
	if err := decodeContent(content, element); err != nil {
		return err
	}
	v.Set(reflect.Append(v, element))
	return nil
}

// decodeNumbers adds to a list of numbers, one or a packed row.
func decodeNumbers(kind protowire.Type, b []byte, v reflect.Value) error {
	if kind == protowire.BytesType {
		b, _ = protowire.ConsumeBytes(b)
	}
	for len(b) > 0 {
		number, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		element := reflect.New(v.Type().Elem()).Elem()
		setBits(element, number)
		v.Set(reflect.Append(v, element))
	}
	return nil
}

// decodeContent parses a string, bytes or a message.
func decodeContent(content []byte, v reflect.Value) error {
	switch v.Kind() {
	case reflect.String:
		if !utf8.Valid(content) {
			return fmt.Errorf("string %q is not UTF-8", content)
		}
		v.SetString(string(content))
		return nil
	case reflect.Slice:
		v.SetBytes(append([]byte{}, content...))
		return nil
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return decodeStruct(content, v.Elem())
	default:
		panic("wire: unknown type of field: " + v.Type().String())
	}
}

// setBits is the reverse of bits. What is too large for the field loses its upper bits.
func setBits(v reflect.Value, number uint64) {
	switch {
	case v.Kind() == reflect.Bool:
		v.SetBool(number != 0)
	case v.Kind() == reflect.Int32:
		v.SetInt(int64(int32(number)))
	case v.CanInt():
		v.SetInt(int64(number))
	case v.Kind() == reflect.Uint32:
		v.SetUint(uint64(uint32(number)))
	default:
		v.SetUint(number)
	}
}
