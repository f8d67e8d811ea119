//go:build linux

package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// mortal is a daemon in a process of its own, which can be killed. Its containers are the fake driver's: they live in it
// and end with it.
type mortal struct {
	t      *testing.T
	root   string
	socket string
	cmd    *exec.Cmd
}

// newMortal starts a daemon with the domain echo.
func newMortal(t *testing.T) *mortal {
	t.Helper()
	m := &mortal{t: t, root: t.TempDir()}
	m.socket = filepath.Join(m.root, "run", server.AdminSocket)
	config := fmt.Sprintf("driver = \"fake\"\n[idmap]\ndir = %q\n", filepath.Join(m.root, "ids"))
	if err := os.WriteFile(server.RootedConfigPath(m.root), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	m.run()
	t.Cleanup(m.kill)
	c := m.client()
	if _, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(echoXML)}); err != nil {
		t.Fatal(err)
	}
	return m
}

// run starts the daemon and waits until it answers.
func (m *mortal) run() {
	m.t.Helper()
	m.cmd = exec.Command(testenv.Binary(m.t, "davitd"), "--root", m.root)
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.client()
}

func (m *mortal) client() *client.Client {
	m.t.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(5 * time.Millisecond) {
		c, err := client.Dial(m.socket)
		if err != nil {
			m.t.Fatal(err)
		}
		if err = c.Connect(m.t.Context()); err == nil {
			m.t.Cleanup(func() { _ = c.Close() })
			return c
		}
		_ = c.Close()
		if time.Now().After(end) {
			m.t.Fatal(err)
		}
	}
}

// kill ends the daemon as SIGKILL does: it has no chance to say anything.
func (m *mortal) kill() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait() // that it was killed
		m.cmd = nil
	}
}

// TestConsoleOfAKilledDaemon says what became of it, and gives the terminal back: with the next daemon, which does not
// have the domain any more, and without one.
func TestConsoleOfAKilledDaemon(t *testing.T) {
	for name, tt := range map[string]struct {
		next bool
		says string
	}{
		"another is started": {true, "\r\nerror: "},
		"none is":            {false, "\r\nerror: The connection to the daemon was lost\r\nerror: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMortal(t)
			s := sit(t)
			code := s.run(m.socket, "start", "echo", "--console")
			s.expect("hello\r\n")
			s.isRaw()
			m.kill()
			s.types("typed meanwhile")
			if tt.next {
				m.run()
			}
			s.expectIn(testenv.Scale(2*time.Minute), tt.says) // the client waits for ten
			s.leaves(code, 1)
		})
	}
}

// TestShellOfAKilledDaemon ends the console and goes on, with the next daemon.
func TestShellOfAKilledDaemon(t *testing.T) {
	m := newMortal(t)
	s := shellOf(t, m.socket, t.TempDir())
	before := mode(t, s.user)
	s.until("the prompt reads keys", func() bool { // it is shown a moment before
		before = mode(t, s.user)
		return before.Lflag&unix.ISIG == 0
	})
	s.enters("start echo --console")
	s.shows("\nhello")
	m.kill()
	m.run()
	s.shows("\nerror: ")
	s.edits("davit #")
	s.until("the terminal is as it was", func() bool { return cmp.Equal(before, mode(t, s.user)) })
	s.enters("domstate echo")
	s.shows("davit # domstate echo\nshut off")
	s.edits("davit #")
	m.kill()
	s.enters("start echo")
	s.shows("waiting for the daemon (1s)")
	m.run()
	s.shows("Domain 'echo' started")
	s.edits("davit #")
	if text := s.screen.text(); strings.Contains(text, "waiting for") {
		t.Errorf("the wait is still told of:\n%s", text)
	}
	s.types(ctrlD)
	s.leaves(0)
}
