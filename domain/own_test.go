package domain_test

import (
	"path"
	"slices"
	"testing"

	"github.com/davitd/davit/domain"
)

// TestOwn: what every domain has is sound, and nobody who asks for it can change it for others.
func TestOwn(t *testing.T) {
	for what, list := range map[string]func() []string{
		"masked": domain.MaskedPaths, "read-only": domain.ReadOnlyPaths, "capabilities": domain.Capabilities,
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
}
