package consolelog_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/consolelog"
)

func openRaw(tb testing.TB, dir string, files int) *consolelog.Log {
	tb.Helper()
	return consolelog.Open(consolelog.Options{
		Folder: openDir(tb, dir), Name: "web.serial", Raw: true, MaxBytes: leastBytes, MaxFiles: files,
		Fault: func(err error) { tb.Log(err) },
	})
}

// A file of a console has its bytes, whatever they are, goes on where it was left, and is rotated within its bounds; files of other
// numbers are somebody else's.
func TestRaw(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"web.serial": "half a line", "web.serial.7": "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.NewChaCha8([32]byte{1})
	output := make([]byte, leastBytes)
	_, _ = random.Read(output)
	l := openRaw(t, dir, 3)
	for rest := output; len(rest) > 0; {
		n := min(len(rest), 1000)
		l.Write(rest[:n])
		rest = rest[n:]
	}
	l.End()
	l.Close()
	l = openRaw(t, dir, 3)
	l.Write([]byte("the next start"))
	l.Close()
	got := read(t, dir, "web.serial.1") + read(t, dir, "web.serial")
	if want := "half a line" + string(output) + "the next start"; got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	if n := len(read(t, dir, "web.serial.1")); n != leastBytes {
		t.Errorf("the full file has %d bytes, want %d", n, leastBytes)
	}
	if read(t, dir, "web.serial.7") != "other" {
		t.Error("a file of another was removed")
	}
}

// What cannot be written at once is held up to a bound; what is lost is told in its place.
func TestRawLoses(t *testing.T) {
	dir := t.TempDir()
	obstacle := filepath.Join(dir, "web.serial")
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 10)
	l := consolelog.Open(consolelog.Options{
		Folder: openDir(t, dir), Name: "web.serial", Raw: true, Fault: func(err error) { failed <- err },
	})
	l.Write([]byte("first"))
	if err := <-failed; !strings.Contains(err.Error(), "web.serial") {
		t.Error(err)
	}
	l.Write(bytes.Repeat([]byte{'x'}, consolelog.Capacity-5))
	l.Write([]byte("dropped"))
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	waitFor(t, dir, "web.serial", "[davit: lost 7 bytes]")
	l.Write([]byte("last"))
	l.Close()
	text := read(t, dir, "web.serial")
	if !strings.HasPrefix(text, "firstxxx") || !strings.HasSuffix(text, "xxx\r\n[davit: lost 7 bytes]\r\nlast") {
		t.Errorf("the file has %d bytes and ends in %q", len(text), text[max(0, len(text)-60):])
	}
}

// A link in the place of the file is not followed.
func TestRawLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "web.serial")); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 10)
	l := consolelog.Open(consolelog.Options{
		Folder: openDir(t, dir), Name: "web.serial", Raw: true, Fault: func(err error) { failed <- err },
	})
	l.Write([]byte("x"))
	if err := <-failed; !errors.Is(err, unix.ELOOP) {
		t.Error(err)
	}
	l.Close()
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("behind the link: %v", err)
	}
}
