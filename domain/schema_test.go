package domain_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestSchemaCompiles: the schema of the domain can be read in one way only, and every field of it has a notation.
func TestSchemaCompiles(t *testing.T) {
	if err := domain.Compile((&davitv1.Domain{}).ProtoReflect().Descriptor()); err != nil {
		t.Fatal(err)
	}
}

// TestSchemaRefused: schemas that could be read in two ways, or not written, do not compile.
func TestSchemaRefused(t *testing.T) {
	type fields = []*descriptorpb.FieldDescriptorProto
	size := func(path, unitAttr string) *davitv1.XmlField {
		return &davitv1.XmlField{Path: path, Unit: davitv1.XmlUnit_XML_UNIT_KIB, UnitAttr: unitAttr}
	}
	for _, c := range []struct {
		name   string
		fields fields
		want   string // of the message; empty if it compiles
	}{
		{"shared prefix", fields{textField("a", at("s/@a")), textField("b", at("s/@b")), textField("c", at("s"))}, ""},
		{"unit after value", fields{sizeField("a", size("m", "m/@unit"))}, ""},
		{"no notation", fields{textField("a", nil)}, "no XML path"},
		{"same element", fields{textField("a", at("x")), textField("b", at("x"))}, "already field a"},
		{"same attribute", fields{textField("a", at("@x")), textField("b", at("@x"))}, "two fields"},
		{"flag with attribute", fields{flagField("a", at("apic")), textField("b", at("apic/@eoi"))}, "cannot have attributes"},
		{"attribute before flag", fields{textField("b", at("apic/@eoi")), flagField("a", at("apic"))}, "has attributes"},
		{"list with attribute", fields{repeated(textField("a", at("x"))), textField("b", at("x/@y"))}, "cannot have attributes"},
		{"message with attribute", fields{messageField("a", at("x")), textField("b", at("x/@y"))}, "cannot have attributes"},
		{"text with children", fields{textField("a", at("x/y")), textField("b", at("x"))}, "has children"},
		{"children of text", fields{textField("a", at("x")), textField("b", at("x/y"))}, "already field a"},
		{"list of attributes", fields{repeated(textField("a", at("@x")))}, "element of its own"},
		{"list as text", fields{repeated(textField("a", at(".")))}, "element of its own"},
		{"message as attribute", fields{messageField("a", at("@x"))}, "element of its own"},
		{"list of flags", fields{repeated(flagField("a", at("x")))}, "list of bools"},
		{"flag as text", fields{flagField("a", at("."))}, "no presence and no text"},
		{"attribute first", fields{textField("a", at("@x/y"))}, "last step"},
		{"no name", fields{textField("a", at("x//y"))}, "is not a name"},
		{"prefix of nobody", fields{textField("a", at("p:x"))}, "not declared"},
		{"unit alone", fields{sizeField("a", size("m", ""))}, "belong together"},
		{"unit of text", fields{textField("a", size("m", "m/@unit"))}, "uint64"},
		{"unit elsewhere", fields{sizeField("a", size("m", "n/@unit"))}, "no attribute of the element"},
		{"on and off for text", fields{textField("a", &davitv1.XmlField{Path: "@x", OnOff: true})}, "only a bool"},
		{"raw attribute", fields{textField("a", &davitv1.XmlField{Path: "@x", Raw: true})}, "raw XML"},
		{"default of list", fields{repeated(textField("a", &davitv1.XmlField{Path: "x", DefaultValue: "1"}))}, "default value"},
		{"default of wrong kind", fields{sizeField("a", &davitv1.XmlField{Path: "@x", DefaultValue: "many"})}, "default value"},
		{"kept", fields{repeated(textField("a", kept("x", "y"))), textField("b", at("z"))}, ""},
		{"kept without names", fields{repeated(textField("a", at("*")))}, "belong together"},
		{"names that are not kept", fields{repeated(textField("a", &davitv1.XmlField{Path: "x", Kept: []string{"y"}}))}, "belong together"},
		{"one kept", fields{textField("a", kept("x"))}, "only a list of strings"},
		{"kept in a message", fields{repeated(messageField("a", kept("x")))}, "only a list of strings"},
		{"kept by two", fields{repeated(textField("a", kept("x"))), repeated(textField("b", kept("y")))}, "kept by field a already"},
		{"kept and known", fields{repeated(textField("a", kept("x"))), textField("b", at("x/@y"))}, "has a field of its own"},
		{
			"kept and not honoured",
			fields{repeated(textField("a", &davitv1.XmlField{Path: "*", Kept: []string{"x"}, NotHonoured: "no"}))},
			"not_honoured says nothing",
		},
		{"kind without notation", fields{typed("a", descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, at("@x"))}, "has no notation"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			err := domain.Compile(describeRoot(t, c.fields))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want a refusal that says %q", err, c.want)
			}
		})
	}
}

// describe makes a message of fields, which is the root of a document.
func describeRoot(t *testing.T, fields []*descriptorpb.FieldDescriptorProto) protoreflect.MessageDescriptor {
	t.Helper()
	options := &descriptorpb.MessageOptions{}
	proto.SetExtension(options, davitv1.E_XmlMessage, &davitv1.XmlMessage{Root: "root"})
	for i, f := range fields {
		f.Number = new(int32(i + 1))
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("test.proto"), Package: new("test"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: new("Root"), Options: options, Field: fields},
			{Name: new("Other"), Field: []*descriptorpb.FieldDescriptorProto{first(textField("z", at("@z")))}},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

func at(path string) *davitv1.XmlField { return &davitv1.XmlField{Path: path} }

func kept(names ...string) *davitv1.XmlField { return &davitv1.XmlField{Path: "*", Kept: names} }

func typed(name string, k descriptorpb.FieldDescriptorProto_Type, xml *davitv1.XmlField) *descriptorpb.FieldDescriptorProto {
	options := &descriptorpb.FieldOptions{}
	if xml != nil {
		proto.SetExtension(options, davitv1.E_Xml, xml)
	}
	return &descriptorpb.FieldDescriptorProto{
		Name: new(name), Type: k.Enum(), Options: options,
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
}

func textField(name string, xml *davitv1.XmlField) *descriptorpb.FieldDescriptorProto {
	return typed(name, descriptorpb.FieldDescriptorProto_TYPE_STRING, xml)
}

func flagField(name string, xml *davitv1.XmlField) *descriptorpb.FieldDescriptorProto {
	return typed(name, descriptorpb.FieldDescriptorProto_TYPE_BOOL, xml)
}

func sizeField(name string, xml *davitv1.XmlField) *descriptorpb.FieldDescriptorProto {
	return typed(name, descriptorpb.FieldDescriptorProto_TYPE_UINT64, xml)
}

func messageField(name string, xml *davitv1.XmlField) *descriptorpb.FieldDescriptorProto {
	f := typed(name, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, xml)
	f.TypeName = new(".test.Other")
	return f
}

func repeated(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	return f
}

func first(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.Number = new(int32(1))
	return f
}
