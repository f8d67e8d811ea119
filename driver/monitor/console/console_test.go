package console_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/console"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const patience = time.Minute

// guest is what a container has of a console: the terminal's side of a pty.
type guest struct{ master, terminal *os.File }

// newGuest makes a raw terminal, so that what is written is what is read.
func newGuest(t *testing.T) *guest {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	terminal := os.NewFile(fd, "terminal")
	t.Cleanup(func() { _ = terminal.Close() })
	termios, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	termios.Iflag, termios.Oflag, termios.Lflag = 0, 0, 0
	termios.Cc[unix.VMIN], termios.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(fd), unix.TCSETS, termios); err != nil {
		t.Fatal(err)
	}
	return &guest{master, terminal}
}

func (g *guest) say(t *testing.T, text string) {
	t.Helper()
	if _, err := g.terminal.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// end is the death of init: every descriptor of the guest goes.
func (g *guest) end() { _ = g.terminal.Close() }

func newConsole(t *testing.T, scrollback uint32) *console.Console {
	t.Helper()
	c, err := console.New("console0", scrollback, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func attach(t *testing.T, c *console.Console) *guest {
	t.Helper()
	g := newGuest(t)
	if err := c.Attach(g.master); err != nil {
		t.Fatal(err)
	}
	return g
}

func open(t *testing.T, c *console.Console, o console.Options) *console.Attachment {
	t.Helper()
	a, err := c.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// readUntil reads until the output ends with a text.
func readUntil(t *testing.T, a *console.Attachment, text string) string {
	t.Helper()
	var got strings.Builder
	expect(t, func() error {
		buffer := make([]byte, 100)
		for !strings.HasSuffix(got.String(), text) {
			n, _, err := a.Read(buffer)
			if err != nil {
				return fmt.Errorf("after %q: %w", got.String(), err)
			}
			got.Write(buffer[:n])
		}
		return nil
	})
	return got.String()
}

// readAll reads to the end, and gives the error that was it.
func readAll(t *testing.T, a *console.Attachment) (text string, end error) {
	t.Helper()
	var got bytes.Buffer
	expect(t, func() error {
		buffer := make([]byte, 100)
		for {
			n, _, err := a.Read(buffer)
			got.Write(buffer[:n])
			if err != nil {
				end = err
				break
			}
		}
		return nil //nolint:nilerr // the end is what was waited for
	})
	return got.String(), end
}

// expect runs something that must not take for ever.
func expect(t *testing.T, run func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("it took too long")
	}
}

var (
	fromOldest = console.Options{ReadOnly: true, Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST}
	follow     = console.Options{ReadOnly: true, Follow: true, Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST}
)

// Any number read the same; what the guest wrote before is there for who asks.
func TestReaders(t *testing.T) {
	c := newConsole(t, 0)
	g := attach(t, c)
	first := open(t, c, console.Options{ReadOnly: true})
	g.say(t, "hello ")
	readUntil(t, first, "hello ")
	second, third := open(t, c, fromOldest), open(t, c, console.Options{ReadOnly: true})
	fourth := open(t, c, console.Options{
		ReadOnly: true, Start: monitorv1.ConsoleStart_CONSOLE_START_OFFSET, Offset: 3,
	})
	if third.Offset() != 6 || fourth.Offset() != 3 {
		t.Errorf("readers begin at %d and %d, want 6 and 3", third.Offset(), fourth.Offset())
	}
	g.say(t, "world")
	for _, test := range []struct {
		reader *console.Attachment
		want   string
	}{{first, "world"}, {second, "hello world"}, {third, "world"}, {fourth, "lo world"}} {
		if got := readUntil(t, test.reader, "world"); got != test.want {
			t.Errorf("reads %q, want %q", got, test.want)
		}
	}
}

// What init said last is read before the end is told, however much it was, and a reader that follows goes on with the
// next run, under offsets that go on.
func TestDrainAndFollow(t *testing.T) {
	c := newConsole(t, 0)
	g := attach(t, c)
	once, follower := open(t, c, fromOldest), open(t, c, follow)
	last := strings.Repeat("x", 3000) + "bye"
	g.say(t, last)
	g.end()
	c.Detach()
	if got, end := readAll(t, once); got != last || !errors.Is(end, io.EOF) {
		t.Errorf("read %d bytes and %v, want %d and EOF", len(got), end, len(last))
	}
	g = attach(t, c)
	g.say(t, "again")
	if got := readUntil(t, follower, "again"); got != last+"again" {
		t.Errorf("follower read %d bytes, want %d", len(got), len(last)+5)
	}
	if follower.Offset() != uint64(len(last)+5) {
		t.Errorf("follower is at %d, want %d", follower.Offset(), len(last)+5)
	}
	if got, _ := readAll(t, once); got != "" {
		t.Errorf("who does not follow read %q of the next run", got)
	}
	g.end()
	c.Detach()
	c.End()
	if _, end := readAll(t, follower); !errors.Is(end, io.EOF) {
		t.Errorf("follower ended with %v, want EOF", end)
	}
	if got, end := readAll(t, open(t, c, fromOldest)); got != last+"again" || !errors.Is(end, io.EOF) {
		t.Errorf("who comes late read %d bytes and %v", len(got), end)
	}
}

// The guest closes its terminal and opens it again, as getty does; the console does not take that for an end.
func TestReopen(t *testing.T) {
	c := newConsole(t, 0)
	g := attach(t, c)
	name := fmt.Sprintf("/dev/pts/%d", ptsNumber(t, g.master))
	reader := open(t, c, fromOldest)
	for i := range 20 {
		g.say(t, fmt.Sprint(i, "."))
		_ = g.terminal.Close()
		terminal, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		g.terminal = terminal
	}
	readUntil(t, reader, "19.")
	g.end()
	c.Detach()
}

func ptsNumber(t *testing.T, master *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// One writes. Another is refused, unless it takes the console by force; then the first is told, also while it waits for a
// guest that does not read.
func TestOneWriter(t *testing.T) {
	c := newConsole(t, 0)
	g := attach(t, c)
	first := open(t, c, console.Options{})
	_, err := c.Open(console.Options{})
	if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_BUSY {
		t.Errorf("second writer: %v, want busy", err)
	}
	stuck := make(chan error, 1)
	go func() {
		for {
			if err := first.Write(make([]byte, 64<<10)); err != nil {
				stuck <- err
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond) // so that it is likely to wait in the middle; the law holds either way
	second := open(t, c, console.Options{Force: true})
	expect(t, func() error {
		if err := <-stuck; !errors.Is(err, console.ErrTaken) {
			return fmt.Errorf("first writer's write: %w, want taken", err)
		}
		return nil
	})
	if _, end := readAll(t, first); !errors.Is(end, console.ErrTaken) {
		t.Errorf("first writer's reading ended with %v, want taken", end)
	}
	// The second writes once the guest reads.
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer, seen := make([]byte, 4096), ""
		for !strings.HasSuffix(seen, "mine\n") {
			n, err := g.terminal.Read(buffer)
			if err != nil {
				t.Error(err)
				return
			}
			seen = string(buffer[:n])
		}
	}()
	if err := second.Write([]byte("mine\n")); err != nil {
		t.Error(err)
	}
	expect(t, func() error { <-done; return nil })
	second.Close()
	open(t, c, console.Options{}) // free again
	g.end()
	c.Detach()
}

// A reader neither writes nor resizes.
func TestReadOnly(t *testing.T) {
	a := open(t, newConsole(t, 0), fromOldest)
	for name, err := range map[string]error{"write": a.Write([]byte("x")), "resize": a.Resize(1, 1)} {
		if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

// The size of the terminal is kept over a restart.
func TestResize(t *testing.T) {
	c := newConsole(t, 0)
	g := attach(t, c)
	if err := open(t, c, console.Options{Follow: true}).Resize(33, 101); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		size, err := unix.IoctlGetWinsize(int(g.terminal.Fd()), unix.TIOCGWINSZ)
		if err != nil || size.Row != 33 || size.Col != 101 {
			t.Errorf("size is %v, %v, want 33 rows of 101", size, err)
		}
		g.end()
		c.Detach()
		g = attach(t, c)
	}
	g.end()
	c.Detach()
}

// A guest that floods its console never waits, a reader that is too slow finds a jump in the offsets and then the newest
// bytes, and the console takes no more memory than it keeps.
func TestFlood(t *testing.T) {
	const total, scrollback = 32 << 20, 64 << 10
	c := newConsole(t, scrollback)
	g := attach(t, c)
	slow := open(t, c, fromOldest)
	block := make([]byte, 32<<10)
	expect(t, func() error {
		for sent := 0; sent < total; sent += len(block) {
			for i := range block {
				block[i] = byte((sent + i) >> 8)
			}
			if _, err := g.terminal.Write(block); err != nil {
				return err
			}
		}
		return nil
	})
	g.end()
	c.Detach()
	buffer := make([]byte, 8<<10)
	offset, read := uint64(0), 0
	for {
		n, at, err := slow.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if read > 0 && at != offset {
			t.Errorf("second jump, from %d to %d", offset, at)
		}
		for i := range n {
			if want := byte((at + uint64(i)) >> 8); buffer[i] != want {
				t.Fatalf("byte %d is %d, want %d", at+uint64(i), buffer[i], want)
			}
		}
		offset, read = at+uint64(n), read+n
	}
	if offset != total || read != scrollback {
		t.Errorf("read %d bytes up to offset %d, want %d up to %d", read, offset, scrollback, total)
	}
}

// A console cannot be told to keep more than there is reason for.
func TestScrollbackLimit(t *testing.T) {
	if _, err := console.New("console0", console.MaxScrollback+1, nil); err == nil {
		t.Error("a console of more than the limit was made")
	}
}

// A console that another began goes on at its offset, and tells the next one before anybody reads what leads to it; one whose terminal is
// lost cannot be opened until there is another.
func TestResume(t *testing.T) {
	c := newConsole(t, 0)
	var marked atomic.Uint64
	c.Mark(marked.Store)
	c.Resume(1000)
	c.Lose()
	if _, err := c.Open(console.Options{ReadOnly: true}); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("opened a console that is lost: %v", err)
	}
	g := attach(t, c)
	a := open(t, c, console.Options{ReadOnly: true, Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST})
	if a.Offset() != 1000 {
		t.Errorf("it goes on at %d, want 1000", a.Offset())
	}
	g.say(t, "hello")
	if got := readUntil(t, a, "hello"); got != "hello" || marked.Load() != 1005 || a.Offset() != 1005 {
		t.Errorf("%q to %d, marked %d", got, a.Offset(), marked.Load())
	}
}
