package fs_test

import (
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
)

// image makes a folder with things in it that a container's root may have, and opens it.
func image(t *testing.T) (root *os.File, path string) {
	t.Helper()
	path = t.TempDir()
	must(t, os.MkdirAll(filepath.Join(path, "root/etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(path, "secret"), []byte("outside"), 0o600))
	path = filepath.Join(path, "root")
	must(t, os.WriteFile(filepath.Join(path, "etc/passwd"), []byte("inside"), 0o600))
	must(t, os.Symlink("../../../../secret", filepath.Join(path, "up")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(path, "absolute")))
	must(t, os.Symlink("/proc/self/root", filepath.Join(path, "magic")))
	must(t, os.Symlink("loop", filepath.Join(path, "loop")))
	must(t, unix.Mkfifo(filepath.Join(path, "fifo"), 0o600))
	root, err := fs.OpenDir(path)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root, path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadFileStaysInTheRoot(t *testing.T) {
	root, _ := image(t)
	for _, test := range []struct {
		path, want string
		err        error
	}{
		{"etc/passwd", "inside", nil},
		{"/etc/passwd", "inside", nil},
		{"../../etc/passwd", "inside", nil},
		{"absolute", "inside", nil},
		{"up", "", iofs.ErrNotExist},
		{"etc/shadow", "", iofs.ErrNotExist},
		{"etc/passwd/x", "", unix.ENOTDIR},
		{"loop", "", unix.ELOOP},
		{"etc", "", fs.ErrNotRegular},
		{"fifo", "", fs.ErrNotRegular},
	} {
		got, err := fs.ReadFile(root, test.path, 100)
		if string(got) != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v; want %q, %v", test.path, got, err, test.want, test.err)
		}
	}
}

func TestReadFileIsBounded(t *testing.T) {
	root, path := image(t)
	must(t, os.Truncate(filepath.Join(path, "etc/passwd"), 1<<40))
	data, err := fs.ReadFile(root, "etc/passwd", 100)
	if data != nil || !errors.Is(err, fs.ErrTooLarge) || !strings.Contains(err.Error(), "more than 100 bytes") {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	must(t, os.Truncate(filepath.Join(path, "etc/passwd"), 100))
	if data, err := fs.ReadFile(root, "etc/passwd", 100); len(data) != 100 || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestMagicLinksAreRefused(t *testing.T) {
	if dir, err := fs.OpenSource("/proc/self/root"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%v, %v", dir, err)
	}
	if dir, err := fs.OpenDir("/proc/self/cwd/"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%v, %v", dir, err)
	}
}

func TestOpenDirTakesNoLink(t *testing.T) {
	_, path := image(t)
	link := filepath.Join(filepath.Dir(path), "link")
	must(t, os.Symlink("root", link))
	for _, name := range []string{link, filepath.Join(path, "etc/passwd"), filepath.Join(path, "no-such")} {
		if dir, err := fs.OpenDir(name); err == nil {
			t.Errorf("%s was opened: %v", name, dir.Name())
		}
	}
	// A bind source is named by an administrator, whose links are meant.
	source, err := fs.OpenSource(filepath.Join(link, "etc/passwd"))
	must(t, err)
	must(t, source.Close())
}
