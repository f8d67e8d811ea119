package fs_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/fs"
)

// block is content of some size with words at places.
func block(size int, words map[int]string) []byte {
	b := make([]byte, size)
	for at, word := range words {
		copy(b[at:], word)
	}
	return b
}

// TestProbe tells filesystems apart by their superblocks, also where the content ends soon.
func TestProbe(t *testing.T) {
	const super = 1024
	for _, c := range []struct {
		name    string
		content []byte
		want    string
		refused string
	}{
		{"xfs", block(512, map[int]string{0: "XFSB"}), "xfs", ""},
		{"squashfs", block(96, map[int]string{0: "hsqs"}), "squashfs", ""},
		{"erofs", block(4096, map[int]string{super: "\xe2\xe1\xf5\xe0"}), "erofs", ""},
		{"btrfs", block(0x11000, map[int]string{0x10040: "_BHRfS_M", 0x10088: "\x01"}), "btrfs", ""},
		{"btrfs of two", block(0x11000, map[int]string{0x10040: "_BHRfS_M", 0x10088: "\x02"}), "", "btrfs is not complete in itself: it has 2 devices"},
		{"btrfs that is a seed", block(0x11000, map[int]string{0x1003c: "\x01", 0x10040: "_BHRfS_M", 0x10088: "\x01"}), "", "it is a seed of others"},
		{"ext2", block(4096, map[int]string{super + 0x38: "\x53\xef"}), "ext2", ""},
		{"ext3", block(4096, map[int]string{super + 0x38: "\x53\xef", super + 0x5c: "\x04", super + 0xe0: "\x08"}), "ext3", ""},
		{"ext3 with a journal elsewhere", block(4096, map[int]string{super + 0x38: "\x53\xef", super + 0x5c: "\x04"}), "", "ext3 is not complete in itself: its journal is on another device"},
		{"ext4 with a device of the journal", block(4096, map[int]string{super + 0x38: "\x53\xef", super + 0x5c: "\x04", super + 0x60: "\x40", super + 0xe0: "\x08", super + 0xe4: "\x07\x01"}), "", "its journal is on another device"},
		{"a journal", block(4096, map[int]string{super + 0x38: "\x53\xef", super + 0x60: "\x08"}), "", "it is the journal of another"},
		{"ext4 by extents", block(4096, map[int]string{super + 0x38: "\x53\xef", super + 0x5c: "\x04", super + 0x60: "\x40", super + 0xe0: "\x08"}), "ext4", ""},
		{"ext4 by checksums", block(4096, map[int]string{super + 0x38: "\x53\xef", super + 0x65: "\x04"}), "ext4", ""},
		{"empty", nil, "", "no filesystem that is known"},
		{"zeroes", make([]byte, 1<<20), "", "no filesystem that is known"},
		{"a partition table", block(4096, map[int]string{510: "\x55\xaa"}), "", "no filesystem that is known"},
		{"cut", block(super+0x39, map[int]string{super + 0x38: "\x53"}), "", "no filesystem that is known"},
		{"two", block(4096, map[int]string{0: "XFSB", super + 0x38: "\x53\xef"}), "", "passes for xfs and ext2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := fs.Probe(bytes.NewReader(c.content))
			if got != c.want || (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %q, %v; want %q, %q", got, err, c.want, c.refused)
			}
		})
	}
}

// TestProbeReadError tells what could not be read.
func TestProbeReadError(t *testing.T) {
	if _, err := fs.Probe(broken{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, os.ErrClosed }

// TestProbeReal agrees with the programs that make filesystems, as far as this machine has them.
func TestProbeReal(t *testing.T) {
	for _, c := range []struct {
		want string
		argv []string
	}{
		{"ext2", []string{"mkfs.ext2", "-q", "-F"}},
		{"ext3", []string{"mkfs.ext3", "-q", "-F"}},
		{"ext4", []string{"mkfs.ext4", "-q", "-F"}},
		{"xfs", []string{"mkfs.xfs", "-q", "-f"}},
		{"btrfs", []string{"mkfs.btrfs", "-q", "-f"}},
	} {
		t.Run(c.want, func(t *testing.T) {
			program, err := exec.LookPath(c.argv[0])
			if err != nil {
				t.Skip(err)
			}
			name := filepath.Join(t.TempDir(), "image")
			if err = os.WriteFile(name, nil, 0o600); err == nil {
				err = os.Truncate(name, 320<<20)
			}
			if err != nil {
				t.Fatal(err)
			}
			if out, runErr := exec.Command(program, append(c.argv[1:], name)...).CombinedOutput(); runErr != nil {
				t.Fatalf("%v: %s", runErr, out)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if got, err := fs.Probe(f); got != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
