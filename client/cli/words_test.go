package cli_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/client/cli"
)

func TestLineIsSplitAsVirshDoes(t *testing.T) {
	tests := []struct {
		in   string
		want [][]string
	}{
		{"", nil},
		{" \t ;; \n;", nil},
		{"list --all", [][]string{{"list", "--all"}}},
		{"list; dominfo web", [][]string{{"list"}, {"dominfo", "web"}}},
		{"list\ndominfo web\n", [][]string{{"list"}, {"dominfo", "web"}}},
		{"list;dominfo web;", [][]string{{"list"}, {"dominfo", "web"}}},
		{`start 'my web'`, [][]string{{"start", "my web"}}},
		{`start "my web"`, [][]string{{"start", "my web"}}},
		{`start my\ web`, [][]string{{"start", "my web"}}},
		{`start my' 'web`, [][]string{{"start", "my web"}}},
		{`echo 'a "b" \c'`, [][]string{{"echo", `a "b" \c`}}},
		{`echo "a 'b' \"c\" \\"`, [][]string{{"echo", `a 'b' "c" \`}}},
		{`desc web ''`, [][]string{{"desc", "web", ""}}},
		{`echo ';#' \; "#"`, [][]string{{"echo", ";#", ";", "#"}}},
		{"list # all of them; quit", [][]string{{"list"}}},
		{"# nothing\nlist", [][]string{{"list"}}},
		{"start web#2", [][]string{{"start", "web#2"}}},
		{"list \\\n --all", [][]string{{"list", "--all"}}},
		{"list --a\\\nll", [][]string{{"list", "--all"}}},
		{"list\r\nversion\r\n", [][]string{{"list"}, {"version"}}},
		{"desc web 'two\nlines'", [][]string{{"desc", "web", "two\nlines"}}},
		{"start 日本", [][]string{{"start", "日本"}}},
	}
	for _, tt := range tests {
		got, err := cli.SplitLine(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.in, diff)
		}
	}
}

func TestLineThatIsNotFinished(t *testing.T) {
	for in, want := range map[string]string{
		`start "web`:     `missing "`,
		`list; start 'w`: `missing '`,
		`start web\`:     `dangling \`,
	} {
		if got, err := cli.SplitLine(in); err == nil || err.Error() != want {
			t.Errorf("%q: %q, %v; want error %q", in, got, err, want)
		}
	}
}

func TestTypedLine(t *testing.T) {
	tests := []struct {
		in    string
		words []string
		last  string
		start int
		quote byte
	}{
		{"", nil, "", 0, 0},
		{"li", nil, "li", 0, 0},
		{"list ", []string{"list"}, "", 5, 0},
		{"list --a", []string{"list"}, "--a", 5, 0},
		{"list; start w", []string{"start"}, "w", 12, 0},
		{"list;", nil, "", 5, 0},
		{"start 'my w", []string{"start"}, "my w", 6, '\''},
		{`start "my w`, []string{"start"}, "my w", 6, '"'},
		{`start my\ w`, []string{"start"}, "my w", 6, 0},
		{`start my\`, []string{"start"}, "my", 6, 0},
		{"start 'my web' ", []string{"start", "my web"}, "", 15, 0},
	}
	for _, tt := range tests {
		words, last, start, quote := cli.SplitTyped(tt.in)
		if diff := cmp.Diff(tt.words, words); diff != "" || last != tt.last || start != tt.start || quote != tt.quote {
			t.Errorf("%q: %q, %q at %d in %q, want %q, %q at %d in %q", tt.in,
				words, last, start, quote, tt.words, tt.last, tt.start, tt.quote)
		}
	}
}

// FuzzWords quotes any word in any way and reads it again.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{"web", "my web", `it's "it"`, `back\slash`, "#1", "a;b", "日本", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		for _, quote := range []string{"", "'", `"`} {
			if word == "" && quote == "" || strings.ContainsAny(word, "\n\r") {
				continue
			}
			line := "start " + cli.Quoted(word, quote) + quote + " x"
			got, err := cli.SplitLine(line)
			if diff := cmp.Diff([][]string{{"start", word, "x"}}, got); err != nil || diff != "" {
				t.Errorf("%q is %q, %v (-want +got):\n%s", line, got, err, diff)
			}
		}
	})
}
