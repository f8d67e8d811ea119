package quota

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openFolder(t *testing.T, path string) *os.File {
	t.Helper()
	dir, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { _ = dir.Close() })
	return dir
}

// seen are the paths that a walk comes to, below the folder and in order.
func seen(t *testing.T, dir *os.File) []string {
	t.Helper()
	var list []string
	must(t, walk(t.Context(), dir, func(file *os.File, isFolder bool) error {
		name, err := filepath.Rel(dir.Name(), file.Name())
		if isFolder {
			name += "/"
		}
		list = append(list, name)
		return err
	}))
	slices.Sort(list)
	return list
}

func TestWalkComesToFilesAndFoldersOnly(t *testing.T) {
	top, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(top, "a/b"), 0o700))
	must(t, os.WriteFile(filepath.Join(top, "a/b/file"), nil, 0o600))
	must(t, os.Symlink(outside, filepath.Join(top, "folder")))
	must(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(top, "a/link")))
	must(t, unix.Mkfifo(filepath.Join(top, "fifo"), 0o600))
	dir := openFolder(t, top)
	want := []string{"./", "a/", "a/b/", "a/b/file"}
	for range 2 { // where the descriptor stands does not matter
		if got := seen(t, dir); !slices.Equal(got, want) {
			t.Errorf("walk came to %q, want %q", got, want)
		}
	}
}

func TestWalkReadsAllOfALargeFolder(t *testing.T) {
	top := t.TempDir()
	for i := range 3*batch + 1 {
		must(t, os.WriteFile(filepath.Join(top, strconv.Itoa(i)), nil, 0o600))
	}
	if got := len(seen(t, openFolder(t, top))); got != 3*batch+2 {
		t.Errorf("walk came to %d, want %d", got, 3*batch+2)
	}
}

func TestWalkIsBounded(t *testing.T) {
	top := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(top, strings.Repeat("d/", maxDepth+1)), 0o700))
	dir := openFolder(t, top)
	none := func(*os.File, bool) error { return nil }
	if err := walk(t.Context(), dir, none); err == nil || !strings.Contains(err.Error(), "256 folders deep") {
		t.Errorf("deep folder: %v", err)
	}
	w := &walker{visit: none, left: 3}
	if err := w.folder(t.Context(), openFolder(t, top), 0); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("large folder: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := walk(ctx, dir, none); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNumbersOfFoldersAreDavitsAndApart(t *testing.T) {
	taken := make(map[uint32]bool)
	const folders = 1000
	for inode := range uint64(folders) {
		for try := range uint64(4) {
			id := candidate(inode, try)
			if id < FirstProject || id > LastProject {
				t.Fatalf("project %d of inode %d is not davit's", id, inode)
			}
			taken[id] = true
		}
	}
	// Of 4000 in 16 million, chance makes less than one meet another.
	if len(taken) < 4*folders-20 {
		t.Errorf("%d numbers for %d tries", len(taken), 4*folders)
	}
}

// The kernel knows its structures by their sizes, which are in the numbers of the requests.
func TestStructuresHaveTheKernelsSizes(t *testing.T) {
	for name, sizes := range map[string][2]uintptr{
		"fsxattr":                       {unsafe.Sizeof(attributes{}), getAttributes >> 16 & 0x3fff},
		"if_dqblk":                      {unsafe.Sizeof(quotas{}), 72},
		"fs_quota_stat":                 {unsafe.Sizeof(state{}), 80},
		"btrfs_ioctl_qgroup_limit_args": {unsafe.Sizeof(limits{}), groupLimit >> 16 & 0x3fff},
		"btrfs_ioctl_search_args":       {unsafe.Sizeof(search{}), treeSearch >> 16 & 0x3fff},
		"btrfs_ioctl_ino_lookup_args":   {unsafe.Sizeof(lookup{}), inoLookup >> 16 & 0x3fff},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s has %d bytes, want %d", name, sizes[0], sizes[1])
		}
	}
}
