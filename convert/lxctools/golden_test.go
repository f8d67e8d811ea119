package lxctools_test

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
	"github.com/davitd/davit/convert/lxctools"
	"github.com/davitd/davit/domain"
)

var update = flag.Bool("update", false, "write what the golden configurations become")

// TestGolden converts the configurations of testdata: "config" of each archive, which may name the other files by their paths.
// "result" is what becomes of it: warnings, then the document, or the faults.
func TestGolden(t *testing.T) {
	for name, archive := range archives(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			got := outcome(archive)
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

func archives(tb testing.TB) map[string]*txtar.Archive {
	tb.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		tb.Fatalf("no golden configurations: %v", err)
	}
	all := map[string]*txtar.Archive{}
	for _, name := range names {
		if all[name], err = txtar.ParseFile(name); err != nil {
			tb.Fatal(err)
		}
	}
	return all
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

// within are the files below two folders.
type within struct {
	fs.FS
	a, b string
}

func (w within) Open(name string) (fs.File, error) {
	if !strings.HasPrefix(name, w.a) && !strings.HasPrefix(name, w.b) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return w.FS.Open(name)
}

// outcome is what becomes of an archive's configuration.
func outcome(a *txtar.Archive) string {
	files := fstest.MapFS{}
	for _, f := range a.Files {
		if f.Name != "config" && f.Name != "result" {
			files[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	def, warnings, err := lxctools.Parse("/var/lib/lxc/web/config", []byte(file(a, "config")), lxctools.Options{
		Files: within{files, "var/lib/lxc/web", "usr/share/lxc/config"}, Folders: []string{"its own folder", "/usr/share/lxc/config"}, Strict: strings.Contains(string(a.Comment), "strict"),
	})
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	if e, ok := errors.AsType[*convert.Error](err); ok {
		fmt.Fprintf(&b, "error: %s\n", strings.Join(e.Lines(), "\nerror: "))
		return b.String()
	}
	text, err := domain.FormatXML(def, domain.FormatOptions{})
	if err != nil {
		return err.Error()
	}
	return b.String() + text
}
