package domain_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestCorpus reads libvirt's own documents of containers, all below the folder that DAVIT_CORPUS names: each comes back byte for byte, also
// through protobuf, JSON and YAML. Where libvirt has an X.out.xml, X.xml comes back as that.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("DAVIT_CORPUS")
	if dir == "" {
		t.Skip("DAVIT_CORPUS names no folder of libvirt's documents")
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".xml" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents in %s: %v", dir, err)
	}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".xml")
		if strings.HasSuffix(base, ".out") {
			continue
		}
		want := file
		if _, err := os.Stat(base + ".out.xml"); err == nil {
			want = base + ".out.xml"
		}
		t.Run(filepath.Base(base), func(t *testing.T) {
			roundTrip(t, readFile(t, file), readFile(t, want))
		})
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// roundTrip reads a document, completes it as libvirt does and compares what is written with want, in XML and by way of
// each other notation.
func roundTrip(t *testing.T, doc, want string) {
	t.Helper()
	def, warnings, err := domain.ParseXML([]byte(doc), domain.ParseOptions{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings of a strict reading: %v", warnings)
	}
	if _, _, err := domain.Read(xmlSource(doc), domain.ReadOptions{Strict: true}); err != nil {
		t.Errorf("it is not admitted: %v", err)
	}
	domain.Normalize(def)
	compareXML(t, "XML", def, want)
	for name, by := range notations() {
		back, err := by(def)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compareXML(t, name, back, want)
		if diff := cmp.Diff(def, back, protocmp.Transform()); diff != "" {
			t.Errorf("%s: the message changed on its way (-before +after):\n%s", name, diff)
		}
	}
}

// notations are ways there and back for a definition.
func notations() map[string]func(*davitv1.Domain) (*davitv1.Domain, error) {
	return map[string]func(*davitv1.Domain) (*davitv1.Domain, error){
		"protobuf": func(def *davitv1.Domain) (*davitv1.Domain, error) {
			wire, err := proto.Marshal(def)
			if err != nil {
				return nil, err
			}
			back := &davitv1.Domain{}
			return back, proto.Unmarshal(wire, back)
		},
		"JSON": func(def *davitv1.Domain) (*davitv1.Domain, error) {
			text, err := domain.FormatJSON(def)
			if err != nil {
				return nil, err
			}
			return domain.ParseJSON([]byte(text))
		},
		"YAML": func(def *davitv1.Domain) (*davitv1.Domain, error) {
			text, err := domain.FormatYAML(def)
			if err != nil {
				return nil, err
			}
			return domain.ParseYAML([]byte(text))
		},
	}
}

func compareXML(t *testing.T, by string, def *davitv1.Domain, want string) {
	t.Helper()
	got, err := domain.FormatXML(def, domain.FormatOptions{})
	if err != nil {
		t.Errorf("%s: %v", by, err)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: the document does not come back (-want +got):\n%s", by, diff)
	}
}
