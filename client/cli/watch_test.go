//go:build linux

package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testdaemon"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestWatchedListOnATerminal is drawn in place, within the terminal, also over a restart of the daemon.
func TestWatchedListOnATerminal(t *testing.T) {
	d, c := echoDomain(t)
	s := sitDown(t, []string{"DAVIT_DEFAULT_URI=" + d.Socket}, "list", "--all", "--watch")
	table := func(rows ...string) string {
		return " Id   Name   State\n-----------------------\n" + strings.Join(rows, "\n")
	}
	s.becomes(table(" -    echo   shut off"))
	start(t, c, "echo")
	s.becomes(" Id   Name   State\n----------------------\n 1    echo   running")
	d.Restart()
	destroy(t, c, "echo")
	s.becomes(table(" -    echo   shut off"))

	for i := range 6 {
		define(t, c, fmt.Sprintf("web-日本語-%d", i))
	}
	s.shows("web-日本語-5")
	s.resize(5, 17)
	s.becomes(" Id   Name      …\n----------------…\n -    echo      …\n -    web-日本語…\n… 5 more")
	s.resize(5, 16) // half of a wide character is none
	s.becomes(" Id   Name     …\n---------------…\n -    echo     …\n -    web-日本…\n… 5 more")
	s.forget() // what was on its way when the size changed
	define(t, c, "web-日本語-6")
	s.becomes(" Id   Name     …\n---------------…\n -    echo     …\n -    web-日本…\n… 6 more")
	s.screen.mu.Lock()
	if s.screen.wrapped > 0 || s.screen.scrolled > 0 || len(s.screen.unknown) > 0 {
		t.Errorf("%d lines wrapped, %d scrolled, unknown %q", s.screen.wrapped, s.screen.scrolled, s.screen.unknown)
	}
	s.screen.mu.Unlock()
	s.resize(24, 80)
	s.shows("web-日本語-6   shut off")
	s.types(ctrlC)
	s.leaves(0)
	s.until("the usual screen is back", func() bool {
		s.screen.mu.Lock()
		defer s.screen.mu.Unlock()
		return s.screen.main == nil
	})
}

// forget takes the counts of the screen back.
func (d *desk) forget() {
	d.screen.mu.Lock()
	defer d.screen.mu.Unlock()
	d.screen.wrapped, d.screen.scrolled = 0, 0
}

// becomes waits until the screen shows this and nothing else.
func (d *desk) becomes(text string) {
	d.t.Helper()
	d.until("screen is\n"+text, func() bool { return d.screen.text() == text })
}

func start(t *testing.T, c *client.Client, name string) {
	t.Helper()
	if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName(name)}); err != nil {
		t.Fatal(err)
	}
}

func destroy(t *testing.T, c *client.Client, name string) {
	t.Helper()
	if _, err := c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByName(name)}); err != nil {
		t.Fatal(err)
	}
}

// piped starts the program with its output in a pipe.
func piped(t *testing.T, d *testdaemon.Daemon, args ...string) (out io.Reader, interrupt func()) {
	t.Helper()
	program := testenv.Binary(t, "davit")
	ctx, stop := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
	t.Cleanup(stop)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"DAVIT_DEFAULT_URI=" + d.Socket}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out, func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(out); err != nil || strings.TrimSpace(string(rest)) != "" {
			t.Errorf("at the end it printed %q, %v", rest, err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("interrupted: %v", err)
		}
	}
}

// TestWatchedListInAPipe is a table a change.
func TestWatchedListInAPipe(t *testing.T) {
	d, c := echoDomain(t)
	out, interrupt := piped(t, d, "list", "--all", "-w")
	lines := bufio.NewScanner(out)
	next := func() string {
		var table []string
		for lines.Scan() && lines.Text() != "" {
			table = append(table, lines.Text())
		}
		return strings.Join(table, "\n")
	}
	off := " Id   Name   State\n-----------------------\n -    echo   shut off"
	if got := next(); got != off {
		t.Errorf("first\n%s\nwant\n%s", got, off)
	}
	start(t, c, "echo")
	on := " Id   Name   State\n----------------------\n 1    echo   running"
	if got := next(); got != on {
		t.Errorf("then\n%s\nwant\n%s", got, on)
	}
	entitle(t, c, "echo", "a title, which the table does not show")
	d.Restart()
	destroy(t, c, "echo")
	if got := next(); got != off {
		t.Errorf("at last\n%s\nwant\n%s", got, off)
	}
	interrupt()
}

// TestWatchedListAsJSON is a document a change.
func TestWatchedListAsJSON(t *testing.T) {
	d, c := echoDomain(t)
	out, interrupt := piped(t, d, "list", "--all", "--watch", "-o", "json")
	documents := json.NewDecoder(out)
	until := func(state string) {
		for {
			var list []struct{ Name, State string }
			if err := documents.Decode(&list); err != nil {
				t.Fatal(err)
			}
			if len(list) != 1 || list[0].Name != "echo" {
				t.Fatalf("lists %+v", list)
			}
			if list[0].State == state {
				return
			}
		}
	}
	until("shutoff")
	start(t, c, "echo")
	until("running")
	destroy(t, c, "echo")
	until("shutoff")
	interrupt()
}

// TestWatchedListWithoutDaemon says so.
func TestWatchedListWithoutDaemon(t *testing.T) {
	r := run(t, "/nonexistent.sock", "", "list", "--watch")
	if r.code != 1 || !strings.HasPrefix(r.stderr, "error: failed to connect to the hypervisor\n") {
		t.Errorf("%+v", r)
	}
}
