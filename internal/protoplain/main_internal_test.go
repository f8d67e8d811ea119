package main

import (
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/davitd/davit/internal/monitorpb"
	"github.com/davitd/davit/internal/testenv"
)

// protocol are the files of the monitors' protocol, without their comments.
func protocol() []*descriptorpb.FileDescriptorProto {
	return []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(monitorpb.File_davit_monitor_v1_plan_proto),
		protodesc.ToFileDescriptorProto(monitorpb.File_davit_monitor_v1_monitor_proto),
	}
}

// run runs the generator, and gives what it wrote by name.
func run(t *testing.T, files ...*descriptorpb.FileDescriptorProto) (map[string]string, error) {
	t.Helper()
	request := &pluginpb.CodeGeneratorRequest{ProtoFile: files, Parameter: new("paths=source_relative")}
	for _, f := range files {
		request.FileToGenerate = append(request.FileToGenerate, f.GetName())
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		t.Fatal(err)
	}
	if err = generate(plugin); err != nil {
		return nil, err
	}
	response := plugin.Response()
	if response.GetError() != "" {
		t.Fatal(response.GetError())
	}
	written := make(map[string]string)
	for _, f := range response.GetFile() {
		written[f.GetName()] = f.GetContent()
	}
	return written, nil
}

// tokens are the words of a file of Go, without its comments.
func tokens(t *testing.T, text string) (words []string) {
	t.Helper()
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(text)), []byte(text), func(_ token.Position, message string) { t.Fatal(message) }, 0)
	for {
		_, kind, literal := s.Scan()
		switch kind {
		case token.EOF:
			return words
		case token.SEMICOLON: // written or not
			words = append(words, ";")
		default:
			words = append(words, kind.String()+" "+literal)
		}
	}
}

// What is checked in is what this generator writes, and writes again.
func TestProtocol(t *testing.T) {
	first, err := run(t, protocol()...)
	if err != nil {
		t.Fatal(err)
	}
	again, err := run(t, protocol()...)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 2 {
		t.Fatalf("%d files were written, want 2", len(first))
	}
	for name, text := range first {
		if again[name] != text {
			t.Errorf("%s is another the second time", name)
		}
		kept, err := os.ReadFile(filepath.Join(testenv.Module(), "proto", name))
		if err != nil {
			t.Fatal(err)
		}
		want, got := tokens(t, text), tokens(t, string(kept))
		if strings.Join(want, "\n") != strings.Join(got, "\n") {
			at := 0
			for at < min(len(want), len(got)) && want[at] == got[at] {
				at++
			}
			t.Errorf("%s is not current, make generate: behind %q", name, want[max(0, at-10):at])
		}
	}
}

// sample is a file with one of each kind that the protocol has or may have one day.
func sample() *descriptorpb.FileDescriptorProto {
	field := func(number int32, name string, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Number: &number, Name: &name, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	implicit := &descriptorpb.FeatureSet{FieldPresence: descriptorpb.FeatureSet_IMPLICIT.Enum()}
	inner := field(3, "inner", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
	inner.TypeName = new(".sample.Sample")
	list := field(4, "list", descriptorpb.FieldDescriptorProto_TYPE_INT32)
	list.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	chosen := field(5, "chosen", descriptorpb.FieldDescriptorProto_TYPE_BYTES)
	chosen.OneofIndex = new(int32(0))
	return &descriptorpb.FileDescriptorProto{
		Name: new("sample/sample.proto"), Package: new("sample"), Syntax: new("editions"),
		Edition: descriptorpb.Edition_EDITION_2023.Enum(),
		Options: &descriptorpb.FileOptions{GoPackage: new("example.org/sample"), Features: implicit},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: new("Sample"), OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: new("choice")}},
			Field: []*descriptorpb.FieldDescriptorProto{
				field(1, "a_name", descriptorpb.FieldDescriptorProto_TYPE_STRING), field(2, "flag", descriptorpb.FieldDescriptorProto_TYPE_BOOL),
				inner, list, chosen,
			},
		}},
		EnumType: []*descriptorpb.EnumDescriptorProto{{
			Name: new("Colour"), Value: []*descriptorpb.EnumValueDescriptorProto{
				{Name: new("COLOUR_NONE"), Number: new(int32(0))}, {Name: new("COLOUR_RED"), Number: new(int32(1))},
			},
		}},
		SourceCodeInfo: &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
			{Path: []int32{4, 0}, Span: []int32{0, 0, 0}, LeadingComments: new(" Sample is one.\n Of two lines.\n")},
			{Path: []int32{4, 0, 2, 1}, Span: []int32{1, 0, 0}, LeadingComments: new(" A flag.\n")},
		}},
	}
}

// Names are those of protoc-gen-go, and comments come along.
func TestNames(t *testing.T) {
	written, err := run(t, sample())
	if err != nil {
		t.Fatal(err)
	}
	text := written["sample/sample.plain.go"]
	for _, want := range []string{
		"// Code generated by internal/protoplain from sample/sample.proto. DO NOT EDIT.\n\npackage sample\n",
		"// Sample is one.\n// Of two lines.\ntype Sample struct {\n\tAName string\n\t// A flag.\n\tFlag   bool\n",
		"\tInner  *Sample\n\tList   []int32\n\tChoice isSample_Choice // one of:\n\t// *Sample_Chosen\n}\n",
		"func (m *Sample) GetAName() string {", "func (m *Sample) GetChoice() isSample_Choice {", "func (m *Sample) GetChosen() []byte {",
		"type Sample_Chosen struct {\n\tChosen []byte\n}", "func (*Sample_Chosen) isSample_Choice() {}",
		"Colour_COLOUR_RED  Colour = 1\n", "\tcase Colour_COLOUR_RED:\n\t\treturn \"COLOUR_RED\"\n",
		"plain.Packed(e, 4, m.List)", "plain.AddNumbers(d, &m.List)", "if m.AName != \"\" {\n\t\te.String(1, m.AName)\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// What it does not know it refuses, and says which.
func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*descriptorpb.FileDescriptorProto){
		`generate "sample.Sample.flag": fields of kind double are not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.MessageType[0].Field[1].Type = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE.Enum()
		},
		`generate "sample.Sample.flag": fields of kind sint32 are not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.MessageType[0].Field[1].Type = descriptorpb.FieldDescriptorProto_TYPE_SINT32.Enum()
		},
		`generate "sample.Sample.flag": lists of bool are not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.MessageType[0].Field[1].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		},
		`generate "sample.Sample.list": lists of numbers that are not packed are not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.MessageType[0].Field[3].Options = &descriptorpb.FieldOptions{Features: &descriptorpb.FeatureSet{
				RepeatedFieldEncoding: descriptorpb.FeatureSet_EXPANDED.Enum(),
			}}
		},
		`generate "sample.Sample.a_name": presence of a field of kind string is not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.MessageType[0].Field[0].Options = &descriptorpb.FieldOptions{Features: &descriptorpb.FeatureSet{
				FieldPresence: descriptorpb.FeatureSet_EXPLICIT.Enum(),
			}}
		},
		`generate "sample.Sample": declarations within messages are not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.MessageType[0].NestedType = []*descriptorpb.DescriptorProto{{Name: new("Inner")}}
		},
		`generate "sample.Colour": closed enumerations are not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.EnumType[0].Options = &descriptorpb.EnumOptions{Features: &descriptorpb.FeatureSet{EnumType: descriptorpb.FeatureSet_CLOSED.Enum()}}
		},
		`generate "sample.COLOUR_RED": two names of one value are not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.EnumType[0].Value[1].Number = new(int32(0))
			f.EnumType[0].Options = &descriptorpb.EnumOptions{AllowAlias: new(true)}
		},
		`generate "sample/sample.proto": services are not known`: func(f *descriptorpb.FileDescriptorProto) {
			f.Service = []*descriptorpb.ServiceDescriptorProto{{Name: new("Service")}}
		},
	} {
		file := sample()
		change(file)
		if _, err := run(t, file); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
