package main

import (
	"fmt"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkFile refuses what this generator does not know.
func checkFile(file *protogen.File) error {
	switch {
	case len(file.Services) > 0:
		return fmt.Errorf("generate %q: services are not known", file.Desc.Path())
	case len(file.Extensions) > 0:
		return fmt.Errorf("generate %q: extensions are not known", file.Desc.Path())
	}
	for _, enum := range file.Enums {
		numbers := make(map[protoreflect.EnumNumber]bool)
		for _, value := range enum.Values {
			if numbers[value.Desc.Number()] {
				return fmt.Errorf("generate %q: two names of one value are not known", value.Desc.FullName())
			}
			numbers[value.Desc.Number()] = true
		}
		if enum.Desc.IsClosed() {
			return fmt.Errorf("generate %q: closed enumerations are not known", enum.Desc.FullName())
		}
	}
	for _, message := range file.Messages {
		if len(message.Enums)+len(message.Messages)+len(message.Extensions) > 0 {
			return fmt.Errorf("generate %q: declarations within messages are not known", message.Desc.FullName())
		}
		for _, field := range message.Fields {
			if err := checkField(field); err != nil {
				return fmt.Errorf("generate %q: %w", field.Desc.FullName(), err)
			}
		}
	}
	return nil
}

// checkField refuses a field of a kind that is not known.
func checkField(field *protogen.Field) error {
	d, isMessage := field.Desc, false
	switch d.Kind() {
	case protoreflect.MessageKind:
		isMessage = true
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.BoolKind, protoreflect.EnumKind,
		protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind:
	default:
		return fmt.Errorf("fields of kind %s are not known", d.Kind())
	}
	switch {
	case d.IsMap():
		return fmt.Errorf("maps are not known")
	case d.IsList() && (d.Kind() == protoreflect.BytesKind || d.Kind() == protoreflect.BoolKind):
		return fmt.Errorf("lists of %s are not known", d.Kind())
	case d.IsList() && isNumber(d) && !d.IsPacked():
		return fmt.Errorf("lists of numbers that are not packed are not known")
	case !d.IsList() && !isMessage && field.Oneof == nil && d.HasPresence():
		return fmt.Errorf("presence of a field of kind %s is not known", d.Kind())
	case field.Oneof != nil && field.Oneof.Desc.IsSynthetic():
		return fmt.Errorf("optional fields are not known")
	}
	return nil
}

// isNumber tells the fields that are numbers to proto/plain.
func isNumber(d protoreflect.FieldDescriptor) bool {
	switch d.Kind() {
	case protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return true
	default:
		return false
	}
}
