package server_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// No file that the daemon makes can be read by others, and no folder listed: what is in them may be secret. Sockets are what
// they are for, and the folders on the way to them can be passed.
func TestNobodyElseReadsTheFiles(t *testing.T) {
	root := t.TempDir()
	h := start(t, root)
	domains := define(t, h, "web")
	if _, err := domains.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: byName("web"), RequestId: "one"}); err != nil {
		t.Fatal(err)
	}
	run(t, h, "web", "true")
	files := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode, others := info.Mode(), fs.FileMode(0o077)
		switch {
		case mode&fs.ModeSocket != 0 && strings.HasSuffix(path, server.ReadOnlySocket):
			others = 0
		case mode&fs.ModeSocket != 0:
			others = 0o007
		case mode.IsDir():
			others = 0o066 // it may be passed, to the sockets
		default:
			files++
		}
		if mode.Perm()&others != 0 {
			t.Errorf("%s is %v", strings.TrimPrefix(path, root), mode)
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
}
