package monitor_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// makeFifo makes a fifo below a root, with a reader.
func makeFifo(t *testing.T, root, path string) (reader *os.File) {
	t.Helper()
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(full, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(full, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	return reader
}

// The record is what sysvinit reads, in the first fifo of those that init may have.
func TestInitctl(t *testing.T) {
	for _, path := range []string{"run/initctl", "dev/initctl", "etc/.initctl"} {
		root := t.TempDir()
		reader := makeFifo(t, root, path)
		if err := monitor.WriteInitctl(openFolder(t, root), 6); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		record := make([]byte, 1000)
		n, err := reader.Read(record)
		if err != nil || n != 384 {
			t.Fatalf("%s: read %d bytes, %v, want 384", path, n, err)
		}
		var got [4]uint32
		for i := range got {
			got[i] = binary.NativeEndian.Uint32(record[4*i:])
		}
		if want := [4]uint32{0x03091969, 1, '6', 0}; got != want {
			t.Errorf("%s: record begins with %x, want %x", path, got, want)
		}
	}
}

// Nothing but a fifo of the container that somebody reads is written to: no file, no socket or device that would block, and
// nothing behind a symbolic link, which leads where the guest wants.
func TestInitctlRefuses(t *testing.T) {
	outside := t.TempDir()
	victim := makeFifo(t, outside, "initctl")
	for name, make := range map[string]func(root string) error{
		"nothing":           func(string) error { return nil },
		"a file":            func(root string) error { return os.WriteFile(root+"/run/initctl", nil, 0o600) },
		"a folder":          func(root string) error { return os.Mkdir(root+"/run/initctl", 0o700) },
		"nobody reads":      func(root string) error { return unix.Mkfifo(root+"/run/initctl", 0o600) },
		"a link out":        func(root string) error { return os.Symlink(outside+"/initctl", root+"/run/initctl") },
		"a folder's link":   func(root string) error { return os.Symlink(outside, root+"/dev") },
		"a link to a magic": func(root string) error { return os.Symlink("/proc/self/root"+outside+"/initctl", root+"/run/initctl") },
	} {
		root := t.TempDir()
		if err := os.Mkdir(root+"/run", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := make(root); err != nil {
			t.Fatal(err)
		}
		err := monitor.WriteInitctl(openFolder(t, root), 0)
		if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND {
			t.Errorf("%s: %v, want not found", name, err)
		}
	}
	if n, err := victim.Read(make([]byte, 1)); n > 0 {
		t.Errorf("a fifo outside was written to (%v)", err)
	}
}

// A fifo that is full is not waited for.
func TestInitctlFull(t *testing.T) {
	root := t.TempDir()
	makeFifo(t, root, "run/initctl")
	folder := openFolder(t, root)
	for range 1000 {
		if err := monitor.WriteInitctl(folder, 0); err != nil {
			return
		}
	}
	t.Error("a fifo that nobody empties takes everything")
}
