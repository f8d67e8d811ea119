package cli_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/client/cli"
)

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("<a/>", 300) + "<wrong/>" + strings.Repeat("<b/>", 300)
	tests := []struct {
		name, doc    string
		line, column int
		want         string
	}{
		{"a line", "<a>\n  <b c='d'/>\n</a>\n", 2, 6, "    2 |   <b c='d'/>\n      |      ^\n"},
		{"the first of one line", "<a/>", 1, 1, "    1 | <a/>\n      | ^\n"},
		{"the end of a line", "<a>\r\nx", 1, 4, "    1 | <a>\n      |    ^\n"},
		{"beyond the end of a line", "<a>\nx", 1, 40, "    1 | <a>\n      |    ^\n"},
		{"an empty line", "\n", 2, 1, "    2 | \n      | ^\n"},
		{"no such line", "<a/>", 3, 1, ""},
		{"tabs", "\t<a>\tx", 1, 6, "    1 |     <a>    x\n      |            ^\n"},
		{"wide characters", "<a b='日本' c=''/>", 1, 11, "    1 | <a b='日本' c=''/>\n      |             ^\n"},
		{"what acts on a terminal", "\x1b[2J\u202e\u009b<a>", 1, 7, `    1 | \x1b[2J\xe2\x80\xae\xc2\x9b<a>` + "\n      | " + strings.Repeat(" ", 27) + "^\n"},
		{"no UTF-8", "\xff\xfe<a>", 1, 3, `    1 | \xff\xfe<a>` + "\n      |         ^\n"},
	}
	for _, c := range tests {
		if diff := cmp.Diff(c.want, cli.Excerpt(c.doc, c.line, c.column)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	for _, column := range []int{1, 5, 60, 1201, 1203, 2400} {
		text, marks, _ := strings.Cut(strings.TrimSuffix(cli.Excerpt(long, 1, column), "\n"), "\n")
		if n := cli.Cells(text); n > 76 {
			t.Errorf("column %d takes %d cells", column, n)
		}
		at := strings.IndexByte(marks, '^')
		if got, want := []rune(text)[at], []rune(long)[column-1]; got != want {
			t.Errorf("column %d: the caret is below %q, not %q:\n%s\n%s", column, got, want, text, marks)
		}
	}
}

func TestModelPlace(t *testing.T) {
	const doc = "type: lxc\nname: web\ndevices:\n  filesystem:\n    - type: ram\n      target_dir: tmp\n    - type: mount\n"
	for field, want := range map[string][2]int{
		"name":                             {2, 7},
		"devices.filesystem[0].target_dir": {6, 19},
		"devices.filesystem[1].target_dir": {7, 7},
		"devices.filesystem[9].target_dir": {5, 5},
		"devices.console":                  {4, 3},
		"memory_kib":                       {1, 1},
		"":                                 {0, 0},
	} {
		line, column := cli.ModelPlace(doc, field)
		if got := [2]int{line, column}; got != want {
			t.Errorf("%s is at %v, want %v", field, got, want)
		}
	}
	for _, doc := range []string{"", "<domain/>", ": :", "{", "[]"} {
		if line, _ := cli.ModelPlace(doc, "name"); line > 1 {
			t.Errorf("%q has a name in line %d", doc, line)
		}
	}
	if line, column := cli.ModelPlace("{\n  \"name\": \"web\"\n}\n", "name"); line != 2 || column != 11 {
		t.Errorf("in JSON it is at %d:%d", line, column)
	}
}
