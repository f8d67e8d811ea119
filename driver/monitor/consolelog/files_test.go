package consolelog_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/consolelog"
	davitfs "github.com/davitd/davit/fs"
	"github.com/davitd/davit/internal/testenv"
)

const leastBytes = 64 << 10

// openDir opens the folder of a log.
func openDir(tb testing.TB, dir string) *os.File {
	tb.Helper()
	f, err := os.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func openLog(tb testing.TB, dir string, files int) *consolelog.Log {
	tb.Helper()
	return consolelog.Open(consolelog.Options{
		Folder: openDir(tb, dir), MaxBytes: leastBytes, MaxFiles: files, Fault: func(err error) { tb.Log(err) },
	})
}

// read is a file of a log; "" if there is none.
func read(tb testing.TB, dir, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
	return string(text)
}

// waitFor waits until a file has a text.
func waitFor(tb testing.TB, dir, name, text string) {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); !strings.Contains(read(tb, dir, name), text); {
		if time.Now().After(end) {
			tb.Fatalf("%s has no %q", name, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// number is a line that says its number, and is 1000 bytes long in the file.
func number(n int) string {
	return fmt.Sprintf("%06d%s\n", n, strings.Repeat("x", 1000-6-1-30-len(" console0 F ")))
}

// Files are as large as they may be and no larger, as many as there may be and no more, and hold whole lines in order.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 3)
	s := l.Source("console0")
	const lines = 500
	for i := range lines {
		s.Write([]byte(number(i)))
	}
	l.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > leastBytes || info.Mode() != 0o600 {
			t.Errorf("%s has %d bytes and mode %v", e.Name(), info.Size(), info.Mode())
		}
	}
	if diff := cmp.Diff([]string{"console.log", "console.log.1", "console.log.2"}, names); diff != "" {
		t.Fatalf("files (-want +got):\n%s", diff)
	}
	all := bare(t, read(t, dir, "console.log.2")+read(t, dir, "console.log.1")+read(t, dir, "console.log"))
	if len(all) < 2*leastBytes/1000 {
		t.Errorf("%d lines are left", len(all))
	}
	for i, line := range all {
		if want := "console0 F " + strings.TrimSuffix(number(lines-len(all)+i), "\n"); line != want {
			t.Fatalf("line %d is %q, want %q", i, line, want)
		}
	}
}

// A container that starts again adds to what is there. Half a line that was left is ended; files that are too many go.
func TestAppend(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"console.log.1", "console.log.2", "console.log.3"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "console.log"), []byte("2026-01-01T00:00:00.000000000Z init F sta"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		l := openLog(t, dir, 2)
		l.Note(consolelog.Init, text)
		l.Close()
	}
	if diff := cmp.Diff([]string{"init F sta", "init F one", "init F two"}, bare(t, read(t, dir, "console.log"))); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if read(t, dir, "console.log.1") == "" || read(t, dir, "console.log.2")+read(t, dir, "console.log.3") != "" {
		t.Error("there are not 2 files")
	}
}

// A single file is begun anew when it is full.
func TestOneFile(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 1)
	s := l.Source("console0")
	for i := range 100 {
		s.Write([]byte(number(i)))
	}
	l.Close()
	all := bare(t, read(t, dir, "console.log"))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || len(all) == 0 || len(all) > 65 {
		t.Errorf("%d lines in %d files, %v", len(all), len(entries), err)
	}
}

// A file that is removed is made again with the next line; a folder that is removed takes lines with it and no more.
func TestRemoved(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 3)
	l.Note(consolelog.Init, "one")
	waitFor(t, dir, "console.log", "one")
	if err := os.Remove(filepath.Join(dir, "console.log")); err != nil {
		t.Fatal(err)
	}
	l.Note(consolelog.Init, "two")
	waitFor(t, dir, "console.log", "two")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		l.Source("console0").Write([]byte(number(0)))
	}
	l.Close()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
}

// While a rotation fails the file does not grow, and once it can be done the log goes on.
func TestRotationFails(t *testing.T) {
	dir := t.TempDir()
	obstacle := filepath.Join(dir, "console.log.1", "x")
	if err := os.MkdirAll(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, dir, 2)
	s := l.Source("console0")
	for i := range 100 {
		s.Write([]byte(number(i)))
	}
	waitFor(t, dir, "console.log", "000060x")
	if n := len(read(t, dir, "console.log")); n > leastBytes {
		t.Errorf("the file has %d bytes", n)
	}
	if err := errors.Join(os.Remove(obstacle), os.Remove(filepath.Dir(obstacle))); err != nil {
		t.Fatal(err)
	}
	waitFor(t, dir, "console.log", "000099x")
	l.Close()
	if n := len(bare(t, read(t, dir, "console.log.1")+read(t, dir, "console.log"))); n != 100 {
		t.Errorf("%d lines, want 100", n)
	}
}

// What is no file is not written to, and holds up nobody.
func TestNoFile(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink(filepath.Join(filepath.Dir(path), "elsewhere"), path) },
		"fifo": func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := put(filepath.Join(dir, "console.log")); err != nil {
				t.Fatal(err)
			}
			failed := make(chan error, 1)
			l := consolelog.Open(consolelog.Options{Folder: openDir(t, dir), Fault: func(err error) { failed <- err }})
			l.Note(consolelog.Init, "x")
			if err := <-failed; !strings.Contains(err.Error(), "console.log") {
				t.Error(err)
			}
			l.Close()
			if _, err := os.Stat(filepath.Join(dir, "elsewhere")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("behind the link: %v", err)
			}
		})
	}
}

// A disk that is full stops in the middle of a line; when there is room again that line goes on, and all that were held.
func TestFullDisk(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	mount, err := davitfs.Tmpfs(davitfs.TmpfsOptions{SizeBytes: 128 << 10, Mode: 0o700})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mount.Close() }()
	dir := davitfs.SelfPath(mount)
	ballast := filepath.Join(dir, "ballast")
	if err = os.WriteFile(ballast, make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	full := make(chan error, 10)
	l := consolelog.Open(consolelog.Options{Folder: openDir(t, dir), Fault: func(err error) { full <- err }})
	s := l.Source("console0")
	for i := range 90 {
		s.Write([]byte(number(i)))
	}
	if err = <-full; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v, want that the disk is full", err)
	}
	if err = os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitFor(t, dir, "console.log", "000089x")
	l.Close()
	if n := len(bare(t, read(t, dir, "console.log"))); n != 90 {
		t.Errorf("%d lines, want 90", n)
	}
}
