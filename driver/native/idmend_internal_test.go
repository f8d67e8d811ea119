package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A list that is lost, or damaged, while a davitd runs holds again what its domains have as soon as it is changed; what is given to others
// meanwhile is none of that.
func TestLostListIsMended(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"lost":    os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			p, home := pool(t), state(t)
			a := newIDs(p, "aaaaaaaa", home)
			defer a.close()
			first := allocated(t, a, "x", true)
			if err := claimed(a, "named", home, mapOf(5000, 10)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(p.Dir, ledgerName)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			if err := a.release("named"); err != nil {
				t.Errorf("a run is not released: %v", err)
			}
			if again := allocated(t, a, "x", false); again != first {
				t.Errorf("it has %v, and had %v", again, first)
			}
			if other := allocated(t, newIDs(p, "bbbbbbbb", home), "y", true); other.overlaps(first) {
				t.Errorf("%v is given twice", other)
			}
			aside, _ := filepath.Glob(path + ".damaged-*")
			if want := strings.Count(name, "damaged"); len(aside) != want {
				t.Errorf("set aside are %q", aside)
			}
		})
	}
}

// A davitd that finds a domain that runs writes down what it has, though the list was lost; once.
func TestRunningDomainsReclaim(t *testing.T) {
	p, home := pool(t), state(t)
	a := newIDs(p, "aaaaaaaa", home)
	first := p.slot(0)
	for range 2 {
		if err := a.reclaim("x", "", home, mapOf(first.Start, first.Count), false); err != nil {
			t.Fatal(err)
		}
	}
	if other := allocated(t, newIDs(p, "bbbbbbbb", home), "y", true); other.overlaps(first) {
		t.Errorf("%v is given twice", other)
	}
	if again := allocated(t, a, "x", false); again != first {
		t.Errorf("it has %v, and had %v", again, first)
	}
	if n := len(claimsOf(t, p)); n != 2 {
		t.Errorf("%d claims, want 2", n)
	}
	if err := a.reclaim("z", "", home, mapOf(first.Start+5, 1), true); err == nil || !strings.Contains(err.Error(), "those of domain x") {
		t.Errorf("claimed again what another has: %v", err)
	}
}

// The list of the place where it was before is taken over, once.
func TestFormerListIsTakenOver(t *testing.T) {
	old, home := pool(t), state(t)
	first := allocated(t, newIDs(old, "aaaaaaaa", home), "x", true)
	p := old
	p.Dir, p.Former = filepath.Join(t.TempDir(), "ids"), old.Dir
	a := newIDs(p, "aaaaaaaa", home)
	if other := allocated(t, a, "y", true); other.overlaps(first) {
		t.Errorf("%v is given twice", other)
	}
	if again := allocated(t, a, "x", false); again != first {
		t.Errorf("it has %v, and had %v", again, first)
	}
	allocated(t, newIDs(old, "aaaaaaaa", home), "z", true)
	if n := len(claimsOf(t, p)); n != 2 {
		t.Errorf("%d claims, want 2: the former list is read no more", n)
	}
	broken := old
	broken.Dir, broken.Former = filepath.Join(t.TempDir(), "ids"), t.TempDir()
	if err := os.WriteFile(filepath.Join(broken.Former, ledgerName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	allocated(t, newIDs(broken, "aaaaaaaa", home), "x", true)
}
