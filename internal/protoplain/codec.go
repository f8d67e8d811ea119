package main

import (
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const plain = protogen.GoImportPath("github.com/davitd/davit/proto/plain")

// writeEncode writes a message's Encode: each field in the order of the .proto file, a oneof where its first field is.
func writeEncode(g *protogen.GeneratedFile, message *protogen.Message) {
	g.P("// Encode writes the fields of the message.")
	if len(message.Fields) == 0 {
		g.P("func (*", message.GoIdent, ") Encode(*", plain.Ident("Encoder"), ") {}")
		g.P()
		return
	}
	g.P("func (m *", message.GoIdent, ") Encode(e *", plain.Ident("Encoder"), ") {")
	g.P("if m == nil {")
	g.P("return")
	g.P("}")
	for _, field := range message.Fields {
		switch {
		case field.Oneof == nil:
			writeEncodeField(g, field)
		case field.Oneof.Fields[0] == field:
			g.P("switch v := m.", field.Oneof.GoName, ".(type) {")
			for _, member := range field.Oneof.Fields {
				g.P("case *", member.GoIdent, ":")
				writeEncodeValue(g, member, "v."+member.GoName)
			}
			g.P("}")
		}
	}
	g.P("}")
	g.P()
}

// writeEncodeField encodes a field that is not in a oneof, if it is not at its zero value.
func writeEncodeField(g *protogen.GeneratedFile, field *protogen.Field) {
	value, d := "m."+field.GoName, field.Desc
	switch {
	case d.IsList() && isNumber(d):
		g.P(plain.Ident("Packed"), "(e, ", d.Number(), ", ", value, ")")
		return
	case d.IsList() && d.Kind() == protoreflect.StringKind:
		g.P("e.Strings(", d.Number(), ", ", value, ")")
		return
	case d.IsList():
		g.P("for _, v := range ", value, " {")
		value = "v"
	case d.Kind() == protoreflect.MessageKind:
		g.P("if ", value, " != nil {")
	case d.Kind() == protoreflect.StringKind:
		g.P("if ", value, ` != "" {`)
	case d.Kind() == protoreflect.BytesKind:
		g.P("if len(", value, ") > 0 {")
	case d.Kind() == protoreflect.BoolKind:
		g.P("if ", value, " {")
	default:
		g.P("if ", value, " != 0 {")
	}
	writeEncodeValue(g, field, value)
	g.P("}")
}

// writeEncodeValue encodes one value.
func writeEncodeValue(g *protogen.GeneratedFile, field *protogen.Field, value string) {
	d := field.Desc
	if isNumber(d) {
		g.P(plain.Ident("Number"), "(e, ", d.Number(), ", ", value, ")")
		return
	}
	g.P("e.", methodOf(d), "(", d.Number(), ", ", value, ")")
}

// methodOf is what the methods for a kind of field are called in proto/plain.
func methodOf(d protoreflect.FieldDescriptor) string {
	switch d.Kind() {
	case protoreflect.MessageKind:
		return "Message"
	case protoreflect.StringKind:
		return "String"
	case protoreflect.BytesKind:
		return "Bytes"
	case protoreflect.BoolKind:
		return "Bool"
	default:
		return "Number"
	}
}

// writeDecode writes a message's Decode.
func writeDecode(g *protogen.GeneratedFile, message *protogen.Message) {
	g.P("// Decode reads fields of the message.")
	receiver := "m *"
	if len(message.Fields) == 0 {
		receiver = "*"
	}
	g.P("func (", receiver, message.GoIdent, ") Decode(d *", plain.Ident("Decoder"), ") {")
	g.P("for d.Next() {")
	if len(message.Fields) > 0 {
		g.P("switch d.Field() {")
		for _, field := range message.Fields {
			g.P("case ", field.Desc.Number(), ":")
			writeDecodeField(g, field)
		}
		g.P("}")
	}
	g.P("}")
	g.P("}")
	g.P()
}

// writeDecodeField decodes the value of a field.
func writeDecodeField(g *protogen.GeneratedFile, field *protogen.Field) {
	target, d := "m."+field.GoName, field.Desc
	switch {
	case field.Oneof != nil:
		writeDecodeOneof(g, field)
	case d.IsList() && isNumber(d):
		g.P(plain.Ident("AddNumbers"), "(d, &", target, ")")
	case d.IsList() && d.Kind() == protoreflect.StringKind:
		g.P("d.AddString(&", target, ")")
	case d.IsList():
		g.P("if d.HasLength() {")
		g.P("v := new(", field.Message.GoIdent, ")")
		g.P("d.Message(v)")
		g.P(target, " = append(", target, ", v)")
		g.P("}")
	case d.Kind() == protoreflect.MessageKind:
		g.P("if d.HasLength() {")
		g.P("if ", target, " == nil {")
		g.P(target, " = new(", field.Message.GoIdent, ")")
		g.P("}")
		g.P("d.Message(", target, ")")
		g.P("}")
	default:
		writeDecodeValue(g, field, target)
	}
}

// writeDecodeValue decodes a value that is no message.
func writeDecodeValue(g *protogen.GeneratedFile, field *protogen.Field, target string) {
	if isNumber(field.Desc) {
		g.P(plain.Ident("SetNumber"), "(d, &", target, ")")
		return
	}
	g.P("d.Set", methodOf(field.Desc), "(&", target, ")")
}

// writeDecodeOneof decodes a field of a oneof, in place of one that came before it. Only a message adds to itself.
func writeDecodeOneof(g *protogen.GeneratedFile, field *protogen.Field) {
	encoding := "HasLength"
	if isNumber(field.Desc) || field.Desc.Kind() == protoreflect.BoolKind {
		encoding = "IsNumber"
	}
	oneof := "m." + field.Oneof.GoName
	g.P("if d.", encoding, "() {")
	if field.Desc.Kind() == protoreflect.MessageKind {
		g.P("v, ok := ", oneof, ".(*", field.GoIdent, ")")
		g.P("if !ok {")
		g.P("v = &", field.GoIdent, "{", field.GoName, ": new(", field.Message.GoIdent, ")}")
		g.P(oneof, " = v")
		g.P("}")
		g.P("d.Message(v.", field.GoName, ")")
	} else {
		g.P("v := new(", field.GoIdent, ")")
		writeDecodeValue(g, field, "v."+field.GoName)
		g.P(oneof, " = v")
	}
	g.P("}")
}
