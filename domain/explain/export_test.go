package explain

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Comments is comments.txt as it is in the program.
func Comments() string { return comments }

// NewReference takes comments that are not those of the program.
func NewReference(comments string) *Reference { return newReference(comments) }

// Names are those of all that the domain's schema holds, in no order.
func Names() []protoreflect.FullName {
	var all []protoreflect.FullName
	t := &tree{done: map[protoreflect.FullName]*message{}}
	t.message((&davitv1.Domain{}).ProtoReflect().Descriptor())
	enums := map[protoreflect.FullName]bool{}
	for name, m := range t.done {
		all = append(all, name)
		for _, f := range m.fields {
			all = append(all, f.desc.FullName())
			ed := f.desc.Enum()
			if ed == nil || enums[ed.FullName()] {
				continue
			}
			enums[ed.FullName()] = true
			all = append(all, ed.FullName())
			for i := range ed.Values().Len() {
				all = append(all, ed.FullName().Append(ed.Values().Get(i).Name()))
			}
		}
	}
	return all
}

// ShortName is a name as comments.txt has it.
func ShortName(name protoreflect.FullName) string { return shortName(name) }

// Span is a run of numbers.
type Span struct {
	Min int64
	Max uint64
}

// Limits are the numbers of fields by message and field.
func Limits() map[string][]Span {
	all := map[string][]Span{}
	for name, spans := range limits {
		for _, s := range spans {
			all[name] = append(all[name], Span{s.min, s.max})
		}
	}
	return all
}
