package convert

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Capabilities are the names of all capabilities that a definition can speak of, in lower case without "cap_", sorted.
func Capabilities() []string {
	fields := (&davitv1.Capabilities{}).ProtoReflect().Descriptor().Fields()
	var all []string
	for i := range fields.Len() {
		if fields.Get(i).Kind() == protoreflect.BoolKind {
			all = append(all, string(fields.Get(i).Name()))
		}
	}
	slices.Sort(all)
	return all
}

// CapabilityName is a capability in a definition's word: "CAP_MKNOD" is "mknod". Known is whether there is such a one.
func CapabilityName(s string) (name string, known bool) {
	name = strings.TrimPrefix(strings.ToLower(s), "cap_")
	fd := (&davitv1.Capabilities{}).ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
	return name, fd != nil && fd.Kind() == protoreflect.BoolKind
}

// SetCapability says of one capability by its name whether a domain has it. It does nothing for a name that is not known.
func SetCapability(c *davitv1.Capabilities, name string, on bool) {
	m := c.ProtoReflect()
	if fd := m.Descriptor().Fields().ByName(protoreflect.Name(name)); fd != nil && fd.Kind() == protoreflect.BoolKind {
		m.Set(fd, protoreflect.ValueOfBool(on))
	}
}

// StatedCapabilities are those that a definition turns on or off by name.
func StatedCapabilities(c *davitv1.Capabilities) map[string]bool {
	stated := map[string]bool{}
	if c == nil {
		return stated
	}
	c.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Kind() == protoreflect.BoolKind {
			stated[string(fd.Name())] = v.Bool()
		}
		return true
	})
	return stated
}
