package docs_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/internal/docs"
	"github.com/davitd/davit/internal/testenv"
)

var update = flag.Bool("update", false, "write the pages")

// TestPages compares the pages with what the code says now; with -update they are written.
func TestPages(t *testing.T) {
	pages, err := docs.Pages(testenv.Module())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		path := filepath.Join(testenv.Module(), name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // pages are for all to read
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v (go test ./internal/docs -update writes it)", err)
		}
		if diff := cmp.Diff(string(got), want); diff != "" {
			t.Errorf("%s is not what the code says (-page +code; go test ./internal/docs -update writes it):\n%s", name, diff)
		}
	}
}

// TestManualPagesAreClean asks mandoc, where there is one.
func TestManualPagesAreClean(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("needs mandoc")
	}
	pages, err := filepath.Glob(filepath.Join(testenv.Module(), "docs/man/*"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no manual pages: %v", err)
	}
	// What is said of mandoc's style and of links to pages of other systems is not asked for.
	out, err := exec.CommandContext(t.Context(), mandoc, append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestCommandsAreThere holds what is written about commands to the commands that there are.
func TestCommandsAreThere(t *testing.T) {
	for _, page := range pagesOf(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, unknown := range docs.UnknownCommands(string(text)) {
			t.Errorf("%s: there is no %q", filepath.Base(page), unknown)
		}
	}
}

// pagesOf are the pages of the documentation.
func pagesOf(t *testing.T) []string {
	t.Helper()
	root := testenv.Module()
	pages, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "SPECIFICATION.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		pages = append(pages, filepath.Join(root, name))
	}
	return pages
}

// TestLinks follows the links of the documentation within it: each names a file, and each anchor a heading.
func TestLinks(t *testing.T) {
	for _, page := range pagesOf(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range docs.Links(string(text)) {
			file, anchor, _ := strings.Cut(link, "#")
			if strings.Contains(file, ":") {
				continue // another's page
			}
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			there, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); err != nil && (statErr != nil || !info.IsDir()) {
				t.Errorf("%s: link %q: no such file", filepath.Base(page), link)
				continue
			}
			if anchor != "" && !docs.Anchors(string(there))[anchor] {
				t.Errorf("%s: link %q: no such heading", filepath.Base(page), link)
			}
		}
	}
}

func TestUnknownCommands(t *testing.T) {
	page := "Say `davit lst`, `davit list --al` or `davit -q list --all`, davit knows nothing of:\n\n```\nsudo davit exec web -- ls --color\ndavit frob --hard\n```\n"
	want := []string{"davit lst", "davit list --al", "davit frob"}
	if diff := cmp.Diff(want, docs.UnknownCommands(page)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
