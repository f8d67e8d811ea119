//go:build linux

package cli_test

import (
	"strings"
	"testing"

	"github.com/davitd/davit/internal/testdaemon"
)

// TestDiffAll: what is the same is told when it is asked for, and is no difference.
func TestDiffAll(t *testing.T) {
	d := testdaemon.Start(t)
	if r := run(t, d.Socket, "", "define", "testdata/web.xml"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	same := run(t, d.Socket, "", "diff", "web", "testdata/web.xml", "--all")
	if rows := strings.Count(same.stdout, " unchanged\n"); same.code != 0 || rows < 15 || rows != strings.Count(same.stdout, "\n")-3 {
		t.Errorf("exit code %d, %d unchanged fields in\n%s", same.code, rows, same.stdout)
	}
	other := run(t, d.Socket, "", "diff", "web", "testdata/changed.xml", "--all", "-o", "json")
	if other.code != 1 || !strings.Contains(other.stdout, `"effect": "unchanged"`) || !strings.Contains(other.stdout, `"effect": "live"`) {
		t.Errorf("exit code %d:\n%s%s", other.code, other.stdout, other.stderr)
	}
}

// TestDiffColours: effects have colours where output has them, and nothing else of a document reaches a terminal as it is.
func TestDiffColours(t *testing.T) {
	d := testdaemon.Start(t)
	if r := run(t, d.Socket, "", "define", "testdata/web.xml"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	for _, args := range [][]string{{"diff", "web", "testdata/changed.xml"}, {"define", "testdata/changed.xml", "--dry-run"}} {
		r := run(t, d.Socket, "", append(args, "--color", "always")...)
		for _, want := range []string{
			"\x1b[32mlive\x1b[0m\n", "\x1b[33mnext boot\x1b[0m\n", "\x1b[2mnone: containers have no machine type\x1b[0m\n", "\x1b[31mimpossible here: ",
		} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%q: no %q in\n%q", args, want, r.stdout)
			}
		}
		if strings.ContainsAny(r.stdout, "\u009b\u202e") {
			t.Errorf("%q: something of the document came through: %q", args, r.stdout)
		}
	}
}
