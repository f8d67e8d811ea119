package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/audit"
)

// left is a log whose daemon was killed: nothing is closed before the test ends.
func left(t *testing.T, o audit.LogOptions) *audit.Log {
	t.Helper()
	o.MaxFileBytes, o.MaxFiles = 1<<20, 4
	l, err := audit.OpenLog(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// The numbers of records that were lost are used by no others, whether the daemon ended or was killed, and however often: the
// hole stays in the log.
func TestNumbersOfLostRecordsAreNotUsedAgain(t *testing.T) {
	for _, killed := range []bool{false, true} {
		full := false
		o := audit.LogOptions{Dir: t.TempDir()}.WithWrite(func(file *os.File, p []byte) (int, error) {
			if full {
				return 0, syscall.ENOSPC
			}
			return file.Write(p)
		})
		next := uint64(1)
		for range 3 {
			l := left(t, o)
			for range 10 {
				full = next%10 > 2 || next%10 == 0 // of each ten all but the first two
				if got := l.Append(started("web")); got != next {
					t.Fatalf("killed %t: record %d has the number %d", killed, next, got)
				}
				next++
			}
			if killed {
				continue
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		full = false
		l := left(t, o)
		if got := l.Append(started("web")); got != next {
			t.Errorf("killed %t: the next record has the number %d, want %d", killed, got, next)
		}
		if got := numbers(read(t, reading(t, l), &davitv1.ReadAuditRequest{})); got != "1 2 11 12 21 22 31" {
			t.Errorf("killed %t: records %s", killed, got)
		}
	}
}

// When the host ended before the log did, the last records may be gone that others have read: their numbers are left out.
func TestNumbersAfterALossOfPower(t *testing.T) {
	dir := t.TempDir()
	l := left(t, audit.LogOptions{Dir: dir}.WithBoot("first"))
	l.Append(started("web"))
	if err := os.Truncate(filepath.Join(dir, "audit.log"), 0); err != nil { // it was in memory only
		t.Fatal(err)
	}
	again := left(t, audit.LogOptions{Dir: dir}.WithBoot("second"))
	if got := again.Append(started("web")); got < 1000 {
		t.Errorf("the next record has the number %d", got)
	}
	last := again.Append(started("web"))
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	// A log that has ended leaves nothing out.
	if got := left(t, audit.LogOptions{Dir: dir}.WithBoot("third")).Append(started("web")); got != last+1 {
		t.Errorf("after an end, the next record has the number %d, want %d", got, last+1)
	}
}

// Whatever is in the place of the file with the last number, the log is opened, and goes on after its records.
func TestStrangeMarks(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("7 open\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, place := range map[string]func(path string) error{
		"nothing": func(string) error { return nil },
		"empty":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"text":    func(path string) error { return os.WriteFile(path, []byte("seven and more\n"), 0o600) },
		"far":     func(path string) error { return os.WriteFile(path, []byte("18446744073709551615 ended\n"), 0o600) },
		"zeros":   func(path string) error { return os.WriteFile(path, make([]byte, 64), 0o600) },
		"link":    func(path string) error { return os.Symlink(victim, path) },
		"fifo":    func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder":  func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		l := openLog(t, audit.LogOptions{Dir: dir})
		l.Append(started("web"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "sequence")
		if err := errors.Join(os.Remove(path), place(path)); err != nil {
			t.Fatal(err)
		}
		again := left(t, audit.LogOptions{Dir: dir})
		if got := again.Append(started("web")); got != 2 {
			t.Errorf("%s: the next record has the number %d", name, got)
		}
		if err := again.Close(); err != nil {
			t.Errorf("%s: the log ends with %v", name, err)
		}
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "7 open\n" {
		t.Errorf("what a link leads to holds %q, %v", text, err)
	}
}

// While a disk takes all the time it likes for a file that is full, calls go on, and the files that wait for it have a bound.
func TestCallsDoNotWaitForTheDisk(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	slow, began := make(chan struct{}), make(chan struct{}, 10_000)
	waits := false
	o := audit.LogOptions{Dir: t.TempDir(), MaxFileBytes: 512, MaxFiles: 4, Logger: zap.New(core)}.WithSync(func(file *os.File) error {
		if waits {
			began <- struct{}{}
			<-slow
		}
		return file.Sync()
	})
	l := openLog(t, o)
	waits = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 { // each one or two make a file full
			l.Append(started("web"))
		}
	}()
	select {
	case <-done:
	case <-time.After(testenv.Scale(time.Minute)):
		t.Fatal("calls wait for the disk")
	}
	<-began
	if l.Lost() != 0 {
		t.Errorf("%d records are lost", l.Lost())
	}
	if logs.FilterMessageSnippet("the disk is too slow").Len() == 0 {
		t.Error("as many files as there were wait for the disk")
	}
	close(slow)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	list := read(t, reading(t, openLog(t, audit.LogOptions{Dir: o.Dir, MaxFileBytes: 512, MaxFiles: 4})), &davitv1.ReadAuditRequest{})
	if len(list) == 0 || list[len(list)-1].GetSequence() != 200 {
		t.Errorf("records %s", numbers(list))
	}
}
