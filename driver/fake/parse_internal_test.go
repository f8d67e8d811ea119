package fake

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for script, want := range map[string][]command{
		"":                   nil,
		" ; ;\n":             nil,
		"echo a  b":          {{words: []string{"echo", "a", "b"}}},
		"echo 'a  b' \"c\"":  {{words: []string{"echo", "a  b", "c"}}},
		"echo '$HOME' $HOME": {{words: []string{"echo", "$$HOME", "$HOME"}}},
		"a; b\nc & d":        {{words: []string{"a"}}, {words: []string{"b"}}, {words: []string{"c"}}, {words: []string{"d"}}},
		"a && b":             {{words: []string{"a"}}, {words: []string{"b"}, onSuccess: true}},
		"echo err >&2; x":    {{words: []string{"echo", "err"}, toStderr: true}, {words: []string{"x"}}},
		"trap 'exit 0' TERM": {{words: []string{"trap", "exit 0", "TERM"}}},
		"echo ''":            {{words: []string{"echo", ""}}},
	} {
		if diff := cmp.Diff(want, parse(script), cmp.AllowUnexported(command{})); diff != "" {
			t.Errorf("%q: -want +got\n%s", script, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("trap 'exit 0' TERM; echo \"$A\" >&2 && sleep 1 & wait")
	f.Fuzz(func(t *testing.T, script string) {
		for _, c := range parse(script) {
			if len(c.words) == 0 {
				t.Error("a step without words")
			}
		}
	})
}
