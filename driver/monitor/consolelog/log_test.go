package consolelog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davitd/davit/driver/monitor/consolelog"
)

// A disk that hangs holds up nobody. What did not fit is told by its number of bytes, where it is missing.
func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		hang := make(chan struct{})
		var once sync.Once
		l := consolelog.OpenOn(func(lines []byte) (int, error) {
			once.Do(func() { <-hang })
			return p.write(lines)
		}, nil)
		s := l.Source("console0")
		begun := time.Now()
		const lines = 30000
		for i := range lines {
			s.Write(fmt.Appendf(nil, "%07d %s\n", i, strings.Repeat("x", 91)))
		}
		l.Note(consolelog.Init, "ended") // there is room for notes yet
		if time.Since(begun) != 0 {
			t.Error("who writes waits")
		}
		close(hang)
		synctest.Wait()
		s.Write([]byte("again\n"))
		l.Close()
		all := bare(t, p.String())
		if note := all[len(all)-2]; note != "init F ended" {
			t.Fatalf("the note is %q", note)
		}
		all = slices.Delete(all, len(all)-2, len(all)-1)
		lost := 0
		if n, err := fmt.Sscanf(all[len(all)-2], "davit F lost %d bytes", &lost); n != 1 || err != nil || all[len(all)-1] != "console0 F again" {
			t.Fatalf("the last lines are %q", all[len(all)-2:])
		}
		if told := (len(all) - 2) * 100; told+lost != lines*100 {
			t.Errorf("%d bytes are told, %d lost, of %d", told, lost, lines*100)
		}
		if held := len(p.String()); held > consolelog.Capacity+200 || held < consolelog.Capacity/2 {
			t.Errorf("%d bytes were held, of %d", held, consolelog.Capacity)
		}
	})
}

// A disk that refuses is tried again, less and less often, from where it stopped; the fault is told once.
func TestRefusingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		var tries []time.Duration
		begun, faults := time.Now(), 0
		l := consolelog.OpenOn(func(lines []byte) (int, error) {
			tries = append(tries, time.Since(begun))
			if time.Since(begun) < time.Minute {
				n, _ := p.write(lines[:1])
				return n, errors.New("no room")
			}
			return p.write(lines)
		}, func(error) { faults++ })
		l.Note(consolelog.Init, "a")
		for range 60 {
			time.Sleep(time.Second)
			l.Note(consolelog.Init, "b")
		}
		time.Sleep(20 * time.Second)
		l.Close()
		if n := len(bare(t, p.String())); n != 61 {
			t.Errorf("%d lines, want 61", n)
		}
		if faults != 1 || len(tries) > 20 {
			t.Errorf("%d faults were told, it was tried after %v", faults, tries)
		}
	})
}

// The end of a log waits for a moment, and no longer, for a disk that hangs, and not at all for one that refuses.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		l := consolelog.OpenOn(func([]byte) (int, error) { <-hang; return 0, errors.New("gone") }, nil)
		l.Note(consolelog.Init, "a")
		begun := time.Now()
		l.Close()
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it took %v", took)
		}
		close(hang)
		l = consolelog.OpenOn(func([]byte) (int, error) { return 0, errors.New("no room") }, nil)
		for range 10 {
			l.Note(consolelog.Init, "a")
			time.Sleep(time.Second)
		}
		begun = time.Now()
		l.Close()
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// The usual line costs its place in the buffer and nothing else.
func BenchmarkWrite(b *testing.B) {
	l := consolelog.OpenOn(func(lines []byte) (int, error) { return len(lines), nil }, nil)
	defer l.Close()
	s := l.Source("console0")
	block := []byte(strings.Repeat(strings.Repeat("x", 78)+"\r\n", 50))
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		s.Write(block)
	}
}
