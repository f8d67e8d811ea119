//go:build linux

package cli_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/cli"
	"github.com/davitd/davit/internal/pty"
	"github.com/davitd/davit/internal/testdaemon"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// impatient takes back that every command waits longer than a user would: what it shows must not depend on how busy the host is.
var impatient func()

func TestMain(m *testing.M) {
	impatient = cli.BePatient(time.Minute)
	testenv.Main(m)
}

// desk is a person at a terminal of their own who runs the real program.
type desk struct {
	t      *testing.T
	user   *os.File
	screen *vt
	cmd    *exec.Cmd
	ended  chan struct{}
}

// sitDown starts the program on a new terminal, as the leader of its session.
func sitDown(t *testing.T, env []string, args ...string) *desk {
	t.Helper()
	env = append([]string{"TERM=xterm", "PATH=" + os.Getenv("PATH")}, env...)
	return sitAt(t, 24, 80, env, append([]string{testenv.Binary(t, "davit")}, args...)...)
}

// sitAt starts any program on a new terminal of a size.
func sitAt(t *testing.T, rows, columns uint16, env []string, argv ...string) *desk {
	t.Helper()
	user, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Resize(user, rows, columns); err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, user: user, screen: newVT(int(rows), int(columns)), ended: make(chan struct{})}
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.Env = env
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = terminal, terminal, terminal
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = terminal.Close()
	go func() { _, _ = io.Copy(d.screen, user) }()
	go func() {
		_ = d.cmd.Wait() // its exit code is looked at
		close(d.ended)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = user.Close()
	})
	return d
}

// until waits for something to be so.
func (d *desk) until(what string, so func() bool) {
	d.t.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("%s: never; the screen shows\n%s", what, d.screen.text())
		}
	}
}

// shows waits until the screen shows a text.
func (d *desk) shows(text string) {
	d.t.Helper()
	d.until("screen shows "+text, func() bool { return strings.Contains(d.screen.text(), text) })
}

// edits waits until the line of the cursor is this one.
func (d *desk) edits(line string) {
	d.t.Helper()
	d.until("line "+line, func() bool { return d.screen.cursorLine() == line })
}

func (d *desk) types(keys string) {
	d.t.Helper()
	if _, err := d.user.WriteString(keys); err != nil {
		d.t.Fatal(err)
	}
}

// enters types a command behind the prompt and sends it off. What the prompt did not show yet could be for somebody else.
func (d *desk) enters(line string) {
	d.t.Helper()
	prompt := d.screen.cursorLine()
	d.types(line)
	d.edits(prompt + " " + line)
	d.types("\r")
}

// leaves waits for the program to end with an exit code.
func (d *desk) leaves(want int) {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(testenv.Scale(time.Minute)):
		d.t.Fatalf("the program does not end; the screen shows\n%s", d.screen.text())
	}
	if got := d.cmd.ProcessState.ExitCode(); got != want {
		d.t.Errorf("exit code %d, want %d; the screen shows\n%s", got, want, d.screen.text())
	}
}

const (
	tab   = "\t"
	up    = "\x1b[A"
	ctrlA = "\x01"
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlK = "\x0b"
	ctrlR = "\x12"
	ctrlU = "\x15"
)

// shellOf starts a shell on a daemon; state holds its history.
func shellOf(t *testing.T, socket, state string, args ...string) *desk {
	t.Helper()
	d := sitDown(t, []string{"DAVIT_DEFAULT_URI=" + socket, "XDG_STATE_HOME=" + state}, args...)
	d.edits(promptOf(args))
	return d
}

func promptOf(args []string) string {
	if slices.Contains(args, "-r") {
		return "davit >"
	}
	return "davit #"
}

// define defines another domain like echo.
func define(t *testing.T, c *client.Client, name string) *davitv1.DomainInfo {
	t.Helper()
	document := strings.Replace(echoXML, "<name>echo</name>", "<name>"+name+"</name>", 1)
	resp, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(document)})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetDomain()
}

// entitle gives a domain another title.
func entitle(t *testing.T, c *client.Client, name, title string) {
	t.Helper()
	_, err := c.UpdateDomain(t.Context(), &davitv1.UpdateDomainRequest{
		Domain: client.ByName(name), Title: title, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestShell(t *testing.T) {
	daemon, _ := echoDomain(t)
	s := shellOf(t, daemon.Socket, t.TempDir())
	s.shows("Welcome to davit, the container interactive terminal.\n\n" +
		"Type:  'help' for help with commands\n       'quit' to quit\n\ndavit #")
	s.enters("domstate echo; domstate nope # and more")
	s.shows("shut off\n\nerror: failed to get domain 'nope'\nhint: 'list --all' lists all domains\n\ndavit #")
	s.enters("start echo; bogus")
	s.shows("error: unknown command: 'bogus'\ndavit #")
	s.enters("domstate 'echo")
	s.shows("error: missing '\ndavit #")
	s.enters("domstate echo -o json")
	s.shows("\"state\": \"shut off\"")
	s.edits("davit #")
	s.enters("domstate echo") // options are those of one command
	s.shows("davit # domstate echo\nshut off\n\ndavit #")
	s.types("half a line")
	s.edits("davit # half a line")
	s.types(ctrlC)
	s.shows("half a line^C\ndavit #")
	s.types(ctrlD)
	s.leaves(0)
}

func TestShellCompletes(t *testing.T) {
	daemon, c := echoDomain(t)
	define(t, c, "my web")
	if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("echo")}); err != nil {
		t.Fatal(err)
	}
	s := shellOf(t, daemon.Socket, t.TempDir())
	s.types("versi" + tab)
	s.edits("davit # version")
	s.types(ctrlU + "domstate --reas" + tab)
	s.edits("davit # domstate --reason")
	s.types("ec")
	s.completes("davit # domstate --reason echo")
	s.types("\r")
	s.shows("running (booted)")
	s.edits("davit #")

	// Only what can be started is offered to start, and quoted.
	s.types("start ")
	s.completes(`davit # start my\ web`)
	s.types(ctrlU + `start "m`)
	s.completes(`davit # start "my web"`)
	s.types("\r")
	s.shows("Domain 'my web' started")
	s.edits("davit #")
	s.types("shutdown --mode=i" + tab)
	s.edits("davit # shutdown --mode=initctl")
	s.types(ctrlU + "shutdown --mode s" + tab)
	s.edits("davit # shutdown --mode signal")
	s.types(ctrlU + "list; event --event metad" + tab)
	s.edits("davit # list; event --event metadata-change")

	// More than one choice: as far as they agree, then a list of them.
	s.types(ctrlU + "domi" + tab)
	s.edits("davit # domi")
	s.types(tab)
	s.shows("domid ")
	s.shows("dominfo")
	s.types(ctrlU + "destroy ")
	s.offers(`my\ web`)
	s.edits("davit # destroy")
	s.types(ctrlC)
}

func TestShellCompletesFiles(t *testing.T) {
	daemon := testdaemon.Start(t)
	dir := t.TempDir()
	for _, path := range []string{"first web.xml", "folder/second.xml"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	s := shellOf(t, daemon.Socket, t.TempDir())
	s.types("define fi" + tab)
	s.edits(`davit # define first\ web.xml`)
	s.types(ctrlU + "define fo" + tab + "s" + tab)
	s.edits(`davit # define folder/second.xml`)
}

// TestShellCompletesWithoutDaemon does not wait for one.
func TestShellCompletesWithoutDaemon(t *testing.T) {
	daemon, _ := echoDomain(t)
	s := shellOf(t, daemon.Socket, t.TempDir())
	s.types("domstate ec")
	s.completes("davit # domstate echo")
	daemon.Stop()
	s.types(ctrlU + "domstate ec" + tab + "xyz")
	s.edits("davit # domstate ecxyz")
	s.types(ctrlU + "lis" + tab)
	s.edits("davit # list")
}

func TestShellHistory(t *testing.T) {
	daemon, _ := echoDomain(t)
	state := t.TempDir()
	s := shellOf(t, daemon.Socket, state)
	for _, line := range []string{"domid echo", "domstate echo", "domstate echo", " domuuid echo"} {
		s.enters(line)
		s.edits("davit #")
	}
	s.types(up)
	s.edits("davit # domstate echo")
	s.types(up)
	s.edits("davit # domid echo")
	s.types(ctrlU + "quit" + ctrlA + ctrlK + ctrlD)
	s.leaves(0)

	path := filepath.Join(state, "davit", "history")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("history has mode %v, want 0600", info.Mode())
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("domid echo\ndomstate echo\n", string(kept)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}

	s = shellOf(t, daemon.Socket, state)
	s.types(up + up)
	s.edits("davit # domid echo")
	s.types(ctrlU + ctrlR + "stat")
	s.edits("(reverse-i-search)`stat': domstate echo")
	s.types("\r")
	s.shows("davit # domstate echo\nshut off\n")
}

func TestShellConsole(t *testing.T) {
	daemon, c := echoDomain(t)
	s := shellOf(t, daemon.Socket, t.TempDir())
	s.enters("start echo --console")
	s.shows("Escape character is ^] (Ctrl + ])\nhello")
	s.types("ping\r")
	s.shows("ping\nping") //nolint:dupword // the terminal echoes it, then the domain says it again
	s.types(ctrlC + "\r\x1d")
	s.edits("davit #")
	s.enters("domstate echo")
	s.shows("davit # domstate echo\nrunning\n")

	// A console that the domain ends does not take what is typed next.
	s.enters("console echo --force")
	s.until("console", func() bool { return strings.Count(s.screen.text(), "Escape character") == 2 })
	if _, err := c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByName("echo")}); err != nil {
		t.Fatal(err)
	}
	s.edits("davit #")
	s.enters("domid echo")
	s.shows("davit # domid echo\n-\n")
}

func TestShellOutlivesInterruptsAndDaemons(t *testing.T) {
	daemon, c := echoDomain(t)
	s := shellOf(t, daemon.Socket, t.TempDir())
	s.enters("event --all --loop; domid echo")
	s.until("watching", func() bool { // every event from then on is printed
		entitle(t, c, "echo", time.Now().String())
		return strings.Contains(s.screen.text(), "event 'metadata-change' for domain 'echo'")
	})
	s.types(ctrlC)
	s.shows("event loop interrupted\nevents received: ")
	s.edits("davit #")
	if text := s.screen.text(); strings.Contains(text, "\n-\n") {
		t.Errorf("the line went on after an interrupt:\n%s", text)
	}
	daemon.Restart()
	s.enters("domstate echo")
	s.shows("davit # domstate echo\nshut off\n")
	s.edits("davit #")
	s.types(ctrlD)
	s.leaves(0)
}

func TestShellResizes(t *testing.T) {
	daemon := testdaemon.Start(t)
	s := shellOf(t, daemon.Socket, t.TempDir())
	line := "domstate " + strings.Repeat("0123456789", 5)
	s.types(line)
	s.edits("davit # " + line)
	s.resize(24, 40)
	s.until("cut line", func() bool { // its end, behind a mark
		got := s.screen.cursorLine()
		return strings.HasPrefix(got, "davit # {") && strings.HasSuffix(got, "6789") && len(got) <= 40
	})
	s.resize(24, 80)
	s.edits("davit # " + line)
}

func (d *desk) resize(rows, columns uint16) {
	d.t.Helper()
	d.screen.resize(int(rows), int(columns))
	if err := pty.Resize(d.user, rows, columns); err != nil {
		d.t.Fatal(err)
	}
}

// TestShellReadOnly has a prompt of its own and changes nothing.
func TestShellReadOnly(t *testing.T) {
	daemon, _ := echoDomain(t)
	s := sitDown(t, []string{"HOME=" + t.TempDir()}, "-r", "-c", daemon.ReadOnly)
	s.edits("davit >")
	s.enters("start echo")
	s.shows("error: access denied: ")
	s.edits("davit >")
	s.types(ctrlD)
	s.leaves(0)
}

// TestHangUp ends the program when its terminal goes away, whatever it does, and leaves no process.
func TestHangUp(t *testing.T) {
	for name, busy := range map[string]func(*desk){
		"at the prompt": func(s *desk) { s.types("list") },
		"in a command": func(s *desk) {
			s.enters("event --all --loop")
			s.until("running", func() bool { return s.screen.cursorLine() == "" })
		},
		"on a console": func(s *desk) {
			s.enters("start echo --console")
			s.shows("hello")
		},
		"in a command of a domain that does not hang up": func(s *desk) {
			s.enters(`start echo; exec -it echo sh -c 'trap "" HUP; echo rea""dy; sleep 1000'`)
			s.shows("ready")
		},
		"in a list that is watched": func(s *desk) {
			s.enters("list --all --watch")
			s.shows("shut off")
		},
		"in a log that is followed": func(s *desk) {
			s.enters("start echo; logs -f echo")
			s.shows("\nhello")
		},
		"while it waits": func(s *desk) {
			s.enters("start echo; wait echo")
			s.shows("waiting for domain 'echo' (") // how long already changes
		},
	} {
		t.Run(name, func(t *testing.T) {
			daemon, _ := echoDomain(t)
			s := shellOf(t, daemon.Socket, t.TempDir())
			busy(s)
			if err := s.user.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-s.ended:
			case <-time.After(testenv.Scale(time.Minute)):
				t.Fatal("the program goes on without its terminal")
			}
			if err := unix.Kill(-s.cmd.Process.Pid, 0); !errors.Is(err, unix.ESRCH) {
				t.Errorf("a process of its group is left: %v", err)
			}
		})
	}
}

// TestShellIsNotWrittenTo keeps what a name and a title hold from acting on the terminal, in output and in completion.
func TestShellIsNotWrittenTo(t *testing.T) {
	daemon, c := echoDomain(t)
	evil := define(t, c, "evil\u202etxt")
	entitle(t, c, evil.GetName(), "a\u009b2J\u202eb")
	s := shellOf(t, daemon.Socket, t.TempDir())
	s.enters("list --all --title")
	s.shows(`evil\xe2\x80\xaetxt`)
	s.shows(`a\xc2\x9b2J\xe2\x80\xaeb`)
	s.types("start " + evil.GetUuid()[:8])
	s.completes("davit # start " + evil.GetUuid())
	s.types(ctrlU + "domid \"\x1b]0;owned\x07\"\r")
	s.shows("error: failed to get domain")
	s.edits("davit #")
	s.screen.mu.Lock()
	defer s.screen.mu.Unlock()
	if raw := string(s.screen.raw); strings.ContainsAny(raw, "\x07\u202e\u009b") || strings.Contains(raw, "\x1b]") {
		t.Errorf("the terminal was written %q", raw)
	}
	if len(s.screen.unknown) > 0 {
		t.Errorf("the terminal was sent %q", s.screen.unknown)
	}
}

// noNope is what is said of a domain that there is not.
const noNope = "error: failed to get domain 'nope'\nhint: 'list --all' lists all domains\n"

// TestScript reads commands from a pipe.
func TestScript(t *testing.T) {
	daemon, _ := echoDomain(t)
	tests := []struct {
		in   string
		want result
	}{
		{"", result{}},
		{"domstate echo\n# nothing\n\ndomid \\\n echo", result{stdout: "shut off\n\n-\n\n"}},
		{"domstate nope\ndomstate echo\n", result{stdout: "\nshut off\n\n", stderr: noNope}},
		{"domstate echo\ndomstate nope\n", result{stdout: "shut off\n\n\n", stderr: noNope, code: 1}},
		{"domstate \"echo\ndomstate echo", result{stdout: "shut off\n\n", stderr: "error: missing \"\n"}},
		{"define -\n", result{
			stdout: "\n", code: 1,
			stderr: "error: Failed to define domain from -\nerror: XML error: 1:1: the document has no root element\n",
		}},
	}
	for _, tt := range tests {
		got := run(t, daemon.Socket, tt.in)
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.in, diff)
		}
	}
}

// TestSeveralCommandsInOneArgument runs all of them, unless one cannot be understood.
func TestSeveralCommandsInOneArgument(t *testing.T) {
	daemon, _ := echoDomain(t)
	tests := []struct {
		line string
		want result
	}{
		{"domstate echo; domid echo", result{stdout: "shut off\n\n-\n\n"}},
		{"domid nope; domid echo", result{stdout: "\n-\n\n", stderr: noNope}},
		{"start echo; domid --bogus echo", result{stderr: "error: command 'domid' doesn't support option --bogus\n", code: 1}},
		{"start echo; domid", result{stderr: "error: command 'domid' requires <domain> option\n", code: 1}},
		{"start echo; exec", result{stderr: "error: command 'exec' requires <domain> option\n", code: 125}},
		{"domstate echo", result{stdout: "shut off\n\n"}},
		{"", result{}},
	}
	for _, tt := range tests {
		got := run(t, daemon.Socket, "", tt.line)
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.line, diff)
		}
	}
}
