package escape_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/davitd/davit/internal/testenv"
)

var update = flag.Bool("update", false, "write the table into docs/security.md")

func TestMain(m *testing.M) { testenv.Main(m) }

// profile is how much a domain may.
type profile string

// The profiles that hostile guests attack from, and the daemon as such, which documents and clients attack.
const (
	application  profile = "application"
	system       profile = "system"
	daemonItself profile = "daemon"
)

// attack is a row of the table: one way out that others left open.
type attack struct {
	id, name string
	// tries says what is tried.
	tries string
	// needs are what davit or the host must have for the attack to make sense.
	needs []need
	// guest attacks from a domain of a profile, client from outside; one of both is set. They return what happened.
	guest  func(c *scene) string
	client func(c *scene) string
	// control makes the same attack where the defence is missing and fails unless it succeeds. It returns what it did.
	control func(c *scene) string
	// uncontrolled says why there is no control.
	uncontrolled string
}

// need is a feature, by a real fact.
type need struct {
	name string
	// lacks says what is missing in a profile, or nothing.
	lacks func(s *suite, p profile) string
}

// attacks is the table. Each file adds its own.
func attacks() []attack {
	var all []attack
	for _, some := range [][]attack{
		joinAttacks, rootAttacks, rightsAttacks, kernelAttacks, neighbourAttacks, apiAttacks, moreAttacks, maskAttacks,
	} {
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b attack) int { return strings.Compare(a.id, b.id) })
	return all
}

// TestEscape is the suite.
func TestEscape(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.UserNS, testenv.Overlay, testenv.Cgroup)
	testenv.Residue(t)
	s := newSuite(t)
	table := &table{}
	all := attacks()
	t.Run("control", func(t *testing.T) { s.controls(t, all, table) })
	for _, p := range []profile{application, system} {
		t.Run(string(p), func(t *testing.T) {
			for _, a := range all {
				if a.guest != nil {
					s.attack(t, a, p, a.guest, table)
				}
			}
		})
	}
	t.Run(string(daemonItself), func(t *testing.T) {
		for _, a := range all {
			if a.client != nil {
				s.attack(t, a, daemonItself, a.client, table)
			}
		}
	})
	s.end(t)
	table.finish(t)
}

// title is the name of the test of an attack.
func (a attack) title() string { return a.id + "_" + a.name }

// controls makes every attack where nothing stops it.
func (s *suite) controls(t *testing.T, all []attack, table *table) {
	t.Helper()
	for _, a := range all {
		if a.control == nil {
			if a.uncontrolled == "" {
				t.Errorf("%s has neither a control nor a reason for having none", a.id)
			}
			table.control(a, "none: "+a.uncontrolled)
			continue
		}
		t.Run(a.title(), func(t *testing.T) {
			c := s.scene(t, application)
			c.unwatched = true // it succeeds, after all
			done := a.control(c)
			table.control(a, done)
		})
	}
}

// attack makes one attack from one profile and notes what came of it.
func (s *suite) attack(t *testing.T, a attack, p profile, try func(*scene) string, table *table) {
	t.Helper()
	t.Run(a.title(), func(t *testing.T) {
		cell := table.begin(a, p)
		for _, n := range a.needs {
			if why := n.lacks(s, p); why != "" {
				cell.state, cell.happened = without, n.name+": "+why
				t.Skipf("without its feature: %s: %s", n.name, why)
			}
		}
		c := s.scene(t, p)
		// Runs after all that the scene cleans up, so that it knows of every failure.
		defer func() {
			c.close(t)
			switch {
			case c.escape != "":
				cell.state, cell.happened = escaped, c.escape
			case t.Skipped():
				cell.state = without
			case t.Failed():
				cell.state, cell.happened = broken, "the case could not attack"
			default:
				cell.state = held
			}
		}()
		cell.happened = try(c)
	})
}

// rounds is how often races are run: DAVIT_ESCAPE_ROUNDS, few where nobody asks for more.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("DAVIT_ESCAPE_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return 8
}

// mustWrite makes a file with all the folders above it.
func mustWrite(tb testing.TB, path, text string, mode os.FileMode) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		tb.Fatal(err)
	}
}

// replace puts a symbolic link in the place of whatever is there.
func replace(tb testing.TB, target, path string) {
	tb.Helper()
	if err := os.RemoveAll(path); err != nil {
		tb.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		tb.Fatal(err)
	}
}

// times says how often in words.
func times(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
