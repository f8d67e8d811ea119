package events_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// killed makes a journal of n events, ended by a kill, and gives its folder and epoch.
func killed(t *testing.T, n int, o events.Options) (dir, epoch string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "events")
	j := open(t, dir, o)
	fill(t, j, 1, n)
	epoch = j.Newest().GetEpoch()
	j.Kill()
	return dir, epoch
}

// A daemon that is killed within a write leaves some first part of the record. Whichever part that is, the journal goes
// on, in its epoch, with the number that was not told.
func TestTornTailAtEveryByte(t *testing.T) {
	dir, epoch := killed(t, 9, events.Options{})
	path := segments(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	j := open(t, dir, events.Options{})
	fill(t, j, 10, 10)
	j.Kill()
	longer, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(longer, whole) {
		t.Fatal("appending changed what was there")
	}
	for size := len(whole); size <= len(longer); size++ {
		want := 9
		if size == len(longer) {
			want = 10
		}
		if err := os.WriteFile(path, longer[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := events.Open(dir, events.Options{})
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", size, len(longer), err)
		}
		if at := j.Newest(); at.GetEpoch() != epoch || at.GetSequence() != uint64(want) {
			t.Fatalf("cut at %d of %d: newest is %v, want %d", size, len(longer), at, want)
		}
		fill(t, j, want+1, want+2)
		collect(t, watch(t, j, after(j, 0)), 1, want+2)
		j.Kill()
	}
}

// Whatever single bit of a file changes, in header, origins, length, checksum or event, the journal says so by a new
// epoch: no event is told that was not, or told under another's number.
func TestFlippedBitsBeginAnEpoch(t *testing.T) {
	dir, epoch := killed(t, 6, events.Options{})
	path := segments(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1 << (at % 8)
		work := filepath.Join(t.TempDir(), "events")
		if err := os.Mkdir(work, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, filepath.Base(path)), flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := events.Open(work, events.Options{})
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if now := j.Newest(); now.GetEpoch() == epoch || now.GetSequence() != 0 {
			t.Fatalf("byte %d of %d changed: newest is %v", at, len(whole), now)
		}
		kept, err := os.ReadFile(filepath.Join(work, filepath.Base(path)+".old"))
		if err != nil || !bytes.Equal(kept, flipped) {
			t.Fatalf("byte %d: the damaged file was not kept: %v", at, err)
		}
		fill(t, j, 1, 2)
		j.Kill()
	}
}

// What was told of a running domain is still known when the history is not.
func TestOriginsOutliveDamage(t *testing.T) {
	o := events.Options{MaxEvents: events.MinEvents}
	dir, epoch := killed(t, 60, o)
	paths := segments(t, dir)
	middle := paths[len(paths)/2]
	data, err := os.ReadFile(middle)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-30] ^= 0x10
	if err := os.WriteFile(middle, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and over one more restart
		j := open(t, dir, o)
		if j.Newest().GetEpoch() == epoch {
			t.Fatal("the epoch goes on")
		}
		for n := 56; n <= 60; n++ {
			want := events.Origin{Generation: "gen-" + uuidOf(n%5), Sequence: uint64(n)}
			if got, _ := j.Origin(uuidOf(n % 5)); got != want {
				t.Errorf("origin is %v, want %v", got, want)
			}
		}
		j.Kill()
	}
}

func TestMissingSegmentBeginsAnEpoch(t *testing.T) {
	o := events.Options{MaxEvents: events.MinEvents}
	dir, epoch := killed(t, 60, o)
	if err := os.Remove(segments(t, dir)[3]); err != nil {
		t.Fatal(err)
	}
	if j := open(t, dir, o); j.Newest().GetEpoch() == epoch {
		t.Error("the epoch goes on")
	}
}

func TestHostDeathBeginsAnEpoch(t *testing.T) {
	boot := func(id string) events.Options { return events.Options{}.WithBoot(id) }
	dir, epoch := killed(t, 5, boot("boot-1"))
	j := open(t, dir, boot("boot-1"))
	if j.Newest().GetEpoch() != epoch {
		t.Fatal("the epoch ended with the daemon")
	}
	position := after(j, 5)
	j.Kill()

	j = open(t, dir, boot("boot-2"))
	if j.Newest().GetEpoch() == epoch {
		t.Fatal("the epoch outlived the host")
	}
	_, err := j.Watch(context.Background(), position)
	_ = refused(t, err, davitv1.ErrorReason_ERROR_REASON_EVENT_HISTORY_TRUNCATED)
	epoch = j.Newest().GetEpoch()
	fill(t, j, 1, 4)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// Closed before the reboot: it goes on.
	j = open(t, dir, boot("boot-3"))
	if at := j.Newest(); at.GetEpoch() != epoch || at.GetSequence() != 4 {
		t.Errorf("newest is %v, want 4 of %s", at, epoch)
	}
}

// A daemon that is killed while it sets the segments aside must not leave a journal that uses a number again.
func TestKilledWhileEpochBegins(t *testing.T) {
	o := events.Options{MaxEvents: events.MinEvents}.WithBoot("boot-1")
	dir, epoch := killed(t, 60, o)
	paths := segments(t, dir)
	for n := range paths {
		if err := os.Rename(paths[n], paths[n]+".old"); err != nil {
			t.Fatal(err)
		}
		j := open(t, copyDir(t, dir), o)
		if at := j.Newest(); at.GetEpoch() == epoch && at.GetSequence() != 60 {
			t.Fatalf("after %d of %d segments: newest is %v", n+1, len(paths), at)
		}
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	dir, epoch := killed(t, 3, events.Options{})
	if err := os.WriteFile(filepath.Join(dir, "new.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := open(t, dir, events.Options{})
	if j.Newest().GetEpoch() != epoch {
		t.Error("the epoch ended")
	}
	if _, err := os.Stat(filepath.Join(dir, "new.tmp")); !os.IsNotExist(err) {
		t.Errorf("leftover is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Errorf("another's file is gone: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "events")
	j, err := events.Open(dir, events.Options{})
	if err != nil {
		f.Fatal(err)
	}
	fill(f, j, 1, 5)
	j.Kill()
	path := segments(f, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:events.SegmentHead])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		work := t.TempDir()
		if err := os.WriteFile(filepath.Join(work, filepath.Base(path)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := events.Open(work, events.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Kill()
		at, err := j.Append(event(1), events.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		w := watch(t, j, events.WatchOptions{Oldest: true})
		for n := j.Oldest().GetSequence(); n <= at.GetSequence(); n++ {
			if _, err := w.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Behind right checksums, too, nothing brings the journal down: whoever can write them can write anything.
func FuzzPayloads(f *testing.F) {
	origins, ev, err := events.Payloads(event(1), events.Origin{Generation: "g", Sequence: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(origins, ev)
	f.Add([]byte("o\x00"), ev)
	f.Fuzz(func(t *testing.T, origins, payload []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "00000000000000000001.journal")
		if err := os.WriteFile(path, events.Segment(origins, payload), 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := events.Open(dir, events.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Kill()
		if _, err := j.Append(event(2), events.Origin{}); err != nil {
			t.Fatal(err)
		}
		w := watch(t, j, events.WatchOptions{Oldest: true})
		for n := j.Oldest().GetSequence(); n <= j.Newest().GetSequence(); n++ {
			if _, err := w.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
