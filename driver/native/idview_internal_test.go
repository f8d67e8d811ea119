package native

import (
	"fmt"
	"os"
	"testing"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A domain that has a range gets it, and one that has none of an <idmap> gives none back, whoever holds the lock of the list: a test
// that waits for it never ends.
func TestWhatADomainHasIsFoundWithoutTheLock(t *testing.T) {
	a := newIDs(pool(t), "aaaaaaaa", state(t))
	defer a.close()
	first, _, err := a.allocate("x", "")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := openFolder(a.pool.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	lock, err := createAt(dir, lockName, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	if err := flock(lock); err != nil {
		t.Fatal(err)
	}
	if r, fresh, err := a.allocate("x", ""); r != first || fresh || err != nil {
		t.Errorf("allocate again: %v, fresh %v, %v, want %v", r, fresh, err, first)
	}
	if err := a.release("x"); err != nil {
		t.Error(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}

// What is looked at is what any davitd has written, at once.
func TestAViewFollowsTheList(t *testing.T) {
	p, home := pool(t), state(t)
	a, again, other := newIDs(p, "aaaaaaaa", home), newIDs(p, "aaaaaaaa", home), newIDs(p, "bbbbbbbb", home)
	for _, i := range []ids{a, again, other} {
		defer i.close()
	}
	expect := func(when string, i ids, allotted, given bool) {
		t.Helper()
		if _, had, has, err := i.look("x"); had != allotted || has != given || err != nil {
			t.Errorf("%s: allotted %v, given %v, %v; want %v, %v", when, had, has, err, allotted, given)
		}
	}
	expect("before there is a list", a, false, false)
	r, _, err := again.allocate("x", "")
	if err != nil {
		t.Fatal(err)
	}
	expect("allotted by a second davitd", a, true, false)
	if shown := a.allotted("x"); shown != r {
		t.Errorf("%v is shown, want %v", shown, r)
	}
	expect("allotted to another instance's", other, false, false)
	m := []*monitorv1.IdMapping{{Inside: 0, Outside: 500000, Count: 10}}
	if _, err := again.claim("x", "", home, maps{m, m}); err != nil {
		t.Fatal(err)
	}
	expect("given", a, false, true)
	if err := a.release("x"); err != nil {
		t.Fatal(err)
	}
	expect("released", again, false, false)
	if claims := claimsOf(t, p); len(claims) != 1 || !claims[0].Idle {
		t.Errorf("%v are left, want those of a domain that does not run", claims)
	}
	if err := a.forget("x"); err != nil {
		t.Fatal(err)
	}
	if claims := claimsOf(t, p); len(claims) != 0 {
		t.Errorf("%v are left", claims)
	}
}

// BenchmarkRange finds the range of a domain that has one, as each of its starts does, where ten thousand are defined; and once more
// for each change of the list.
func BenchmarkRange(b *testing.B) {
	p := Pool{Dir: b.TempDir(), Subordinate: []string{}}.withDefaults()
	home := b.TempDir()
	a := newIDs(p, "aaaaaaaa", home)
	defer a.close()
	fill := a.update(func(l *ledger) error {
		for i := range uint32(10000) {
			r := []Range{p.slot(i)}
			l.add(claim{Instance: a.instance, UUID: fmt.Sprintf("5f9c6d2e-9d6c-4a6b-8f1e-%012d", i), Folder: home, UID: r, GID: r})
		}
		return nil
	})
	if fill != nil {
		b.Fatal(fill)
	}
	const uuid = "5f9c6d2e-9d6c-4a6b-8f1e-000000009999"
	find := func(b *testing.B) {
		b.Helper()
		if r, fresh, err := a.allocate(uuid, ""); r != p.slot(9999) || fresh || err != nil {
			b.Fatal(r, fresh, err)
		}
	}
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			find(b)
		}
	})
	b.Run("changed", func(b *testing.B) {
		for b.Loop() {
			a.close()
			find(b)
		}
	})
}
