package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/davitd/davit/server/store"
)

// What is stored of requests comes back after a restart, whatever their ids look like; what is damaged, or of another
// boot of the host, counts as never made.
func TestRequestsComeBack(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	asked := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	under := store.Request{Caller: "0", Method: "Start", ID: "../../etc/passwd", Digest: []byte{1, 2}, Asked: asked}
	done := store.Request{Caller: "0", Method: "Define", ID: "\x00\n", Digest: []byte{3}, Asked: asked, Answer: []byte{4}}
	failed := store.Request{Caller: "1", Method: "Define", ID: "\x00\n", Digest: []byte{3}, Asked: asked, Status: []byte{5}}
	gone := store.Request{Caller: "2", Method: "Define", ID: "x", Digest: []byte{3}, Asked: asked}
	for _, r := range []store.Request{under, done, failed, gone} {
		first := r
		first.Answer, first.Status = nil, nil
		if err := errors.Join(s.PutRequest(first), s.PutRequest(r)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.DeleteRequest(gone), s.DeleteRequest(gone), s.Close()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(p.run, "requests")
	var names []string
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list {
		names = append(names, filepath.Join(dir, entry.Name()))
	}
	if len(names) != 3 {
		t.Fatalf("files are %q, want 3", names)
	}
	if err = os.WriteFile(filepath.Join(dir, "damaged.json"), []byte(`{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	got, err := s.Requests()
	if err != nil {
		t.Fatal(err)
	}
	sorted := cmpopts.SortSlices(func(a, b store.Request) bool { return a.Caller+a.Method < b.Caller+b.Method })
	diff := cmp.Diff([]store.Request{under, done, failed}, got, sorted, cmpopts.IgnoreFields(store.Request{}, "Boot"))
	if diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for _, r := range got {
		if want := r.Answer != nil || r.Status != nil; r.Done() != want {
			t.Errorf("%q is done: %t, want %t", r.ID, r.Done(), want)
		}
	}
	// As if the host had been started since.
	for _, name := range names {
		var text []byte
		if text, err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
		other := strings.Replace(string(text), `"boot":"`, `"boot":"AAAA`, 1)
		if err = os.WriteFile(name, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = s.Requests(); err != nil || len(got) != 0 {
		t.Errorf("after a boot: %v, %v", got, err)
	}
	if list, err = os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("files that count for nothing are left: %v, %v", list, err)
	}
}
