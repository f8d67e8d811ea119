package domain_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The table of libvirt's domain XML: each testdata/table/*.txtar is a section, its first file a document with a line
// "...", each further file a row. A row is a name, a fragment that takes the place of that line, and, after "=>", what
// comes of it: the lines that differ from those of the document without a fragment, in canonical form; lines that begin
// with "? " for what is told as a warning; or lines that begin with "! " for why it is refused. -update writes what
// comes after "=>".

// row is one row of the table.
type row struct {
	name string
	got  string // what comes of it now
}

// TestTable holds the code to the table.
func TestTable(t *testing.T) {
	for _, file := range tableFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := &txtar.Archive{Comment: archive.Comment, Files: archive.Files[:1:1]}
			seen := map[string]bool{}
			for _, r := range rows(t, archive) {
				if seen[r.name] {
					t.Errorf("row %q is there twice", r.name)
				}
				seen[r.name] = true
				fragment, _, _ := strings.Cut(fileOf(archive, r.name), "=>\n")
				got.Files = append(got.Files, archived(r.name, fragment+"=>\n"+r.got))
			}
			text := txtar.Format(got)
			if *update {
				if err = os.WriteFile(file, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(text)); diff != "" {
				t.Errorf("%s differs (-want +got):\n%s", file, diff)
			}
		})
	}
}

func tableFiles(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/table/*.txtar")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no table: %v", err)
	}
	return files
}

func fileOf(a *txtar.Archive, name string) string {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	return string(a.Files[i].Data)
}

// rows reads a section and sees what comes of each row.
func rows(t *testing.T, a *txtar.Archive) []row {
	t.Helper()
	frame := string(a.Files[0].Data)
	before, after, ok := strings.Cut(frame, "...\n")
	if a.Files[0].Name != "document" || !ok {
		t.Fatalf("the section does not begin with a document that has a line \"...\"")
	}
	base, baseWarnings, baseRefused := outcome(t, before+after)
	all := make([]row, 0, len(a.Files))
	for _, f := range a.Files[1:] {
		fragment, _, ok := strings.Cut(string(f.Data), "=>\n")
		if !ok && !*update {
			t.Errorf("row %q has no \"=>\"", f.Name)
		}
		xml, warnings, refused := outcome(t, before+fragment+after)
		r := row{name: f.Name, got: refused}
		if refused == "" {
			r.got = differing(base, xml)
			for _, w := range warnings {
				if !slices.Contains(baseWarnings, w) {
					r.got += w
				}
			}
			if baseRefused != "" {
				base, baseRefused = xml, ""
			}
		}
		all = append(all, r)
	}
	return all
}

// tableDocuments are the documents of all rows.
func tableDocuments(tb testing.TB) []string {
	tb.Helper()
	var docs []string
	for _, file := range tableFiles(tb) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		before, after, _ := strings.Cut(string(archive.Files[0].Data), "...\n")
		for _, f := range archive.Files[1:] {
			fragment, _, _ := strings.Cut(string(f.Data), "=>\n")
			docs = append(docs, before+fragment+after)
		}
	}
	return docs
}

// outcome is what comes of a document: its canonical form and the warnings, or why it is refused.
func outcome(t *testing.T, doc string) (xml string, warnings []string, refused string) {
	t.Helper()
	def, told, err := read(txtar.File{Name: "in.xml", Data: []byte(doc)}, false)
	var e *domain.Error
	switch {
	case errors.As(err, &e):
		for _, v := range e.Violations {
			refused += "! " + v.String() + "\n"
		}
		if len(e.Violations) == 0 {
			refused = "! " + e.Error() + "\n"
		}
		return "", nil, refused
	case err != nil:
		t.Fatal(err)
	}
	for _, w := range told {
		warnings = append(warnings, fmt.Sprintf("? %s: %s\n", w.GetXmlPath(), w.GetMessage()))
	}
	if xml, err = domain.FormatXML(def, domain.FormatOptions{}); err != nil {
		t.Fatal(err)
	}
	return xml, warnings, ""
}

// differing is the first line of got, if it is not that of base, and the lines between those that the rest of both begins
// and ends with.
func differing(base, got string) string {
	a, b := strings.SplitAfter(base, "\n"), strings.SplitAfter(got, "\n")
	root := ""
	if base != "" && a[0] != b[0] {
		a[0], root = b[0], b[0]
	}
	start := 0
	for start < min(len(a), len(b)) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < min(len(a), len(b))-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	return root + strings.Join(b[start:len(b)-end], "")
}

// TestTableIsWhole: the table has a row for each field of the schema, which is each element and attribute, and for each word.
func TestTableIsWhole(t *testing.T) {
	fields, words := map[protoreflect.FullName]bool{}, map[protoreflect.FullName]bool{}
	for _, doc := range tableDocuments(t) {
		if def, _, err := domain.ParseXML([]byte(doc), domain.ParseOptions{}); err == nil {
			note(def.ProtoReflect(), fields)
			noteWords(def.ProtoReflect(), words)
		}
	}
	var missing []string
	descriptors((&davitv1.Domain{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{}, func(fd protoreflect.FieldDescriptor) {
		if !fields[fd.FullName()] {
			missing = append(missing, string(fd.FullName()))
		}
		if fd.Enum() == nil {
			return
		}
		for i := 1; i < fd.Enum().Values().Len(); i++ {
			if v := fd.Enum().Values().Get(i); !words[v.FullName()] {
				missing = append(missing, string(v.FullName()))
			}
		}
	})
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) > 0 {
		t.Errorf("the table has no row for %s", strings.Join(missing, ", "))
	}
}

// noteWords records the values of enums that are set.
func noteWords(m protoreflect.Message, seen map[protoreflect.FullName]bool) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Enum() != nil:
			seen[fd.Enum().Values().ByNumber(v.Enum()).FullName()] = true
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				noteWords(v.List().Get(i).Message(), seen)
			}
		default:
			noteWords(v.Message(), seen)
		}
		return true
	})
}
