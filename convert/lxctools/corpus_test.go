package lxctools_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/convert/lxctools"
	"github.com/davitd/davit/domain"
)

// TestCorpus converts libvirt's own configurations, in the folder lxcconf2xml below the one that DAVIT_CORPUS names: each, in
// both spellings, becomes the document that libvirt makes of it. libvirt makes up the uuid.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("DAVIT_CORPUS")
	if dir == "" {
		t.Skip("DAVIT_CORPUS names no folder of libvirt's configurations")
	}
	files, err := filepath.Glob(filepath.Join(dir, "lxcconf2xml", "*.config"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations in %s: %v", dir, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".config")
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(name, "-v3") + ".xml")
			if err != nil {
				t.Fatal(err)
			}
			def, warnings, err := lxctools.Parse(file, text, lxctools.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Log(w)
			}
			expected, _, err := domain.ParseXML(want, domain.ParseOptions{Strict: true})
			if err != nil {
				t.Fatal(err)
			}
			def.Uuid = expected.GetUuid()
			got, err := domain.FormatXML(def, domain.FormatOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-libvirt +davit:\n%s", diff)
			}
		})
	}
}
