//go:build linux

package cli_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/davitd/davit/internal/testenv"
)

// TestForeignLocale shows names on a terminal that has no UTF-8 as escapes, and nothing else; into a pipe they go as they
// are, and what goes in is found.
func TestForeignLocale(t *testing.T) {
	daemon, c := echoDomain(t)
	strange := define(t, c, "süß-日本")
	for _, locale := range []string{"LANG=C", "LC_ALL=en_US.ISO-8859-1"} {
		t.Run(locale, func(t *testing.T) {
			env := []string{"DAVIT_DEFAULT_URI=" + daemon.Socket, locale, "XDG_STATE_HOME=" + t.TempDir()}
			plain := func(s *desk) {
				t.Helper()
				s.screen.mu.Lock()
				defer s.screen.mu.Unlock()
				for _, b := range s.screen.raw {
					if b >= 0x80 {
						t.Errorf("the terminal was written %q", s.screen.raw)
						return
					}
				}
			}
			s := sitDown(t, env, "list", "--all")
			s.leaves(0)
			s.shows(" -    s\\u00fc\\u00df-\\u65e5\\u672c   shut off")
			plain(s)

			s = sitDown(t, env, "list", "--all", "--watch")
			s.shows("s\\u00fc\\u00df-\\u65e5\\u672c")
			plain(s)
			s.types(ctrlC)
			s.leaves(0)

			s = sitDown(t, env)
			s.edits("davit #")
			s.enters("domid nix")
			s.shows("error: failed to get domain 'nix'")
			s.edits("davit #")
			s.enters("list --all --name")
			s.shows("\\u65e5")
			s.edits("davit #")
			s.types("start ")
			s.offers("echo ")
			s.types(ctrlC)
			s.edits("davit #")
			s.types("start " + strange.GetUuid()[:8])
			s.completes("davit # start " + strange.GetUuid())
			s.types(ctrlC)
			s.edits("davit #")
			s.types(ctrlD)
			s.leaves(0)
			plain(s)

			cmd := exec.CommandContext(t.Context(), testenv.Binary(t, "davit"), "list", "--all", "--name")
			cmd.Env = env
			out, err := cmd.Output()
			if err != nil || !strings.Contains(string(out), "süß-日本\n") {
				t.Errorf("into a pipe: %q, %v", out, err)
			}
			cmd = exec.CommandContext(t.Context(), testenv.Binary(t, "davit"), "domstate", "süß-日本")
			cmd.Env = env
			if out, err = cmd.Output(); err != nil || string(out) != "shut off\n\n" {
				t.Errorf("its state: %q, %v", out, err)
			}
		})
	}
}
