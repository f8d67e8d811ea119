package fs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	"github.com/davitd/davit/internal/testenv"
)

// privileged prepares a test that makes mounts.
func privileged(t *testing.T) {
	t.Helper()
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
}

func closing(t *testing.T, file *os.File, err error) *os.File {
	t.Helper()
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func create(mount *os.File, name string) error {
	fd, err := unix.Openat(int(mount.Fd()), name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

func TestTmpfsIsDetachedAndBounded(t *testing.T) {
	privileged(t)
	mount, err := fs.Tmpfs(fs.TmpfsOptions{SizeBytes: 8192, Inodes: 4, Mode: 0o1770, UID: 12, GID: 34, Attributes: unix.MOUNT_ATTR_NODEV})
	mount = closing(t, mount, err)
	var stat unix.Stat_t
	must(t, unix.Fstat(int(mount.Fd()), &stat))
	if stat.Mode != unix.S_IFDIR|0o1770 || stat.Uid != 12 || stat.Gid != 34 {
		t.Errorf("root folder is %#o %d:%d", stat.Mode, stat.Uid, stat.Gid)
	}
	for i := range 3 {
		must(t, create(mount, strconv.Itoa(i)))
	}
	if err := create(mount, "more"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a fourth file: %v", err)
	}
	must(t, fs.SetAttributes(mount, unix.MOUNT_ATTR_RDONLY, 0, false))
	if err := unix.Unlinkat(int(mount.Fd()), "0", 0); !errors.Is(err, unix.EROFS) {
		t.Errorf("read-only: %v", err)
	}
	must(t, fs.SetAttributes(mount, 0, unix.MOUNT_ATTR_RDONLY, false))
	must(t, unix.Unlinkat(int(mount.Fd()), "0", 0))
}

func TestMakeSaysWhatTheKernelSays(t *testing.T) {
	privileged(t)
	for _, test := range []struct{ kind, option, want string }{
		{"no-such-filesystem", "", "open filesystem no-such-filesystem: no such device"},
		{"tmpfs", "no-such-option", `configure tmpfs with no-such-option="x": invalid argument (tmpfs: Unknown parameter 'no-such-option')`},
	} {
		_, err := fs.Make(test.kind, 0, fs.Option{Name: test.option, Value: "x"})
		if err == nil || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

func TestCloneIsAlone(t *testing.T) {
	privileged(t)
	_, path := image(t)
	source, err := fs.OpenSource(path)
	source = closing(t, source, err)
	clone, err := fs.Clone(source)
	clone = closing(t, clone, err)
	must(t, fs.SetAttributes(clone, unix.MOUNT_ATTR_RDONLY, 0, true))
	if err = create(clone, "x"); !errors.Is(err, unix.EROFS) {
		t.Errorf("in the clone: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(path, "x"), nil, 0o600))
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(table), path) {
		t.Error("the clone shows in the host's mount table")
	}
}

func TestUpperTakesNoLinks(t *testing.T) {
	dir, path := image(t)
	must(t, os.Symlink("/", filepath.Join(path, "work")))
	if _, err := fs.OpenUpper(dir); err == nil {
		t.Error("a link was taken for the work folder")
	}
	must(t, os.Remove(filepath.Join(path, "work")))
	for i, created := range []bool{false, true} {
		if i == 1 {
			must(t, os.RemoveAll(filepath.Join(path, "upper")))
		}
		upper, err := fs.OpenUpper(dir)
		must(t, err)
		if upper.Created != created {
			t.Errorf("created %v, want %v", upper.Created, created)
		}
		must(t, upper.Close())
	}
}

func TestMapIDsNeedsAUserNamespace(t *testing.T) {
	privileged(t)
	mount, err := fs.Tmpfs(fs.TmpfsOptions{Mode: 0o755})
	mount = closing(t, mount, err)
	if err := fs.MapIDs(mount, mount); err == nil || !strings.HasPrefix(err.Error(), "map the ids of mount") {
		t.Errorf("%v", err)
	}
}
