package main

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// writeEnum declares an enumeration and its values, with their names.
func writeEnum(g *protogen.GeneratedFile, enum *protogen.Enum) {
	name := enum.GoIdent
	g.P(comment(enum.Comments), "type ", name, " int32")
	g.P()
	g.P("const (")
	for _, value := range enum.Values {
		g.P(comment(value.Comments), value.GoIdent, " ", name, " = ", value.Desc.Number())
	}
	g.P(")")
	g.P()
	g.P("// String is the name of the value, or its number if it has none.")
	g.P("func (x ", name, ") String() string {")
	g.P("switch x {")
	for _, value := range enum.Values {
		g.P("case ", value.GoIdent, ":")
		g.P("return ", strconv.Quote(string(value.Desc.Name())))
	}
	g.P("}")
	g.P("return ", protogen.GoImportPath("strconv").Ident("Itoa"), "(int(x))")
	g.P("}")
	g.P()
}

// writeStruct declares a message.
func writeStruct(g *protogen.GeneratedFile, message *protogen.Message) {
	g.P(comment(message.Comments), "type ", message.GoIdent, " struct {")
	for _, field := range message.Fields {
		switch oneof := field.Oneof; {
		case oneof == nil:
			g.P(comment(field.Comments), field.GoName, " ", typeOf(g, field))
		case oneof.Fields[0] == field:
			g.P(comment(oneof.Comments), oneof.GoName, " ", interfaceOf(oneof), " // one of:")
			for _, member := range oneof.Fields {
				g.P("// *", member.GoIdent)
			}
		}
	}
	g.P("}")
	g.P()
}

// writeGetter writes the getter of a field, and before that of the first of a oneof that of the oneof.
func writeGetter(g *protogen.GeneratedFile, field *protogen.Field) {
	message, oneof := field.Parent.GoIdent, field.Oneof
	if oneof != nil && oneof.Fields[0] == field {
		g.P("// Get", oneof.GoName, " gives the oneof, nil if there is none.")
		g.P("func (m *", message, ") Get", oneof.GoName, "() ", interfaceOf(oneof), " {")
		g.P("if m != nil {")
		g.P("return m.", oneof.GoName)
		g.P("}")
		g.P("return nil")
		g.P("}")
		g.P()
	}
	g.P("// Get", field.GoName, " gives the field, or its zero value.")
	g.P("func (m *", message, ") Get", field.GoName, "() ", typeOf(g, field), " {")
	if oneof != nil {
		g.P("if v, ok := m.Get", oneof.GoName, "().(*", field.GoIdent, "); ok {")
		g.P("return v.", field.GoName)
	} else {
		g.P("if m != nil {")
		g.P("return m.", field.GoName)
	}
	g.P("}")
	g.P("return ", zeroOf(field))
	g.P("}")
	g.P()
}

// writeOneofs declares the interfaces of the oneofs, and a struct for each of their fields.
func writeOneofs(g *protogen.GeneratedFile, message *protogen.Message) {
	for _, oneof := range message.Oneofs {
		g.P("type ", interfaceOf(oneof), " interface{ ", interfaceOf(oneof), "() }")
		g.P()
		for _, field := range oneof.Fields {
			g.P("// ", field.GoIdent, " is the field ", field.Desc.Name(), " of the oneof.")
			g.P("type ", field.GoIdent, " struct {")
			g.P(comment(field.Comments), field.GoName, " ", typeOf(g, field))
			g.P("}")
			g.P()
		}
		for _, field := range oneof.Fields {
			g.P("func (*", field.GoIdent, ") ", interfaceOf(oneof), "() {}")
		}
		g.P()
	}
}

// interfaceOf is the name of the interface of a oneof.
func interfaceOf(oneof *protogen.Oneof) string { return "is" + oneof.GoIdent.GoName }

// typeOf is the type of a field in Go.
func typeOf(g *protogen.GeneratedFile, field *protogen.Field) string {
	var name string
	switch field.Desc.Kind() {
	case protoreflect.MessageKind:
		name = "*" + g.QualifiedGoIdent(field.Message.GoIdent)
	case protoreflect.EnumKind:
		name = g.QualifiedGoIdent(field.Enum.GoIdent)
	case protoreflect.BytesKind:
		name = "[]byte"
	default: // the names of the rest are those of Go
		name = field.Desc.Kind().String()
	}
	if field.Desc.IsList() {
		return "[]" + name
	}
	return name
}

// zeroOf is the zero value of a field in Go.
func zeroOf(field *protogen.Field) string {
	switch d := field.Desc; {
	case d.IsList(), d.Kind() == protoreflect.MessageKind, d.Kind() == protoreflect.BytesKind:
		return "nil"
	case d.Kind() == protoreflect.StringKind:
		return `""`
	case d.Kind() == protoreflect.BoolKind:
		return "false"
	}
	return "0"
}

// comment is the comment of a declaration, a line of Go each.
func comment(c protogen.CommentSet) string {
	text := strings.TrimSuffix(string(c.Leading), "\n")
	if text == "" {
		return ""
	}
	return "//" + strings.ReplaceAll(text, "\n", "\n//") + "\n"
}
