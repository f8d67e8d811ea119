package native

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A record of a start that is cut anywhere is refused under the name of its file; it is never half of one.
func TestRecordCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	folder, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	whole := record{Version: 1, UUID: "6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a001", Generation: "g", Partition: "/machine", Complete: true, InitPID: 77}
	path := filepath.Join(dir, recordName)
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(text) {
		if err = os.WriteFile(path, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord(folder)
		if json.Valid(text[:n]) { // all but the end of its line
			if err != nil || r.UUID != whole.UUID || r.InitPID != whole.InitPID {
				t.Errorf("%d bytes: %v, %v", n, r, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("%d bytes: %v, want an error that names the file", n, err)
		}
	}
}

// A list of ranges that is cut anywhere gives nobody a range that may be another's: it is refused under the name of its file
// and left as it is.
func TestLedgerCutAtEveryByte(t *testing.T) {
	p, home := pool(t), state(t)
	for _, uuid := range []string{"one", "two"} {
		if _, _, err := newIDs(p, "aaaaaaaa", home).allocate(uuid); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(p.Dir, ledgerName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(text) {
		if err = os.WriteFile(path, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if json.Valid(text[:n]) {
			continue // all but the end of its line
		}
		for _, uuid := range []string{"one", "three"} {
			if r, _, err := newIDs(p, "aaaaaaaa", home).allocate(uuid); err == nil || !strings.Contains(err.Error(), ledgerName) {
				t.Fatalf("%d bytes: %s has %v, %v; want an error that names the file", n, uuid, r, err)
			}
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != string(text[:n]) {
			t.Fatalf("%d bytes: the list has become %q, %v", n, left, err)
		}
	}
}
