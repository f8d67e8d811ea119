package fs_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/fs"
	"github.com/davitd/davit/internal/testenv"
)

func TestMountTable(t *testing.T) {
	const text = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 21 0:5 / /dev rw - devtmpfs none rw
31 30 0:6 / /dev/with\040blank\134 rw master:2 - tmpfs none rw
32 31 0:7 / /dev/with\040blank\134/x rw - tmpfs none rw
nonsense
40 21 0:8 net:[4026531840] /run/ns rw - nsfs none rw
x 21 0:8 / /bad rw - tmpfs none rw
41 21 0:9 / /cut rw`
	table, err := fs.ReadMountTable(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := fs.MountTable{
		{ID: 21, Parent: 1, Point: "/", Type: "ext4"},
		{ID: 30, Parent: 21, Point: "/dev", Type: "devtmpfs"},
		{ID: 31, Parent: 30, Point: `/dev/with blank\`, Type: "tmpfs"},
		{ID: 32, Parent: 31, Point: `/dev/with blank\/x`, Type: "tmpfs"},
		{ID: 40, Parent: 21, Point: "/run/ns", Type: "nsfs"},
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(fs.MountTable{want[3], want[2]}, table.Below(30)); diff != "" {
		t.Errorf("below (-want +got):\n%s", diff)
	}
	if entry, ok := table.Find(31); !ok || entry.Parent != 30 {
		t.Errorf("%v, %v", entry, ok)
	}
	if _, ok := table.Find(99); ok {
		t.Error("99 is found")
	}
}

// A table that its owner changed while it was read, so that it goes round in a circle, has an end all the same.
func TestMountTableInACircle(t *testing.T) {
	table := fs.MountTable{
		{ID: 2, Parent: 1, Point: "/a"}, {ID: 3, Parent: 2, Point: "/a/b"}, {ID: 2, Parent: 3, Point: "/b/c"}, {ID: 1, Parent: 3, Point: "/b"},
	}
	if diff := cmp.Diff(fs.MountTable{table[1], table[0]}, table.Below(1)); diff != "" {
		t.Errorf("below (-want +got):\n%s", diff)
	}
}

// As many mounts as a namespace may have, one on the other, are told in the time that it takes to read them.
func TestDeepMountTable(t *testing.T) {
	const count = 100_000
	var text strings.Builder
	for i := 1; i <= count; i++ {
		fmt.Fprintf(&text, "%d %d 0:9 / /mnt rw - tmpfs none rw\n", i, i-1)
	}
	table, err := fs.ReadMountTable(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	below := table.Below(1)
	if len(below) != count-1 || below[0].ID != count || below[len(below)-1].ID != 2 {
		t.Errorf("%d mounts, from %v", len(below), below[0])
	}
}

// A table that is longer than all that are meant well is not taken into memory.
func TestEndlessMountTable(t *testing.T) {
	line := "30 21 0:5 / /" + strings.Repeat("x", 4000) + " rw - tmpfs none rw\n"
	r := &endless{text: line}
	if _, err := fs.ReadMountTable(r); !errors.Is(err, fs.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if r.read > 32<<20 {
		t.Errorf("%d bytes were read", r.read)
	}
}

// endless says the same for ever.
type endless struct {
	text string
	read int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.text[e.read%len(e.text):])
	e.read += n
	return n, nil
}

// A mount is told from another of the same filesystem, also when it is attached nowhere.
func TestIdentifyMount(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	first, err := fs.Tmpfs(fs.TmpfsOptions{Mode: 0o755})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	id, root, err := fs.IdentifyMount(first)
	if err != nil || !root || id.ID == 0 {
		t.Errorf("%v, %v, %v", id, root, err)
	}
	again, _, err := fs.IdentifyMount(first)
	if err != nil || again != id {
		t.Errorf("%v, then %v, %v", id, again, err)
	}
	second, err := fs.Tmpfs(fs.TmpfsOptions{Mode: 0o755})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if other, _, err := fs.IdentifyMount(second); err != nil || other == id {
		t.Errorf("%v and another %v, %v", id, other, err)
	}
}

func TestImageOfAnUnknownType(t *testing.T) {
	for _, kind := range []string{"", "vfat", "fuseblk", "ext4,errors=panic"} {
		if _, err := fs.Image(fs.ImageOptions{Device: os.Stdin, Type: kind}); err == nil || !strings.Contains(err.Error(), "is none of ext2, ext3") {
			t.Errorf("%q: %v", kind, err)
		}
	}
}
