package loop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices/loop"
	"github.com/davitd/davit/internal/testenv"
)

func image(t *testing.T, size int64, flags int) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// needLoop skips where devices cannot be made: a machine without the driver, or a container without its nodes.
func needLoop(t *testing.T) {
	t.Helper()
	testenv.Require(t, testenv.Root)
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("no loop devices: %v", err)
	}
	testenv.Residue(t)
}

// isFree tells whether nobody has the n-th device.
func isFree(n int) bool {
	_, err := os.Stat(fmt.Sprintf("/sys/block/loop%d/loop/backing_file", n))
	return errors.Is(err, fs.ErrNotExist)
}

func waitFree(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); !isFree(n); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("loop device %d is not given back", n)
		}
	}
}

// TestMake writes through a device into its image, which may be closed meanwhile, and sees the device go with its last
// descriptor.
func TestMake(t *testing.T) {
	needLoop(t)
	f := image(t, 1<<20, os.O_RDWR)
	d, err := loop.Make(f, loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := f.Name()
	if err = f.Close(); err != nil {
		t.Fatal(err)
	}
	if d.Size != 1<<20 {
		t.Errorf("the device has %d bytes", d.Size)
	}
	if _, err = d.File.WriteAt([]byte("through"), 4096); err != nil {
		t.Fatal(err)
	}
	if err = unix.Fsync(int(d.File.Fd())); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(name)
	if err != nil || !bytes.HasPrefix(content[4096:], []byte("through")) {
		t.Errorf("the image holds %q, %v", content[4096:4104], err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	waitFree(t, d.Number)
}

// TestReadOnly devices refuse to be written to through any node.
func TestReadOnly(t *testing.T) {
	needLoop(t)
	d, err := loop.Make(image(t, 1<<20, os.O_RDONLY), loop.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer waitFree(t, d.Number)
	defer func() { _ = d.Close() }()
	w, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", d.Number), os.O_RDWR, 0)
	if err == nil {
		_, err = w.Write([]byte("x"))
		_ = w.Close()
	}
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		t.Errorf("writing to a read-only device: %v", err)
	}
}

// TestDirect tells whether I/O goes past the cache, and works either way.
func TestDirect(t *testing.T) {
	needLoop(t)
	d, err := loop.Make(image(t, 1<<20, os.O_RDWR), loop.Options{Direct: true, BlockSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer waitFree(t, d.Number)
	defer func() { _ = d.Close() }()
	on, err := os.ReadFile(fmt.Sprintf("/sys/block/loop%d/loop/dio", d.Number))
	if err != nil || strings.TrimSpace(string(on)) == "1" != d.Direct {
		t.Errorf("the kernel says %q, %v; the device says %v", on, err, d.Direct)
	}
	size, err := os.ReadFile(fmt.Sprintf("/sys/block/loop%d/queue/logical_block_size", d.Number))
	if err != nil || strings.TrimSpace(string(size)) != "4096" {
		t.Errorf("the block size is %q, %v", size, err)
	}
}

// TestRefuses what can be no device, and takes none for it.
func TestRefuses(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	for _, c := range []struct {
		name  string
		image *os.File
		want  string
	}{
		{"a folder", dir, "it is no file"},
		{"empty", image(t, 0, os.O_RDWR), "it has 0 bytes"},
		{"not for writing", image(t, 1<<20, os.O_RDONLY), "not open for writing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := loop.Make(c.image, loop.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestMany makes devices at once: each gets one of its own.
func TestMany(t *testing.T) {
	needLoop(t)
	const n = 6
	var wg sync.WaitGroup
	devices := make([]*loop.Device, n)
	for i := range n {
		f := image(t, 1<<20, os.O_RDWR)
		wg.Go(func() {
			var err error
			if devices[i], err = loop.Make(f, loop.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for _, d := range devices {
		if d == nil {
			continue
		}
		if seen[d.Number] {
			t.Errorf("device %d was given twice", d.Number)
		}
		seen[d.Number] = true
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		waitFree(t, d.Number)
	}
}
