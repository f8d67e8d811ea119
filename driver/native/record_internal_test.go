package native

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someUUID = "0f6f7a4e-6a53-4d6e-9f2e-3a54d8f0c001"

func TestRecord(t *testing.T) {
	s, err := openStates(filepath.Join(t.TempDir(), "d"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.dir.Close() }()
	want := record{Version: 1, UUID: someUUID, Generation: "g", Partition: "/machine"}
	folder, err := s.create(someUUID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	if _, err = s.create(someUUID); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create again: %v, want fs.ErrExist", err)
	}
	info, err := os.Stat(s.path(someUUID))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, want 0700", info.Mode())
	}
	want.Complete, want.InitPID, want.Restarts, want.OOMBase = true, 4711, 3, 2
	if err = writeRecord(folder, want); err != nil {
		t.Fatal(err)
	}
	got, err := readRecord(folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if names, err := s.list(); err != nil || len(names) != 1 || names[0] != someUUID {
		t.Errorf("list: %q, %v", names, err)
	}
	if err := s.remove(someUUID); err != nil {
		t.Fatal(err)
	}
	if err := s.remove(someUUID); err != nil {
		t.Errorf("remove again: %v", err)
	}
}

// A record that cannot be read is an error that names it; never a panic, never half a record.
func TestDamagedRecord(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "unexpected end",
		"{":                                "unexpected end",
		`{"version":2}`:                    "version 2 is not known",
		`{"uuid":7}`:                       "cannot unmarshal",
		strings.Repeat("x", recordBytes+1): "more than 16777216 bytes",
		`{"version":1}trailing`:            "invalid character",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, recordName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		folder, err := openFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = readRecord(folder)
		_ = folder.Close()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), recordName) {
			t.Errorf("read %.20q: %v, want %q and the file's name", text, err, want)
		}
	}
}

// Files and folders that somebody replaced by symbolic links are not followed.
func TestLinksAreNotFollowed(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "kept"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"record", "folder"} {
		if err := os.Symlink(other, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if _, err := readAt(d, "record", 10); err == nil {
		t.Error("a link was read")
	}
	if err := removeFolder(d, "folder"); err == nil {
		t.Error("a link was taken for a folder")
	}
	if _, err := os.Stat(filepath.Join(other, "kept")); err != nil {
		t.Error(err)
	}
}

// A folder goes also while somebody makes files in it, who is about to end.
func TestFolderGoesUnderALateWriter(t *testing.T) {
	for range 50 {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		d, err := openFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		var writer sync.WaitGroup
		writer.Go(func() {
			for i := range 100 {
				_ = os.WriteFile(filepath.Join(dir, "folder", strconv.Itoa(i)), nil, 0o600) // it may be gone
			}
		})
		if err = removeFolder(d, "folder"); err != nil {
			t.Error(err)
		}
		writer.Wait()
		_ = d.Close()
	}
}

// Whatever is in the files of a state folder, reading it ends in a value or an error.
func FuzzRecord(f *testing.F) {
	f.Add(`{"version":1,"uuid":"`+someUUID+`","generation":"g","partition":"/machine","complete":true}`, `{"next":1,"claims":[]}`)
	f.Fuzz(func(t *testing.T, text, list string) {
		dir := t.TempDir()
		for name, content := range map[string]string{recordName: text, ledgerName: list} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		folder, err := openFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = folder.Close() }()
		if r, err := readRecord(folder); err == nil && r.Version != 1 {
			t.Errorf("record %+v was taken", r)
		}
		if l, err := readLedger(folder); err == nil {
			l.drop(func(c claim) bool { return c.UUID == someUUID })
		}
	})
}
