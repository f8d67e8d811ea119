package oci_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/convert/oci"
	"github.com/davitd/davit/domain"
)

var update = flag.Bool("update", false, "write what the golden bundles become")

// TestGolden converts the bundles and definitions of testdata: "config.json" of an archive, whose other files are its root, or
// "domain.xml". "result" is what becomes of it: warnings, then the document, or the faults.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden bundles: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := outcome(t, archive)
			if *update {
				setFile(archive, "result", got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil { //nolint:gosec // a file of the repository
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(file(archive, "result"), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func file(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func setFile(a *txtar.Archive, name, text string) {
	for i := range a.Files {
		if a.Files[i].Name == name {
			a.Files[i].Data = []byte(text)
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
}

func outcome(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	if doc := file(a, "domain.xml"); doc != "" {
		def, _, err := domain.ParseXML([]byte(doc), domain.ParseOptions{Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		text, warnings, err := oci.Write(def, oci.Options{Device: device})
		return tell(warnings, err) + string(text)
	}
	root := fstest.MapFS{}
	for _, f := range a.Files {
		root[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o755}
	}
	def, warnings, err := oci.Read("/srv/web/config.json", []byte(file(a, "config.json")), oci.Options{Root: func(string) fs.FS { return root }})
	if err != nil {
		return tell(warnings, err)
	}
	text, err := domain.FormatXML(def, domain.FormatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return tell(warnings, nil) + text
}

// device knows the numbers of two devices.
func device(path string) (major, minor int64, err error) {
	switch path {
	case "/dev/fuse":
		return 10, 229, nil
	case "/dev/sdb":
		return 8, 16, nil
	}
	return 0, 0, fmt.Errorf("%s: no such device", path)
}

func tell(warnings []convert.Warning, err error) string {
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	if e, ok := errors.AsType[*convert.Error](err); ok {
		fmt.Fprintf(&b, "error: %s\n", strings.Join(e.Lines(), "\nerror: "))
	} else if err != nil {
		fmt.Fprintf(&b, "error: %s\n", err)
	}
	return b.String()
}
