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

// A list of ranges that is cut anywhere gives nobody a range that may be seen in it to be another's. It is set aside as it was.
func TestLedgerCutAtEveryByte(t *testing.T) {
	p, home := pool(t), state(t)
	for _, uuid := range []string{"one", "two"} {
		if _, _, err := newIDs(p, "aaaaaaaa", home).allocate(uuid, ""); err != nil {
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
		seen := strings.Count(string(text[:n]), "}]}") // a claim ends with the ranges of its groups
		r, fresh, err := newIDs(p, "aaaaaaaa", home).allocate("three", "")
		if err != nil || !fresh {
			t.Fatalf("%d bytes: %v, fresh %v, %v", n, r, fresh, err)
		}
		if claims := claimsOf(t, p); len(claims) != seen+1 {
			t.Fatalf("%d bytes: the claims are %v, want %d of old", n, claims, seen)
		}
		for _, c := range claimsOf(t, p)[:seen] {
			if c.UID[0].overlaps(r) {
				t.Fatalf("%d bytes: %v is that of %s", n, r, c.UUID)
			}
		}
		aside, err := filepath.Glob(path + ".damaged-*")
		if err != nil || len(aside) != 1 {
			t.Fatalf("%d bytes: set aside are %q, %v", n, aside, err)
		}
		if left, wrong := os.ReadFile(aside[0]); wrong != nil || string(left) != string(text[:n]) {
			t.Fatalf("%d bytes: the list has become %q, %v", n, left, wrong)
		}
		if err = os.Remove(aside[0]); err != nil {
			t.Fatal(err)
		}
	}
}
