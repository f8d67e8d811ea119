package fs_test

import (
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
	clone, err := fs.Clone(first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = clone.Close() }()
	if other, _, err := fs.IdentifyMount(clone); err != nil || other == id {
		t.Errorf("%v and its clone %v, %v", id, other, err)
	}
}

func TestImageOfAnUnknownType(t *testing.T) {
	for _, kind := range []string{"", "vfat", "fuseblk", "ext4,errors=panic"} {
		if _, err := fs.Image(fs.ImageOptions{Device: os.Stdin, Type: kind}); err == nil || !strings.Contains(err.Error(), "is none of ext2, ext3") {
			t.Errorf("%q: %v", kind, err)
		}
	}
}
