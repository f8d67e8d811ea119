//go:build linux

package cli_test

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/cli"
	"github.com/davitd/davit/internal/pty"
	"github.com/davitd/davit/internal/testdaemon"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// seat is a user at a terminal who runs the program.
type seat struct {
	t        *testing.T
	user     *os.File
	terminal *os.File
	before   *unix.Termios
	editor   string // $EDITOR

	mu   sync.Mutex
	seen bytes.Buffer
}

func sit(t *testing.T) *seat {
	t.Helper()
	user, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &seat{t: t, user: user, terminal: terminal, before: mode(t, terminal)}
	go s.watch()
	t.Cleanup(func() {
		_ = terminal.Close()
		_ = user.Close()
	})
	return s
}

func mode(t *testing.T, f *os.File) *unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (s *seat) watch() {
	for p := make([]byte, 1024); ; {
		n, err := s.user.Read(p)
		s.mu.Lock()
		s.seen.Write(p[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *seat) screen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

// run runs the program on the terminal in the background.
func (s *seat) run(socket string, args ...string) <-chan int {
	code := make(chan int, 1)
	go func() {
		code <- cli.Main(args, cli.IO{
			In: s.terminal, Out: s.terminal, Err: s.terminal, Version: "0.1.0",
			Env: func(name string) string {
				return map[string]string{"DAVIT_DEFAULT_URI": socket, "NO_COLOR": "1", "EDITOR": s.editor}[name]
			},
		})
	}()
	return code
}

// expect waits until the screen shows a text, and clears it up to there.
func (s *seat) expect(text string) {
	s.t.Helper()
	s.expectIn(time.Minute, text)
}

// expectIn is expect with another patience. It gives what the screen showed before the text.
func (s *seat) expectIn(patience time.Duration, text string) (before string) {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		s.mu.Lock()
		i := strings.Index(s.seen.String(), text)
		if i >= 0 {
			before = string(s.seen.Next(i + len(text))[:i])
			s.mu.Unlock()
			return before
		}
		s.mu.Unlock()
	}
	s.t.Fatalf("the screen shows %q, want %q", s.screen(), text)
	return ""
}

func (s *seat) types(text string) {
	s.t.Helper()
	if _, err := s.user.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// leaves waits for the program to end and checks that the terminal is as it was.
func (s *seat) leaves(code <-chan int, want int) {
	s.t.Helper()
	select {
	case got := <-code:
		if got != want {
			s.t.Errorf("exit code %d, want %d; the screen shows %q", got, want, s.screen())
		}
	case <-time.After(time.Minute):
		s.t.Fatalf("the program does not end; the screen shows %q", s.screen())
	}
	if diff := cmp.Diff(s.before, mode(s.t, s.terminal)); diff != "" {
		s.t.Errorf("the terminal is not restored:\n%s", diff)
	}
}

// isRaw waits until the terminal is in raw mode.
func (s *seat) isRaw() {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if mode(s.t, s.terminal).Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) == 0 {
			return
		}
	}
	s.t.Fatal("the terminal is not in raw mode")
}

const echoXML = `<domain type='lxc'><name>echo</name><memory>65536</memory>
	<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>echo hello; cat</initarg></os>
	<devices><console type='pty'/></devices></domain>`

func echoDomain(t *testing.T) (*testdaemon.Daemon, *client.Client) {
	t.Helper()
	d := testdaemon.Start(t)
	c := d.Client()
	if _, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(echoXML)}); err != nil {
		t.Fatal(err)
	}
	return d, c
}

func TestConsole(t *testing.T) {
	d, _ := echoDomain(t)
	s := sit(t)
	code := s.run(d.Socket, "start", "echo", "--console")
	s.expect("Domain 'echo' started\r\nConnected to domain 'echo'\r\nEscape character is ^] (Ctrl + ])\r\nhello\r\n")
	s.isRaw()
	s.types("ping\n")
	s.expect("ping\r\nping\r\n") //nolint:dupword // the terminal echoes it, then the domain says it again
	s.types("\x03")              // goes to the domain, not to us
	s.types("more\n")
	s.expect("more\r\n")
	s.types("\x1d")
	s.leaves(code, 0)
	s.expect("\r\n\r\n")

	// What was written before is there at the next look. With force: the daemon may not have noticed yet that we left.
	code = s.run(d.Socket, "console", "echo", "-q", "--force")
	s.expect("hello\r\nping\r\nping\r\n") //nolint:dupword // the terminal echoes it, then the domain says it again
	s.types("unsent\x1d")
	s.leaves(code, 0)
}

func TestConsoleEndsWithTheDomain(t *testing.T) {
	d, c := echoDomain(t)
	s := sit(t)
	code := s.run(d.Socket, "start", "echo", "--console")
	s.expect("hello\r\n")
	if _, err := c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByName("echo")}); err != nil {
		t.Fatal(err)
	}
	s.leaves(code, 0)
	code = s.run(d.Socket, "console", "echo")
	s.expect("error: The domain is not running\r\n")
	s.leaves(code, 1)
}

func TestConsoleIsTaken(t *testing.T) {
	d, _ := echoDomain(t)
	first, second := sit(t), sit(t)
	code := first.run(d.Socket, "start", "echo", "--console")
	first.expect("hello\r\n")
	busy := second.run(d.Socket, "console", "echo")
	second.expect("error: resource busy: ")
	second.expect("hint: 'console --force' takes it from them\r\n")
	second.leaves(busy, 1)
	taker := second.run(d.Socket, "console", "echo", "--force")
	second.expect("hello\r\n")
	first.expect("error: console was taken by another client\r\n")
	first.leaves(code, 1)
	second.types("\x1d")
	second.leaves(taker, 0)
}

func TestConsoleOutlivesTheDaemon(t *testing.T) {
	d, _ := echoDomain(t)
	s := sit(t)
	code := s.run(d.Socket, "start", "echo", "--console")
	s.expect("hello\r\n")
	d.Restart()
	s.types("ping\n")
	s.expect("ping\r\nping\r\n") //nolint:dupword // the terminal echoes it, then the domain says it again
	s.types("\x1d")
	s.leaves(code, 0)
}

// TestSignalRestoresTheTerminal ends a console by a signal to the program.
func TestSignalRestoresTheTerminal(t *testing.T) {
	d, _ := echoDomain(t)
	s := sit(t)
	code := s.run(d.Socket, "start", "echo", "--console")
	s.expect("hello\r\n")
	s.isRaw()
	if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.leaves(code, 0)
}

func TestExecOnTerminal(t *testing.T) {
	d, c := echoDomain(t)
	if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("echo")}); err != nil {
		t.Fatal(err)
	}
	s := sit(t)
	code := s.run(d.Socket, "exec", "-it", "echo", "sh", "-c", "tty; cat; exit 5")
	s.expect("/dev/pts/0\r\n")
	s.isRaw()
	s.types("typed\r")
	s.expect("typed\r\ntyped\r\n") //nolint:dupword // the terminal echoes it, then the domain says it again
	s.types("\x04")
	s.leaves(code, 5)
}

// TestTerminalIsNotWrittenTo keeps what a domain made up from acting on the terminal.
func TestTerminalIsNotWrittenTo(t *testing.T) {
	d, c := echoDomain(t)
	if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("echo")}); err != nil {
		t.Fatal(err)
	}
	s := sit(t)
	code := s.run(d.Socket, "exec", "echo", "echo", "\x1b]0;owned\x07é")
	s.expect(`\x1b]0;owned\x07é` + "\r\n")
	s.leaves(code, 0)
	code = s.run(d.Socket, "domid", "\x1b[31mred")
	s.expect(`error: failed to get domain '\x1b[31mred'`)
	s.leaves(code, 1)
	// With a terminal of its own the command may do what it likes with it.
	code = s.run(d.Socket, "exec", "-t", "echo", "echo", "\x1b[31mred")
	s.expect("\x1b[31mred\r\n")
	s.leaves(code, 0)
}
