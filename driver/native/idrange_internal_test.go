package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/davitd/davit/domain"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// pool is a small pool in a folder of the test, with one user's range in the middle of it.
func pool(t *testing.T) Pool {
	t.Helper()
	dir := t.TempDir()
	subuid := filepath.Join(dir, "subuid")
	if err := os.WriteFile(subuid, []byte("# users\nalice:1000150:20\nbroken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Pool{Dir: filepath.Join(dir, "ids"), Base: 1000000, Size: 100, Count: 10, Subordinate: []string{subuid}}
}

func state(t *testing.T) string {
	t.Helper()
	return t.TempDir()
}

func TestRangesAreExclusive(t *testing.T) {
	p, folder := pool(t), state(t)
	one, two := ids{p, "aaaaaaaa"}, ids{p, "bbbbbbbb"}
	seen := map[Range]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			a := one
			if i%2 == 1 {
				a = two
			}
			r, err := a.allocate(fmt.Sprintf("uuid-%d", i), folder)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("allocate %d: %v", i, err)
				return
			}
			if owner, twice := seen[r]; twice {
				t.Errorf("range %v given to %s and %d", r, owner, i)
			}
			if r.overlaps(Range{1000150, 20}) {
				t.Errorf("range %v is alice's", r)
			}
			seen[r] = fmt.Sprint(i)
		})
	}
	wg.Wait()
	_, err := one.allocate("one-too-many", folder)
	if !errors.Is(err, domain.ErrExhausted) || !strings.Contains(err.Error(), "all 10 ranges of 100 ids") {
		t.Errorf("allocate from a full pool: %v", err)
	}
	if err := one.release("uuid-4"); err != nil {
		t.Fatal(err)
	}
	if _, err := two.allocate("uuid-4", folder); err != nil {
		t.Errorf("allocate what was released: %v", err)
	}
}

// A domain that starts again has one range; a range that was given back rests while others are free.
func TestRangesRotate(t *testing.T) {
	a, folder := ids{pool(t), "aaaaaaaa"}, state(t)
	first, err := a.allocate("x", folder)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.allocate("x", folder)
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Errorf("both starts have %v", first)
	}
	dir, err := openFolder(a.pool.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	l, err := readLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Claims) != 1 {
		t.Errorf("%d claims, want 1", len(l.Claims))
	}
}

func TestRangesOfTheGoneAreFree(t *testing.T) {
	p := pool(t)
	p.Count = 1
	a, gone := ids{p, "aaaaaaaa"}, filepath.Join(t.TempDir(), "gone")
	if _, err := a.allocate("x", gone); err != nil {
		t.Fatal(err)
	}
	b := ids{p, "bbbbbbbb"}
	if _, err := b.allocate("y", state(t)); err != nil {
		t.Errorf("the range of a domain without state is held: %v", err)
	}
}

func TestSweepOfRanges(t *testing.T) {
	p, folder := pool(t), state(t)
	a, b := ids{p, "aaaaaaaa"}, ids{p, "bbbbbbbb"}
	for _, uuid := range []string{"x", "y"} {
		for _, i := range []ids{a, b} {
			if _, err := i.allocate(uuid, folder); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.sweep(func(uuid string) bool { return uuid == "y" }); err != nil {
		t.Fatal(err)
	}
	dir, err := openFolder(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	l, err := readLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, c := range l.Claims {
		left = append(left, c.Instance[:1]+c.UUID)
	}
	if got := strings.Join(left, " "); got != "bx ay by" {
		t.Errorf("left are %q", got)
	}
}

func TestGivenRangesConflict(t *testing.T) {
	a, folder := ids{pool(t), "aaaaaaaa"}, state(t)
	m := func(outside, count uint32) maps {
		e := []*monitorv1.IdMapping{{Outside: outside, Count: count}}
		return maps{e, e}
	}
	if err := a.claim("x", folder, m(5000, 10)); err != nil {
		t.Fatal(err)
	}
	err := a.claim("y", folder, m(5009, 10))
	if !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), "host ids 5009-5018 of <idmap> are those of running domain x") {
		t.Errorf("claim an id twice: %v", err)
	}
	if err := a.claim("y", folder, m(5010, 10)); err != nil {
		t.Errorf("claim ids beside: %v", err)
	}
	if err := a.claim("x", folder, m(5000, 10)); err != nil {
		t.Errorf("claim one's own again: %v", err)
	}
}

func TestPoolIsChecked(t *testing.T) {
	for want, p := range map[string]Pool{
		"base 1000 is below 100000": {Base: 1000},
		"end at 6554599999":         {Base: 1000000, Size: 65536, Count: 100000},
		"above 2147483647":          {Base: 1 << 31, Size: 65536, Count: 10},
	} {
		if err := p.withDefaults().check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check: %v, want %q", err, want)
		}
	}
	if err := (Pool{}).withDefaults().check(); err != nil {
		t.Error(err)
	}
}

func TestBrokenLedgerIsTold(t *testing.T) {
	a := ids{pool(t), "aaaaaaaa"}
	if err := os.MkdirAll(a.pool.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.pool.Dir, ledgerName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.allocate("x", t.TempDir()); err == nil || !strings.Contains(err.Error(), ledgerName) {
		t.Errorf("allocate: %v, want the file named", err)
	}
}
