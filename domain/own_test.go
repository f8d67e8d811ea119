package domain_test

import (
	"path"
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestOwn: what every domain has is sound, and nobody who asks for it can change it for others.
func TestOwn(t *testing.T) {
	for what, list := range map[string]func() []string{
		"masked": domain.MaskedPaths, "read-only": domain.ReadOnlyPaths, "dropped": domain.DroppedCapabilities,
	} {
		own := list()
		if len(own) == 0 {
			t.Errorf("%s: there is nothing", what)
			continue
		}
		own[0] = "changed"
		if list()[0] == "changed" {
			t.Errorf("%s: a caller changed it for all", what)
		}
		sorted := list()
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(own) {
			t.Errorf("%s: something is named twice", what)
		}
	}
	for _, p := range append(domain.MaskedPaths(), domain.ReadOnlyPaths()...) {
		if !path.IsAbs(p) || path.Clean(p) != p {
			t.Errorf("%q is no path in its shortest form", p)
		}
	}
	fields := (&davitv1.Capabilities{}).ProtoReflect().Descriptor().Fields()
	for _, name := range domain.DroppedCapabilities() {
		if f := fields.ByName(protoreflect.Name(name)); f == nil || f.Kind() != protoreflect.BoolKind {
			t.Errorf("there is no capability %s", name)
		}
	}
}
