package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// status makes the record of the n-th domain, no field of which is empty.
func status(tb testing.TB, n int) store.Status {
	tb.Helper()
	return store.Status{
		UUID:       uuidOf(n),
		Generation: "6f1f1c3a-5e0f-4d3a-9a55-0d1f5b7c9e21",
		Definition: definition(tb, n, 1000),
		Revised:    definition(tb, n, 1500),
		Again:      definition(tb, n, 1200),
		ID:         uint32(n + 10),
		State:      davitv1.DomainState_DOMAIN_STATE_PAUSED,
		Reason:     davitv1.DomainReason_DOMAIN_REASON_PAUSED_USER,
		Since:      time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC),
		Exit: &davitv1.Exit{
			How: &davitv1.Exit_Signal{Signal: 9}, OomKilled: true, Time: timestamppb.New(time.Unix(5, 7)),
		},
		Reboots:       3,
		OOMKills:      1 << 40,
		StartDuration: 1234567 * time.Nanosecond,
		Paused:        true,
		LastError:     "start domain: no",
		Ending:        store.EndingCrash,
		Sequence:      7,
		Mark:          8,
		Owed:          []*davitv1.Event{{Uuid: uuidOf(n), Name: "domain", Kind: &davitv1.Event_Oom{Oom: &davitv1.OomEvent{Count: 2}}}},
		Pledge:        &store.Pledge{Etag: "1a2b", Autostart: true},
	}
}

// changed is another record of the same domain, with what may be empty left out.
func changed(tb testing.TB, n int) store.Status {
	tb.Helper()
	return store.Status{
		UUID:       uuidOf(n),
		Definition: definition(tb, n, 2000),
		State:      davitv1.DomainState_DOMAIN_STATE_SHUTOFF,
		Since:      time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC),
	}
}

func TestStatusesComeBack(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	if err := errors.Join(s.PutStatus(status(t, 2)), s.PutStatus(status(t, 1)), s.PutStatus(status(t, 3))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.PutStatus(changed(t, 2)), s.DeleteStatus(uuidOf(3)), s.DeleteStatus(uuidOf(3))); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	s = p.open(t)
	got, err := s.Statuses()
	if err != nil {
		t.Fatal(err)
	}
	same(t, []store.Status{status(t, 1), changed(t, 2)}, got)
}

func TestNumbersAreNeverUsedAgain(t *testing.T) {
	p := newPlace(t)
	want := uint32(0)
	for range 4 {
		s := p.open(t)
		for range 25 {
			want++
			if got, err := s.NextID(); err != nil || got != want {
				t.Fatalf("number is %d, %v, want %d", got, err, want)
			}
		}
		_ = s.Close()
	}
	// A damaged counter: no number of a domain that runs is given out.
	s := p.open(t)
	if err := s.PutStatus(status(t, 500)); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if err := os.WriteFile(filepath.Join(p.run, "id"), []byte("rubbish that is long"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	if got, err := s.NextID(); err != nil || got != 511 {
		t.Fatalf("number is %d, %v, want 511", got, err)
	}
	_ = s.Close()
	if got, err := p.open(t).NextID(); err != nil || got != 512 {
		t.Fatalf("number is %d, %v, want 512", got, err)
	}
}

// FuzzStatuses holds that a record's file never brings the daemon down.
func FuzzStatuses(f *testing.F) {
	p := newPlace(f)
	s := p.open(f)
	if err := s.PutStatus(status(f, 1)); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(p.run, "status", uuidOf(1)+".json")
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := s.Statuses()
		if err != nil || len(all) > 1 {
			t.Fatalf("statuses are %v, %v", all, err)
		}
		for _, st := range all {
			if err := s.PutStatus(st); err != nil {
				t.Fatalf("record that was read cannot be written: %v", err)
			}
		}
		aside, _ := filepath.Glob(path + ".damaged*")
		for _, path := range aside {
			_ = os.Remove(path)
		}
	})
}
