package domain_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files and the generated pages")

// goldenUUID is the identity of documents that have none.
const goldenUUID = "6f1d2c3b-4a59-4687-9876-5a4b3c2d1e0f"

// TestGolden reads the input of each testdata/*.txtar, admits it, and compares what comes of it with the other files of
// the archive: out.xml as it would be stored, out.json, out.yaml, warnings; or error, word for word, if it is refused.
// The comment says what the case is about; a line "strict" in it asks for a strict reading.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := &txtar.Archive{Comment: archive.Comment}
			for _, f := range archive.Files {
				if strings.HasPrefix(f.Name, "in.") {
					got.Files = append(got.Files, f)
				}
			}
			if len(got.Files) != 1 {
				t.Fatalf("the archive has %d inputs", len(got.Files))
			}
			got.Files = append(got.Files, admit(t, got.Files[0], strings.Contains("\n"+string(archive.Comment), "\nstrict\n"))...)
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

// admit gives what comes of a document.
func admit(t *testing.T, in txtar.File, strict bool) []txtar.File {
	t.Helper()
	def, warnings, err := read(in, strict)
	if err != nil {
		var e *domain.Error
		if !errors.As(err, &e) {
			t.Errorf("%v is no *domain.Error", err)
			return nil
		}
		return []txtar.File{archived("error", fmt.Sprintf("%s %s\n%s\n", e.Code, strings.TrimPrefix(e.Reason.String(), "ERROR_REASON_"), err))}
	}
	xml, xmlErr := domain.FormatXML(def, domain.FormatOptions{})
	json, jsonErr := domain.FormatJSON(def)
	yaml, yamlErr := domain.FormatYAML(def)
	if err := errors.Join(xmlErr, jsonErr, yamlErr); err != nil {
		t.Error(err)
	}
	out := []txtar.File{archived("out.xml", xml), archived("out.json", json), archived("out.yaml", yaml)}
	if len(warnings) > 0 {
		var lines strings.Builder
		for _, w := range warnings {
			fmt.Fprintf(&lines, "%s (%s): %s\n", w.GetXmlPath(), w.GetField(), w.GetMessage())
		}
		out = append(out, archived("warnings", lines.String()))
	}
	return out
}

func archived(name, text string) txtar.File { return txtar.File{Name: name, Data: []byte(text)} }

// read admits a document of any notation on a host that makes up always the same.
func read(in txtar.File, strict bool) (*davitv1.Domain, []*davitv1.Warning, error) {
	source := &davitv1.DefinitionSource{}
	switch in.Name {
	case "in.xml":
		source.Source = &davitv1.DefinitionSource_Xml{Xml: string(in.Data)}
	case "in.json", "in.yaml":
		parse := domain.ParseJSON
		if in.Name == "in.yaml" {
			parse = domain.ParseYAML
		}
		def, err := parse(in.Data)
		if err != nil {
			return nil, nil, err
		}
		source.Source = &davitv1.DefinitionSource_Definition{Definition: def}
	}
	return domain.Read(source, domain.ReadOptions{Strict: strict, Host: goldenHost()})
}

func goldenHost() domain.HostDefaults {
	mac := 0x123455
	return domain.HostDefaults{
		Arch:    "x86_64",
		NewUUID: func() string { return goldenUUID },
		NewMAC: func() string {
			mac++
			return fmt.Sprintf("52:54:00:%02x:%02x:%02x", mac>>16&0xff, mac>>8&0xff, mac&0xff)
		},
	}
}

// goldenDocuments are the XML inputs of the golden files that are accepted, as they would be stored.
func goldenDocuments(tb testing.TB) map[string]*davitv1.Domain {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		tb.Fatal(err)
	}
	docs := map[string]*davitv1.Domain{}
	for _, name := range files {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "in.xml" })
		if i < 0 || slices.ContainsFunc(archive.Files, func(f txtar.File) bool { return f.Name == "error" }) {
			continue
		}
		def, _, err := domain.ParseXML(archive.Files[i].Data, domain.ParseOptions{})
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		docs[filepath.Base(name)] = def
	}
	return docs
}
