package quota_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/fs"
	"github.com/davitd/davit/fs/quota"
)

// refused checks that a path can have no limit, and that the error says why.
func refused(t *testing.T, path string, words ...string) {
	t.Helper()
	at, err := fs.OpenSource(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = at.Close() }()
	for name, err := range map[string]error{"check": quota.Check(at), "limit": quota.Limit(t.Context(), at, 1<<20)} {
		if !errors.Is(err, quota.ErrUnsupported) {
			t.Errorf("%s: %v, want that it is unsupported", name, err)
			continue
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not say %q", name, err, word)
			}
		}
	}
	if u, err := quota.Read(at); err == nil && u != (quota.Usage{}) {
		t.Errorf("a limit after it was refused: %+v", u)
	}
}

func TestFilesystemThatBoundsNothingIsNamed(t *testing.T) {
	refused(t, "/proc/self", "proc", `"/proc/self"`, "prjquota", "btrfs")
}

func TestMountedTmpfsIsNamed(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip(err)
	}
	refused(t, "/dev/shm", "bounds no folder", "prjquota")
}

func TestFolderWithoutProjectsOrFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	at, err := fs.OpenSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = at.Close() }()
	if err = quota.Check(at); err == nil {
		t.Skip("the temporary folder can have a limit here")
	}
	refused(t, dir, dir)
	file := filepath.Join(dir, "file")
	if err = os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, file, file)
}
