//go:build linux

package cli_test

import (
	"os"
	"strings"
	"testing"

	"github.com/davitd/davit/internal/testenv"
)

// narrow is a terminal of twenty columns.
func narrow(t *testing.T, socket string, args ...string) *desk {
	t.Helper()
	env := []string{"TERM=xterm", "PATH=" + os.Getenv("PATH"), "DAVIT_DEFAULT_URI=" + socket, "XDG_STATE_HOME=" + t.TempDir()}
	return sitAt(t, 24, 20, env, append([]string{testenv.Binary(t, "davit")}, args...)...)
}

// wraps tells how many lines went on in the next row.
func (d *desk) wraps() int {
	d.screen.mu.Lock()
	defer d.screen.mu.Unlock()
	return d.screen.wrapped
}

// TestNarrowList has whole rows, which the terminal breaks; a list that is watched is cut to fit.
func TestNarrowList(t *testing.T) {
	daemon, c := echoDomain(t)
	define(t, c, "a-name-of-more-than-twenty-letters")
	s := narrow(t, daemon.Socket, "list", "--all")
	s.leaves(0)
	s.until("whole rows", func() bool {
		return strings.Contains(strings.ReplaceAll(s.screen.text(), "\n", ""), "a-name-of-more-than-twenty-letters   shut off")
	})

	s = narrow(t, daemon.Socket, "list", "--all", "--watch")
	s.becomes(" Id   Name         …\n-------------------…\n -    a-name-of-mor…\n -    echo         …")
	if n := s.wraps(); n > 0 {
		t.Errorf("%d rows went on in the next", n)
	}
	s.types(ctrlC)
	s.leaves(0)
}

// TestNarrowShell edits a line that is wider than the terminal on one row, and completes it.
func TestNarrowShell(t *testing.T) {
	daemon, _ := echoDomain(t)
	s := narrow(t, daemon.Socket)
	s.edits("davit #")
	line := "domstate --reason echo"
	s.types(line)
	s.until("the end of the line", func() bool {
		got := s.screen.cursorLine()
		return strings.HasPrefix(got, "davit # {") && strings.HasSuffix(got, " echo") && len(got) <= 20
	})
	s.types("\r")
	s.shows("shut off (unknown)")
	s.edits("davit #")
	s.types("domstate --reas" + tab + "ec")
	s.asks("the end of the name", func() bool { return strings.HasSuffix(s.screen.cursorLine(), " echo") })
	s.types("\r")
	s.until("the same again", func() bool { return strings.Count(s.screen.text(), "shut off (unknown)") == 2 })
	s.edits("davit #")
	s.types("dom" + tab + tab)
	s.shows("domrename")
	s.types(ctrlC)
	s.edits("davit #")
	s.types(ctrlD)
	s.leaves(0)
}

// TestNarrowProgress stays on its row.
func TestNarrowProgress(t *testing.T) {
	daemon, c := echoDomain(t)
	start(t, c, "echo")
	s := narrow(t, daemon.Socket, "wait", "echo")
	s.becomes("waiting for domain…")
	s.until("a second of them", func() bool {
		s.screen.mu.Lock()
		defer s.screen.mu.Unlock()
		return strings.Count(string(s.screen.raw), "waiting for") > 1
	})
	destroy(t, c, "echo")
	s.leaves(0)
	s.becomes("shut off")
	if n := s.wraps(); n > 0 {
		t.Errorf("%d rows went on in the next", n)
	}
}
