package protodoc_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/internal/protodoc"
)

const source = `// About the file.
edition = "2023";

package a.v1;

// S serves.
//
// It does so well.
service S {
  // Do does
  // it.
  rpc Do(DoRequest) returns (DoResponse) {
    option (access) = ACCESS_READ;
  }
  rpc Untold(DoRequest) returns (DoResponse);
}

// M holds.
message M {
  // One of two.
  oneof which {
    // A name.
    string name = 1;
  }
  // Words.
  map<string, string> words = 2 [
    deprecated = true
  ];
  // Inner is inside.
  message Inner {
    // Depth.
    repeated google.protobuf.Any depth = 1;
  }
}

// E counts.
enum E {
  // Nothing.
  E_UNSPECIFIED = 0;
}
`

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := protodoc.Read(dir); err == nil {
		t.Error("a folder without sources was read")
	}
	if err := os.WriteFile(filepath.Join(dir, "a.proto"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := protodoc.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		"a.v1.S": "S serves.\n\nIt does so well.", "a.v1.S.Do": "Do does it.", "a.v1.M": "M holds.", "a.v1.M.which": "One of two.",
		"a.v1.M.name": "A name.", "a.v1.M.words": "Words.", "a.v1.M.Inner": "Inner is inside.",
		"a.v1.M.Inner.depth": "Depth.", "a.v1.E": "E counts.", "a.v1.E.E_UNSPECIFIED": "Nothing.",
	}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
