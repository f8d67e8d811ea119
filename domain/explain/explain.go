// Package explain is the documentation of a domain's definition at run time: what each field, element and word of the
// schema means, what it may be, and when a change of it reaches a domain.
//
//	ref := explain.New()
//	entry, err := ref.Lookup("domain.devices.filesystem.accessmode") // or "/domain/devices/filesystem/@accessmode"
//	fmt.Println(entry.Meaning, entry.Values)
//
// All of it comes from the schema itself: the descriptors of [davitv1.Domain] with the options of xml.proto, and the
// comments of the .proto files. Generated Go does not hold comments, so they are kept beside it, in comments.txt:
//
//	go test ./domain/explain            says whether comments.txt and the schemas below are what the protos say
//	go test ./domain/explain -update    writes them
//
// From the same source are the schemas for editors, [Reference.RelaxNG] for the XML and [Reference.JSONSchema] for JSON
// and YAML, which stand in docs/schemas.
package explain

import (
	_ "embed" // the comments
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

//go:embed comments.txt
var comments string

// Reference is the documentation of a schema. It does not change; all may use it at once.
type Reference struct {
	comments map[string]string // by name, without the package
	root     *message
	name     string            // of the root element
	spaces   map[string]string // namespaces by prefix
}

// New gives the documentation of the domain.
func New() *Reference { return newReference(comments) }

// newReference takes comments as comments.txt has them.
func newReference(comments string) *Reference {
	md := (&davitv1.Domain{}).ProtoReflect().Descriptor()
	doc := documentOf(md)
	r := &Reference{comments: readComments(comments), name: doc.GetRoot(), spaces: map[string]string{}}
	for _, ns := range doc.GetXmlns() {
		r.spaces[ns.GetPrefix()] = ns.GetUri()
	}
	t := &tree{done: map[protoreflect.FullName]*message{}}
	r.root = t.message(md)
	return r
}

// comment is what the protos say of a name.
func (r *Reference) comment(name protoreflect.FullName) string {
	return r.comments[shortName(name)]
}

// shortName is a name without its package.
func shortName(name protoreflect.FullName) string {
	return strings.TrimPrefix(string(name), "davit.v1.")
}

// readComments reads comments.txt: a name on a line of its own, below it the text, each line after a tab.
func readComments(text string) map[string]string {
	all := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		part, isText := strings.CutPrefix(line, "\t")
		switch {
		case strings.HasPrefix(line, "#"):
		case !isText:
			name = line
		case all[name] == "":
			all[name] = part
		default:
			all[name] += "\n" + part
		}
	}
	return all
}
