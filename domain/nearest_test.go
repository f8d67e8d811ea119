package domain_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
)

// TestNearest: a slip of the pen is seen through, anything else is not guessed at.
func TestNearest(t *testing.T) {
	known := []string{"passthrough", "mapped", "squash", "inituser", "initgroup", "initdir", "initarg", "initenv"}
	for _, c := range []struct {
		word string
		want []string
	}{
		{"maped", []string{"mapped"}},
		{"amPped", []string{"mapped"}},
		{"sqaush", []string{"squash"}},
		{"map", []string{"mapped"}},
		{"pass", []string{"passthrough"}},
		{"inita", []string{"initarg"}},
		{"init", nil}, // begins too many to name them
		{"inti", nil},
		{"x", nil},
		{"", nil},
		{"nothing of the kind", nil},
		{strings.Repeat("mapped", 100000), nil},
	} {
		if diff := cmp.Diff(c.want, domain.Nearest(c.word, known)); diff != "" {
			t.Errorf("%.20q (-want +got):\n%s", c.word, diff)
		}
	}
}
