package events_test

import (
	"os"
	"testing"
	"time"

	"github.com/davitd/davit/server/events"
)

// BenchmarkAppend is what an event costs who appends it.
func BenchmarkAppend(b *testing.B) {
	j := open(b, b.TempDir(), events.Options{})
	ev, from := event(1), events.Origin{Generation: uuidOf(1), Sequence: 1}
	for b.Loop() {
		if _, err := j.Append(ev, from); err != nil {
			b.Fatal(err)
		}
	}
}

// synced is a segment's file that is on disk with each write.
type synced struct{ *os.File }

func (s synced) WriteAt(p []byte, at int64) (int, error) {
	n, err := s.File.WriteAt(p, at)
	if err == nil {
		err = s.Sync()
	}
	return n, err
}

// BenchmarkAppendSynced is what it would cost if Append waited for the disk.
func BenchmarkAppendSynced(b *testing.B) {
	j := open(b, b.TempDir(), events.Options{}.WithStorage(func(f *os.File) events.Storage { return synced{f} }))
	ev, from := event(1), events.Origin{Generation: uuidOf(1), Sequence: 1}
	for b.Loop() {
		if _, err := j.Append(ev, from); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBroadcast is how long 100 watchers take to get an event.
func BenchmarkBroadcast(b *testing.B) {
	j := open(b, b.TempDir(), events.Options{})
	got := make(chan struct{}, 100)
	for range 100 {
		w := watch(b, j, events.WatchOptions{})
		go func() {
			for {
				if _, err := w.Next(b.Context()); err != nil {
					return
				}
				got <- struct{}{}
			}
		}()
	}
	time.Sleep(10 * time.Millisecond)
	for b.Loop() {
		if _, err := j.Append(event(1), events.Origin{}); err != nil {
			b.Fatal(err)
		}
		for range 100 {
			<-got
		}
	}
}

// BenchmarkOpen is how long a full journal of the default size takes to open.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	j := open(b, dir, events.Options{})
	fill(b, j, 1, events.DefaultMaxEvents)
	j.Kill()
	for b.Loop() {
		j, err := events.Open(dir, events.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		j.Kill()
		b.StartTimer()
	}
}
