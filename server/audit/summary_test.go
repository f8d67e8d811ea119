package audit_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/audit"
)

func summaryText(t *testing.T, q proto.Message) string {
	t.Helper()
	text, err := protojson.Marshal(audit.Summarize(q))
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err = json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	text, err = json.Marshal(plain) // in one order
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A summary says what was asked for, and of secrets and documents which they are.
func TestSummary(t *testing.T) {
	web := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: "web"}}
	for _, test := range []struct {
		q    proto.Message
		want string
	}{
		{&davitv1.StartDomainRequest{}, `{}`},
		{
			&davitv1.DestroyDomainRequest{Domain: web, Grace: durationpb.New(1.5e9), RequestId: "x\n"},
			`{"domain":{"name":"web"},"grace":"1.500s","request_id":"x\n"}`,
		},
		{
			&davitv1.DefineDomainRequest{Source: &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: "<domain/>"}}, Strict: true},
			`{"source":{"xml":{"bytes":9,"sha256":"` + fmt.Sprintf("%x", sha256.Sum256([]byte("<domain/>"))) + `"}},"strict":true}`,
		},
		{
			&davitv1.UpdateDomainRequest{Domain: web, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "pids_limit"}}, Title: "a title"},
			`{"domain":{"name":"web"},"title":"a title","update_mask":"title,pids_limit"}`,
		},
		{
			&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Start{Start: &davitv1.ExecStart{
				Domain: web, Argv: []string{"mysql", "-u", "root"}, Env: []string{"MYSQL_PWD=secret", "B"}, Tty: true,
			}}},
			`{"start":{"argv":["mysql","and 2 more"],"domain":{"name":"web"},"env":["MYSQL_PWD","B"],"tty":true}}`,
		},
		{
			&davitv1.UpdateHostRequest{Pages: []*davitv1.PageAllocation{{PageKib: 2048, Count: 3}}},
			`{"pages":[{"count":"3","page_kib":"2048"}]}`,
		},
	} {
		if diff := cmp.Diff(test.want, summaryText(t, test.q)); diff != "" {
			t.Errorf("%T (-want +got):\n%s", test.q, diff)
		}
	}
}

// sentinel is in every text that a definition, an environment or a stream of bytes can hold.
const sentinel = "s3cr3t"

// fill puts the sentinel into every text of a message that is part of a definition, but those that say which domain it is,
// and into bytes and environments.
func fill(m protoreflect.Message, inside bool, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		if field.ContainingOneof() != nil && m.WhichOneof(field.ContainingOneof()) != nil || field.IsMap() ||
			field.FullName() == "davit.v1.Domain.name" || field.FullName() == "davit.v1.Domain.uuid" {
			continue
		}
		within := inside || proto.HasExtension(field.Options(), davitv1.E_Xml) || field.Name() == "xml" || field.Name() == "text" ||
			field.Name() == "metadata" || field.Name() == "env"
		var v protoreflect.Value
		switch {
		case field.Message() != nil && depth < 5 && field.Message().ParentFile().Package() == "davit.v1":
			sub := m.NewField(field)
			if field.IsList() {
				fill(sub.List().AppendMutable().Message(), within, depth+1)
			} else {
				fill(sub.Message(), within, depth+1)
			}
			v = sub
			m.Set(field, v)
			continue
		case field.Kind() == protoreflect.StringKind && within:
			v = protoreflect.ValueOfString("NAME=" + sentinel)
		case field.Kind() == protoreflect.BytesKind:
			v = protoreflect.ValueOfBytes([]byte(sentinel))
		default:
			continue
		}
		if field.IsList() {
			list := m.NewField(field)
			list.List().Append(v)
			v = list
		}
		m.Set(field, v)
	}
}

// No request of any method has a definition, an environment or bytes repeated in its record; each choice of a oneof is tried.
func TestSummaryHasNoSecrets(t *testing.T) {
	tried := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("davit.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for k := range file.Services().Get(i).Methods().Len() {
				input := file.Services().Get(i).Methods().Get(k).Input()
				for choice := range max(1, input.Fields().Len()) {
					kind, err := protoregistry.GlobalTypes.FindMessageByName(input.FullName())
					if err != nil {
						t.Fatal(err)
					}
					m := kind.New()
					if choice < input.Fields().Len() {
						if field := input.Fields().Get(choice); field.ContainingOneof() != nil && field.Message() != nil {
							fill(m.Mutable(field).Message(), false, 1)
						}
					}
					fill(m, false, 0)
					source(m)
					if got := summaryText(t, m.Interface()); strings.Contains(got, sentinel) {
						t.Errorf("%s: %s", input.FullName(), got)
					}
					tried++
				}
			}
		}
		return true
	})
	if tried < 60 {
		t.Errorf("only %d requests", tried)
	}
}

// source makes sure that a definition is tried in both notations.
func source(m protoreflect.Message) {
	if q, ok := m.Interface().(*davitv1.DefineDomainRequest); ok {
		q.Source = &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: &davitv1.Domain{
			Name: "web", Title: sentinel, Os: &davitv1.Os{Initenv: []*davitv1.InitEnv{{Name: "A", Value: sentinel}}},
		}}}
	}
}

// However large a request is, its summary is small.
func TestSummaryIsSmall(t *testing.T) {
	start := &davitv1.ExecStart{}
	for i := range 10_000 {
		start.Argv = append(start.Argv, fmt.Sprint(i, strings.Repeat("x", 200)))
	}
	if got := summaryText(t, start); len(got) > 32<<10 {
		t.Errorf("%d bytes", len(got))
	}
}
