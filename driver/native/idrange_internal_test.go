package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/davitd/davit/domain"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
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
	p, home := pool(t), state(t)
	one, two := newIDs(p, "aaaaaaaa", home), newIDs(p, "bbbbbbbb", home)
	seen := map[Range]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			a := one
			if i%2 == 1 {
				a = two
			}
			r, _, err := a.allocate(fmt.Sprintf("uuid-%d", i), "")
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
	_, _, err := one.allocate("one-too-many", "")
	if !errors.Is(err, domain.ErrExhausted) || !strings.Contains(err.Error(), "all 10 ranges of 100 ids") {
		t.Errorf("allocate from a full pool: %v", err)
	}
	if err := one.forget("uuid-4"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := two.allocate("uuid-4", ""); err != nil {
		t.Errorf("allocate what was released: %v", err)
	}
}

// A domain has one range for as long as it is defined; one that was given back rests while others are free.
func TestRangesRest(t *testing.T) {
	a := newIDs(pool(t), "aaaaaaaa", state(t))
	first := allocated(t, a, "x", true)
	if err := a.release("x"); err != nil { // a run ends
		t.Fatal(err)
	}
	if again := allocated(t, a, "x", false); again != first {
		t.Errorf("the second start has %v, the first %v", again, first)
	}
	if shown := a.allotted("x"); shown != first {
		t.Errorf("%v is shown of %v", shown, first)
	}
	if err := a.forget("x"); err != nil {
		t.Fatal(err)
	}
	if next := allocated(t, a, "x", true); next == first {
		t.Errorf("%v was given to another at once", next)
	}
	if claims := claimsOf(t, a.pool); len(claims) != 1 {
		t.Errorf("%d claims, want 1", len(claims))
	}
}

// A range that no longer suits is changed for another: a user of the host has got it, or those of the pool are longer now.
func TestRangesThatSuitNoMore(t *testing.T) {
	a := newIDs(pool(t), "aaaaaaaa", state(t))
	first := allocated(t, a, "x", true)
	line := fmt.Sprintf("bob:%d:1\n", first.Start+first.Count-1)
	if err := os.WriteFile(a.pool.Subordinate[0], []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	second := allocated(t, a, "x", true)
	if second.overlaps(first) {
		t.Errorf("%v is bob's", second)
	}
	a.pool.Size = 200
	if third := allocated(t, a, "x", true); third.Count != 200 || third.overlaps(first) {
		t.Errorf("the third range is %v", third)
	}
}

// Where all ranges belong to a user of the host, as with LXD and Incus, the lines are told and what to set.
func TestTakenPoolNamesTheLines(t *testing.T) {
	a := newIDs(pool(t), "aaaaaaaa", state(t))
	lines := []string{"root:1000000:500", "lxd:1000500:400", "alice:1000900:100"}
	if err := os.WriteFile(a.pool.Subordinate[0], []byte("bob:100000:65536\n"+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := a.allocate("x", "")
	for _, want := range append(lines, a.pool.Subordinate[0], "[idmap] base") {
		if !errors.Is(err, domain.ErrExhausted) || !strings.Contains(err.Error(), want) {
			t.Errorf("allocate: %v, want %q in it", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "bob") {
		t.Errorf("allocate: %v, and bob has none of these", err)
	}
}

// Beside LXD's and Incus' line, in which all ranges of the default lie, a range after them is given; the plan shows it beforehand. A pool that
// says which ids it has is of these alone.
func TestSpareRanges(t *testing.T) {
	small, home := pool(t), state(t)
	if err := os.WriteFile(small.Subordinate[0], []byte("root:1000000:1000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := Pool{Dir: small.Dir, Subordinate: small.Subordinate}.withDefaults()
	a := newIDs(p, "aaaaaaaa", home)
	defer a.close()
	shown := a.allotted("x")
	seen := []Range{}
	for _, uuid := range []string{"x", "y", "z"} {
		r := allocated(t, a, uuid, true)
		if r.Start < 1001000000 || uint64(r.Start)+uint64(r.Count) > spareEnd || r.Count != 65536 || slices.ContainsFunc(seen, r.overlaps) {
			t.Errorf("%s has %v beside %v", uuid, r, seen)
		}
		seen = append(seen, r)
		if again := allocated(t, a, uuid, false); again != r {
			t.Errorf("%s has %v, and had %v", uuid, again, r)
		}
	}
	if shown != seen[0] {
		t.Errorf("the plan shows %v, and %v is given", shown, seen[0])
	}
	if err := os.WriteFile(small.Subordinate[0], []byte("root:1000000:2147483647\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.allocate("w", ""); !errors.Is(err, domain.ErrExhausted) || !strings.Contains(err.Error(), "root:1000000:2147483647") ||
		!strings.Contains(err.Error(), "and 17750 after them") {
		t.Errorf("allocate where all ids are root's: %v", err)
	}
	p.Count--
	if _, _, err := newIDs(p, "aaaaaaaa", home).allocate("v", ""); !errors.Is(err, domain.ErrExhausted) || strings.Contains(err.Error(), "after them") {
		t.Errorf("allocate from a pool of its own: %v", err)
	}
}

// Every range of the default and after it is one of its own below the end, and a full pool gives a spare one.
func TestSpareRangesAreInBounds(t *testing.T) {
	p := Pool{}.withDefaults()
	last := p.slot(p.Count + p.spare() - 1)
	if first := p.slot(p.Count); first.Start != p.Base+p.Size*p.Count || uint64(last.Start)+uint64(last.Count) > spareEnd || last.Start < first.Start {
		t.Errorf("the ranges after those of the pool are %v to %v", first, last)
	}
	marks := p.occupied([]Range{{p.Base, p.Size * p.Count}})
	if slot, next, found := p.free(marks, 7); !found || slot != p.Count || next != p.Count+1 {
		t.Errorf("after a full pool comes %d, then %d, found %v", slot, next, found)
	}
	if slot, next, found := p.free(marks, p.Count+5); !found || slot != p.Count+5 || next != p.Count+6 {
		t.Errorf("after the sixth spare one comes %d, then %d, found %v", slot, next, found)
	}
	for _, r := range []Range{{0, 10}, {p.Base - 1, 1}, {spareEnd, 5}, {4294967295, 1}, {5, 0}} {
		if slices.Contains(p.occupied([]Range{r}), true) {
			t.Errorf("%v occupies a range", r)
		}
	}
	if marks := p.occupied([]Range{{p.Base + p.Size - 1, 2}}); !marks[0] || !marks[1] || marks[2] {
		t.Errorf("two ids occupy %v", marks[:3])
	}
}

// allocated is the range of a domain.
func allocated(t *testing.T, a ids, uuid string, fresh bool) Range {
	t.Helper()
	r, isFresh, err := a.allocate(uuid, "")
	if err != nil {
		t.Fatal(err)
	}
	if isFresh != fresh {
		t.Errorf("range %v of %s: fresh is %v, want %v", r, uuid, isFresh, fresh)
	}
	return r
}

// claimsOf are the claims in a ledger.
func claimsOf(t *testing.T, p Pool) []claim {
	t.Helper()
	dir, err := openFolder(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	l, err := readLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l.Claims
}

func TestRangesOfTheGoneAreFree(t *testing.T) {
	p := pool(t)
	p.Count = 1
	a := newIDs(p, "aaaaaaaa", filepath.Join(t.TempDir(), "gone"))
	allocated(t, a, "x", true)
	b := newIDs(p, "bbbbbbbb", state(t))
	if _, _, err := b.allocate("y", ""); err != nil {
		t.Errorf("the range of a davitd that is gone is held: %v", err)
	}
}

func TestSweepOfRanges(t *testing.T) {
	p, folder := pool(t), state(t)
	a, b := newIDs(p, "aaaaaaaa", folder), newIDs(p, "bbbbbbbb", folder)
	for _, uuid := range []string{"x", "y", "z"} {
		allocated(t, a, uuid, true)
	}
	allocated(t, b, "x", true)
	for i, uuid := range []string{"v", "w"} {
		if _, err := a.claim(uuid, "", folder, mapOf(uint32(5000+10*i), 10)); err != nil {
			t.Fatal(err)
		}
	}
	is := func(list ...string) func(string) bool {
		return func(uuid string) bool { return slices.Contains(list, uuid) }
	}
	if err := a.sweep(is("y", "v"), is("x", "y", "v", "w")); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, c := range claimsOf(t, p) {
		left = append(left, c.Instance[:1]+c.UUID)
	}
	if got := strings.Join(left, " "); got != "ax ay bx av aw" {
		t.Errorf("left are %q", got)
	}
}

// mapOf is a map of both users and groups.
func mapOf(outside, count uint32) maps {
	e := []*monitorv1.IdMapping{{Outside: outside, Count: count}}
	return maps{e, e}
}

// claimed is the error of a claim by <idmap>.
func claimed(a ids, uuid, folder string, m maps) error {
	_, err := a.claim(uuid, "", folder, m)
	return err
}

func TestGivenRangesConflict(t *testing.T) {
	folder := state(t)
	a, m := newIDs(pool(t), "aaaaaaaa", folder), mapOf
	if err := claimed(a, "x", folder, m(5000, 10)); err != nil {
		t.Fatal(err)
	}
	err := claimed(a, "y", folder, m(5009, 10))
	if !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), "host ids 5009-5018 of <idmap> are those of running domain x") {
		t.Errorf("claim an id twice: %v", err)
	}
	if err = claimed(a, "y", folder, m(5010, 10)); err != nil {
		t.Errorf("claim ids beside: %v", err)
	}
	if err = claimed(a, "x", folder, m(5000, 10)); err != nil {
		t.Errorf("claim one's own again: %v", err)
	}
	own := allocated(t, a, "z", true)
	err = claimed(a, "y", folder, m(own.Start, 1))
	if !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), "those of domain z, whether it runs or not") {
		t.Errorf("claim an id that was allotted: %v", err)
	}
	// One that gets an <idmap> gives up what was allotted.
	if err := claimed(a, "z", folder, m(own.Start, 1)); err != nil {
		t.Errorf("claim what was allotted to oneself: %v", err)
	}
}

// The ids of an <idmap> are allotted to nobody as long as its domain is defined, running or not; another <idmap> has them meanwhile.
func TestIdleRangesAreAllottedToNobody(t *testing.T) {
	p, home := pool(t), state(t)
	p.Count = 1
	run := state(t)
	a := newIDs(p, "aaaaaaaa", home)
	m := mapOf(p.Base+10, 10)
	if fresh, err := a.claim("named", "", run, m); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	if err := a.release("named"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := newIDs(p, "bbbbbbbb", home).allocate("x", ""); !errors.Is(err, domain.ErrExhausted) {
		t.Errorf("allocate what a stopped domain names: %v", err)
	}
	if err := claimed(a, "other", run, m); err != nil {
		t.Errorf("another <idmap> has the ids meanwhile: %v", err)
	}
	if err := claimed(a, "named", run, m); err == nil || !strings.Contains(err.Error(), "those of running domain other") {
		t.Errorf("both have the ids at once: %v", err)
	}
	if err := a.release("other"); err != nil {
		t.Fatal(err)
	}
	if fresh, err := a.claim("named", "", run, m); err != nil || fresh {
		t.Errorf("the second start: fresh %v, %v", fresh, err)
	}
	for _, uuid := range []string{"named", "other"} {
		if err := a.forget(uuid); err != nil {
			t.Fatal(err)
		}
	}
	allocated(t, a, "x", true)
}

// named is a definition of a domain with an <idmap>; without one if there are no ids.
func named(uuid, name string, outside, count uint32) *davitv1.Domain {
	def := &davitv1.Domain{Uuid: uuid, Name: name}
	if count > 0 {
		r := []*davitv1.IdRange{{Target: &outside, Count: &count}}
		def.Idmap = &davitv1.IdMap{Uid: r, Gid: r}
	}
	return def
}

// reserved tells a davitd what is defined.
func reserved(t *testing.T, a ids, definitions ...*davitv1.Domain) {
	t.Helper()
	if err := a.reserve(definitions); err != nil {
		t.Fatal(err)
	}
}

// The ids of an <idmap> are allotted to nobody from its define on, also if its domain never ran; they are given up with the definition, or
// when another takes its place.
func TestDefinedRangesAreAllottedToNobody(t *testing.T) {
	p, home := pool(t), state(t)
	p.Count = 1
	a, b := newIDs(p, "aaaaaaaa", home), newIDs(p, "bbbbbbbb", home)
	defer a.close()
	refused := func(when string) {
		t.Helper()
		if _, _, err := b.allocate("y", ""); !errors.Is(err, domain.ErrExhausted) {
			t.Errorf("%s: allocate what a domain names that never ran: %v", when, err)
		}
	}
	reserved(t, a, named("x", "web", p.Base+10, 10), named("z", "plain", 0, 0))
	refused("defined")
	reserved(t, a, named("x", "web", p.Base+20, 10))
	refused("defined anew")
	if err := claimed(a, "w", home, mapOf(p.Base+10, 20)); err != nil {
		t.Errorf("another <idmap> has the ids meanwhile: %v", err)
	}
	if err := a.forget("w"); err != nil {
		t.Fatal(err)
	}
	if claims := claimsOf(t, p); len(claims) != 1 || claims[0].UID[0] != (Range{p.Base + 20, 10}) || claims[0].Name != "web" {
		t.Errorf("claims %+v", claims)
	}
	reserved(t, a, named("x", "web", 0, 0))
	allocated(t, b, "y", true)
	if err := b.forget("y"); err != nil {
		t.Fatal(err)
	}
	reserved(t, a, named("x", "web", p.Base, 1))
	refused("defined again")
	if err := a.forget("x"); err != nil {
		t.Fatal(err)
	}
	allocated(t, b, "y", true)
}

// A run keeps its ids whatever is defined meanwhile; when it has ended its domain has those that it is defined with.
func TestDefinedWhileItRuns(t *testing.T) {
	p, home, run := pool(t), state(t), state(t)
	a := newIDs(p, "aaaaaaaa", home)
	defer a.close()
	reserved(t, a, named("x", "web", 5000, 10))
	if err := claimed(a, "x", run, mapOf(5000, 10)); err != nil {
		t.Fatal(err)
	}
	reserved(t, a, named("x", "site", 6000, 10))
	if err := claimed(a, "y", run, mapOf(5000, 1)); err == nil || !strings.Contains(err.Error(), `are those of running domain "site" (x)`) {
		t.Errorf("claim what runs: %v", err)
	}
	if err := a.release("x"); err != nil {
		t.Fatal(err)
	}
	if claims := claimsOf(t, p); len(claims) != 1 || claims[0].UID[0].Start != 6000 || !claims[0].Idle {
		t.Errorf("claims %+v", claims)
	}
}

// What is listed already is told again without the lock: a daemon that starts with thousands of domains writes nothing. A test that waits
// for the lock never ends.
func TestToldAgainIsNoChange(t *testing.T) {
	p, home := pool(t), state(t)
	a := newIDs(p, "aaaaaaaa", home)
	defer a.close()
	allocated(t, a, "plain", true)
	list := []*davitv1.Domain{named("x", "web", 5000, 10), named("y", "db", 6000, 10), named("plain", "plain", 0, 0), named("new", "new", 0, 0)}
	reserved(t, a, list...)
	dir, err := openFolder(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	lock, err := createAt(dir, lockName, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	if err = flock(lock); err != nil {
		t.Fatal(err)
	}
	reserved(t, a, list...)
	if err = lock.Close(); err != nil {
		t.Fatal(err)
	}
	if claims := claimsOf(t, p); len(claims) != 3 {
		t.Errorf("claims %+v", claims)
	}
}

// Whoever names ids that another has is told whose they are: at the start, and of what is for good at the define already.
func TestConflictsNameTheDomain(t *testing.T) {
	p, home := pool(t), state(t)
	a, b := newIDs(p, "aaaaaaaa", home), newIDs(p, "bbbbbbbb", home)
	own, _, err := a.allocate("x", "web")
	if err != nil {
		t.Fatal(err)
	}
	for who, i := range map[string]ids{`domain "web" (x), whether it runs or not; name others`: a, `domain "web" (x) of another davitd (` + home + `), whether it runs`: b} {
		if err := claimed(i, "y", home, mapOf(own.Start+5, 1)); err == nil || !strings.Contains(err.Error(), who) {
			t.Errorf("claim: %v, want %q", err, who)
		}
		if err := i.taken(named("y", "db", own.Start+5, 1)); err == nil || !strings.Contains(err.Error(), who) {
			t.Errorf("define: %v, want %q", err, who)
		}
	}
	if err := a.taken(named("x", "web", own.Start, 1)); err != nil {
		t.Errorf("what is its own: %v", err)
	}
	if err := claimed(a, "y", home, mapOf(7000, 1)); err != nil {
		t.Fatal(err)
	}
	if err := a.taken(named("z", "mail", 7000, 1)); err != nil {
		t.Errorf("what another <idmap> has as long as its domain runs: %v", err)
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

// A thousand domains of twenty davitds, each of which opens the list and its lock anew, never share an id.
func TestThousandRanges(t *testing.T) {
	p, home := pool(t), state(t)
	p.Count = 2000
	var mu sync.Mutex
	var all []Range
	var wg sync.WaitGroup
	for davitd := range 20 {
		a := newIDs(p, fmt.Sprintf("davitd%02d", davitd), home)
		wg.Go(func() {
			for i := range 50 {
				r, fresh, err := a.allocate(fmt.Sprintf("uuid-%d", i), "")
				if err != nil || !fresh {
					t.Errorf("allocate: %v, fresh %v", err, fresh)
					return
				}
				mu.Lock()
				all = append(all, r)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(all) != 1000 {
		t.Fatalf("%d ranges, want 1000", len(all))
	}
	slices.SortFunc(all, func(a, b Range) int { return int(a.Start) - int(b.Start) })
	for i := 1; i < len(all); i++ {
		if all[i-1].overlaps(all[i]) {
			t.Errorf("ranges %v and %v were given", all[i-1], all[i])
		}
	}
	if n := len(claimsOf(t, p)); n != 1000 {
		t.Errorf("%d claims, want 1000", n)
	}
}
