package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/internal/docs"
	"github.com/davitd/davit/internal/testenv"
)

// TestNamedTestsExist looks up each test and each target that is named as the proof of something.
func TestNamedTestsExist(t *testing.T) {
	root := testenv.Module()
	for _, page := range []string{"docs/testing.md", "SPECIFICATION.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, unknown := range docs.UnknownTests(root, string(text)) {
			t.Errorf("%s: there is no %s", page, unknown)
		}
	}
}

// TestEveryFaultHasItsRow holds the table of faults to its promise: all cases, in order, each with a test or a word on why there
// is none.
func TestEveryFaultHasItsRow(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(testenv.Module(), "docs/testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	next := 1
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| REL-") {
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), "|")
		if want := fmt.Sprintf(" REL-%02d ", next); len(cells) != 6 || cells[1] != want {
			t.Fatalf("row %d is %q with %d cells, want case%swith 4", next, line, len(cells)-2, want)
		}
		if strings.TrimSpace(cells[3]) == "" && strings.TrimSpace(cells[4]) == "" {
			t.Errorf("%q has neither a test nor a reason", line)
		}
		next++
	}
	if next != 30 {
		t.Errorf("there are %d cases, want 29", next-1)
	}
}

func TestUnknownTests(t *testing.T) {
	page := "`internal/docs` TestUnknownTests, TestNothing; `make test`, `make nothing DURATION=1h`\nTestWithoutARoom `nowhere` TestX\n"
	want := []string{"internal/docs TestNothing", "make nothing"}
	if diff := cmp.Diff(want, docs.UnknownTests(testenv.Module(), page)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
