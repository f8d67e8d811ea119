package docs

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/davitd/davit/internal/protodoc"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const apiHead = `<!-- Written by go test ./internal/docs -update from proto/davit/v1/*.proto. -->
# The API

davitd answers gRPC, package *davit.v1*, on unix sockets: davit.sock for root and the configured group, davit-ro.sock for
everybody, where only methods of access *read* are allowed, and davit-admin.sock for root, which has AdminService and AuditService alone. Reflection and the health service are there, so that stock tools
work: ` + "`grpcurl -plaintext -unix /run/davit/davit.sock list`" + `. In Go, use package client; it resumes watches, retries with
request ids and gives errors back as values.

- The definition of a domain, message [Domain](xml.md#domain), and all that is in it has a page of its own, [xml.md](xml.md).
- Errors carry a reason; [errors.md](errors.md) lists them. What each action does in each state says [lifecycle.md](lifecycle.md).
- *Access* is what a caller needs: read, operate or admin, each with those before it.
- *stream* marks the side that sends any number of messages.
- A field that is absent has its zero value; what that means stands with the field.
`

// described have pages of their own.
var described = map[string]string{
	"davit/v1/domain.proto": "xml.md", "davit/v1/device.proto": "xml.md", "davit/v1/feature.proto": "xml.md",
	"davit/v1/error.proto": "errors.md",
}

// inner are the files that are no part of the API but say how its schema is written.
var inner = []string{"davit/v1/xml.proto", "davit/v1/access.proto"}

// api is the page in the making.
type api struct {
	strings.Builder
	comments map[string]string
}

// apiPage writes the reference of the API from the compiled descriptors and the comments of their sources.
func apiPage(protos string) (string, error) {
	comments, err := protodoc.Read(protos)
	if err != nil {
		return "", err
	}
	a := &api{comments: comments}
	a.WriteString(apiHead)
	var files []protoreflect.FileDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("davit.v1", func(f protoreflect.FileDescriptor) bool {
		if described[f.Path()] == "" && !slices.Contains(inner, f.Path()) {
			files = append(files, f)
		}
		return true
	})
	slices.SortFunc(files, func(x, y protoreflect.FileDescriptor) int { return strings.Compare(order(x), order(y)) })
	a.contents(files)
	for _, f := range files {
		a.file(f)
	}
	return a.String(), nil
}

// order puts services first, that of domains before all.
func order(f protoreflect.FileDescriptor) string {
	switch {
	case f.Path() == "davit/v1/domain_service.proto":
		return "0"
	case f.Services().Len() > 0:
		return "1" + f.Path()
	}
	return "2" + f.Path()
}

func (a *api) printf(format string, args ...any) { fmt.Fprintf(&a.Builder, format, args...) }

// contents lists the services with their methods.
func (a *api) contents(files []protoreflect.FileDescriptor) {
	a.WriteString("\n| service | methods |\n|---|---|\n")
	for _, f := range files {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			var methods []string
			for j := range s.Methods().Len() {
				name := string(s.Methods().Get(j).Name())
				methods = append(methods, fmt.Sprintf("[%s](#%s)", name, anchor(name)))
			}
			a.printf("| [%s](#%s) | %s |\n", s.Name(), anchor(string(s.Name())), strings.Join(methods, ", "))
		}
	}
}

// file writes the services of a file, and its messages and enums.
func (a *api) file(f protoreflect.FileDescriptor) {
	if f.Services().Len() == 0 {
		a.WriteString("\n## Shared messages\n")
	}
	for i := range f.Services().Len() {
		a.service(f.Services().Get(i))
	}
	for i := range f.Messages().Len() {
		a.message(f.Messages().Get(i))
	}
	for i := range f.Enums().Len() {
		a.enum(f.Enums().Get(i))
	}
}

func (a *api) service(s protoreflect.ServiceDescriptor) {
	a.printf("\n## %s\n\n%s\n", s.Name(), a.text(s.FullName()))
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		access, _ := proto.GetExtension(m.Options(), davitv1.E_Access).(davitv1.Access)
		word := strings.ToLower(strings.TrimPrefix(access.String(), "ACCESS_"))
		a.printf("\n### %s\n\n%s\n\n%s%s → %s%s · access *%s*\n", m.Name(), a.text(m.FullName()), stream(m.IsStreamingClient()),
			typeLink(m.Input()), stream(m.IsStreamingServer()), typeLink(m.Output()), word)
	}
}

func stream(is bool) string {
	if is {
		return "stream of "
	}
	return ""
}

// message writes a message and those that are declared in it.
func (a *api) message(m protoreflect.MessageDescriptor) {
	if m.IsMapEntry() {
		return
	}
	a.printf("\n### %s\n\n", m.Name())
	if text := a.text(m.FullName()); text != "" {
		a.printf("%s\n\n", text)
	}
	if m.Fields().Len() == 0 {
		a.WriteString("No fields.\n")
	} else {
		a.WriteString("| field | type | meaning |\n|---|---|---|\n")
	}
	for i := range m.Fields().Len() {
		a.field(m.Fields().Get(i))
	}
	for i := range m.Messages().Len() {
		a.message(m.Messages().Get(i))
	}
	for i := range m.Enums().Len() {
		a.enum(m.Enums().Get(i))
	}
}

func (a *api) field(f protoreflect.FieldDescriptor) {
	meaning := a.cell(f.FullName())
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		meaning = strings.TrimSpace(fmt.Sprintf("%s One of *%s*.", meaning, o.Name()))
	}
	a.printf("| `%s` | %s | %s |\n", f.Name(), fieldType(f), meaning)
}

func fieldType(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map of %s to %s", f.MapKey().Kind(), fieldType(f.MapValue()))
	case f.IsList():
		return "list of " + single(f)
	}
	return single(f)
}

func single(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil:
		return typeLink(f.Message())
	case f.Enum() != nil:
		return typeLink(f.Enum())
	}
	return f.Kind().String()
}

// typeLink links to where a type is described.
func typeLink(d protoreflect.Descriptor) string {
	if d.ParentFile().Package() != "davit.v1" {
		return string(d.FullName())
	}
	return fmt.Sprintf("[%s](%s#%s)", d.Name(), described[d.ParentFile().Path()], anchor(string(d.Name())))
}

func (a *api) enum(e protoreflect.EnumDescriptor) {
	a.printf("\n### %s\n\n%s\n\n| value | number | meaning |\n|---|---|---|\n", e.Name(), a.text(e.FullName()))
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		a.printf("| `%s` | %d | %s |\n", v.Name(), v.Number(), a.cell(e.FullName().Append(v.Name())))
	}
}

var escapeHTML = strings.NewReplacer("<", "&lt;", ">", "&gt;")

// text is the comment about a name.
func (a *api) text(name protoreflect.FullName) string {
	return escapeHTML.Replace(a.comments[string(name)])
}

// cell is text for a cell of a table.
func (a *api) cell(name protoreflect.FullName) string {
	return strings.NewReplacer("\n\n", " ", "|", `\|`).Replace(a.text(name))
}
