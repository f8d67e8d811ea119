package cli_test

import (
	"testing"

	"github.com/davitd/davit/client/cli"
)

func TestTableCountsCells(t *testing.T) {
	got := cli.Table([]string{"Name", "State"}, []string{"日本", "running"}, []string{"e\u0301", "paused"}, []string{"🚢", "x"})
	want := "" +
		" Name   State\n" +
		"-----------------\n" +
		" 日本   running\n" +
		" e\u0301      paused\n" +
		" 🚢     x\n"
	if got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
}

func TestFit(t *testing.T) {
	tests := []struct {
		text  string
		width int
		want  string
	}{
		{"short", 5, "short"},
		{"longer", 5, "long…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"日本語", 1, "…"},
		{"text", 0, ""},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
	}
	for _, tt := range tests {
		if got := cli.Fit(tt.text, tt.width); got != tt.want {
			t.Errorf("%q in %d cells: %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}

// FuzzFit never gets wider than it may.
func FuzzFit(f *testing.F) {
	f.Add("日本語 text", 5)
	f.Fuzz(func(t *testing.T, text string, width int) {
		if width < 0 || width > 1000 {
			return
		}
		text = cli.Cell(text)
		if got := cli.Fit(text, width); cli.Cells(got) > width {
			t.Errorf("%q in %d cells is %q, which takes %d", text, width, got, cli.Cells(got))
		}
	})
}
