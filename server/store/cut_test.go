package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/server/store"
)

// cut writes the first so many bytes of a file, from none to all but one.
func cut(t *testing.T, path string, each func(n int)) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole) < 8 {
		t.Fatalf("%s has %d bytes", path, len(whole))
	}
	for n := range len(whole) {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		each(n)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		aside, err := filepath.Glob(path + ".damaged*")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range aside {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Wherever a definition's or a record's file is cut, it is put aside under its name, or is still whole, and its neighbour
// is loaded.
func TestFilesCutAtEveryByte(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	for n := range 2 {
		if err := errors.Join(s.Put(definition(t, n, 1000)), s.PutStatus(status(t, n))); err != nil {
			t.Fatal(err)
		}
	}
	cut(t, p.definition(1), func(n int) {
		defs, quarantined := load(t, s)
		if len(defs) == 0 || !proto.Equal(defs[0].Def, definition(t, 0, 1000)) {
			t.Fatalf("%d bytes: the neighbour is lost, there are %v", n, defs)
		}
		switch {
		case len(defs) == 2 && len(quarantined) == 0 && proto.Equal(defs[1].Def, definition(t, 1, 1000)): // but for its last line's end
		case len(defs) != 1 || len(quarantined) != 1 || !strings.HasPrefix(quarantined[0], p.definition(1)+".damaged: "):
			t.Fatalf("%d bytes: loaded %v, quarantined %q", n, defs, quarantined)
		}
	})
	path := filepath.Join(p.run, "status", uuidOf(1)+".json")
	cut(t, path, func(n int) {
		all, err := s.Statuses()
		if err != nil || len(all) == 0 || all[0].UUID != uuidOf(0) {
			t.Fatalf("%d bytes: %v, %v", n, all, err)
		}
		if _, err := os.Stat(path + ".damaged"); len(all) == 1 && err != nil {
			t.Fatalf("%d bytes: the record is neither read nor put aside: %v", n, err)
		}
	})
}

// A request whose file is cut counts as never made; the others are known.
func TestRequestsCutAtEveryByte(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	kept := store.Request{Caller: "0", Method: "Start", ID: "kept", Digest: []byte{1}, Asked: time.Unix(1, 0), Answer: []byte{2}}
	lost := store.Request{Caller: "0", Method: "Start", ID: "lost", Digest: []byte{1}, Asked: time.Unix(1, 0), Answer: []byte{2}}
	if err := s.PutRequest(lost); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(p.run, "requests", "*.json"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%q, %v", list, err)
	}
	if err = s.PutRequest(kept); err != nil {
		t.Fatal(err)
	}
	cut(t, list[0], func(n int) {
		all, err := s.Requests()
		if err != nil || len(all) != 1 || all[0].ID != "kept" {
			t.Fatalf("%d bytes: %v, %v", n, all, err)
		}
	})
}

// An instance id that is cut is refused under the name of its file and stays: what runs bears the whole one.
func TestInstanceCutAtEveryByte(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	id := s.Instance()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.lib, "instance")
	cut(t, path, func(n int) {
		s, err := store.Open(store.Options{LibDir: p.lib, RunDir: p.run})
		if err == nil {
			same := s.Instance() == id
			if err = s.Close(); err != nil {
				t.Fatal(err)
			}
			if n < len(id) || !same {
				t.Fatalf("%d bytes of the id are taken for one", n)
			}
			return
		}
		if !strings.Contains(err.Error(), path) {
			t.Fatalf("%d bytes: %v does not name the file", n, err)
		}
		if b, err := os.ReadFile(path); err != nil || len(b) != n {
			t.Fatalf("%d bytes: the file is %q, %v", n, b, err)
		}
	})
}

// A counter that is cut is not taken for a lower one: numbers go on after the highest that a record knows.
func TestCounterCutAtEveryByte(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	var last uint32
	for range 123 {
		var err error
		if last, err = s.NextID(); err != nil {
			t.Fatal(err)
		}
	}
	running := status(t, 1)
	running.ID = last
	if err := errors.Join(s.PutStatus(running), s.Close()); err != nil {
		t.Fatal(err)
	}
	cut(t, filepath.Join(p.run, "id"), func(n int) {
		s := p.open(t)
		next, err := s.NextID()
		if err = errors.Join(err, s.Close()); err != nil || next != last+1 {
			t.Fatalf("%d bytes: the next number is %d, want %d (%v)", n, next, last+1, err)
		}
	})
}

// A mark of autostart that is cut counts as none: domains are started that should be, at most once too often.
func TestAutostartMarkCutAtEveryByte(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	if err := s.SetAutostarted(); err != nil {
		t.Fatal(err)
	}
	cut(t, filepath.Join(p.run, "autostarted"), func(n int) {
		if done, err := s.Autostarted(); done || err != nil {
			t.Fatalf("%d bytes: done %t, %v", n, done, err)
		}
	})
}
