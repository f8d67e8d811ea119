package explain_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain/explain"
	"github.com/davitd/davit/internal/protodoc"
)

var update = flag.Bool("update", false, "write comments.txt and the schemas")

// root is the repository's.
const root = "../.."

// TestDocsComments holds comments.txt to the protos. Everything that the schema holds has a comment.
func TestDocsComments(t *testing.T) {
	check(t, "domain/explain/comments.txt", current(t))
}

// current is comments.txt as the protos have it.
func current(t *testing.T) string {
	t.Helper()
	all, err := protodoc.Read(filepath.Join(root, "proto/davit/v1"))
	if err != nil {
		t.Fatal(err)
	}
	names := explain.Names()
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("# Written by go test ./domain/explain -update from the comments of proto/davit/v1/*.proto.\n")
	for _, name := range names {
		text, ok := all[string(name)]
		if !ok {
			t.Errorf("%s has no comment", name)
		}
		fmt.Fprintf(&b, "%s\n\t%s\n", explain.ShortName(name), strings.ReplaceAll(text, "\n", "\n\t"))
	}
	return b.String()
}

// check compares a file of the repository with what it has to be; with -update it is written.
func check(t *testing.T, name, want string) {
	t.Helper()
	path := filepath.Join(root, name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // files of the repository are for all to read
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./domain/explain -update writes it)", err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is not what the protos say (-file +protos; go test ./domain/explain -update writes it):\n%s", name, diff)
	}
}
