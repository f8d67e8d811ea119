package native

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Pool says which host ids davit hands out. All instances of a host share one folder, so that no range is in use twice.
type Pool struct {
	// Dir holds the list of ranges that domains have and its lock; "/var/lib/davit-ids" when empty. It outlives the host's boot: a
	// domain keeps its range as long as it is defined.
	Dir string
	// Former is the folder of a list that is taken over when Dir has none; "/run/davit-ids" when Dir is empty, too.
	Former string
	// Base is the first id, Size the length of a range, Count how many there are; 1000000, 65536 and 15000 when 0.
	Base, Size, Count uint32
	// Subordinate are the files of ranges that belong to the host's users; /etc/subuid and /etc/subgid when nil.
	Subordinate []string
}

// withDefaults fills in what is not given.
func (p Pool) withDefaults() Pool {
	if p.Dir == "" {
		p.Dir, p.Former = "/var/lib/davit-ids", formerDir
	}
	if p.Base == 0 {
		p.Base = 1000000
	}
	if p.Size == 0 {
		p.Size = 65536
	}
	if p.Count == 0 {
		p.Count = 15000
	}
	if p.Subordinate == nil {
		p.Subordinate = []string{"/etc/subuid", "/etc/subgid"}
	}
	return p
}

// check refuses a pool that has the ids of the host's own users, or ids that the terminals of a domain cannot belong to: older
// kernels (6.1) take no group above 2147483647 for a devpts.
func (p Pool) check() error {
	const lowest, highest = 100000, 1 << 31
	if p.Base < lowest {
		return fmt.Errorf("read id ranges: base %d is below %d, where the host's own users are", p.Base, lowest)
	}
	if end := uint64(p.Base) + uint64(p.Size)*uint64(p.Count); end > highest {
		return fmt.Errorf("read id ranges: %d ranges of %d ids from %d on end at %d, above %d", p.Count, p.Size, p.Base, end-1, highest-1)
	}
	return nil
}

// slot is the range of a number.
func (p Pool) slot(i uint32) Range { return Range{Start: p.Base + i*p.Size, Count: p.Size} }

// claim is what one domain has of the host's ids: a range that was allotted to it, as long as it is defined, or those of its <idmap>,
// as long as it runs. The latter stay listed until it is undefined, so that they are allotted to nobody.
type claim struct {
	Instance string  `json:"instance"`
	UUID     string  `json:"uuid"`
	Folder   string  `json:"folder"` // when that is gone, so is the claim: the davitd's home, or the state of a run
	UID      []Range `json:"uid"`
	GID      []Range `json:"gid"`
	Given    bool    `json:"given,omitempty"` // by <idmap>
	Idle     bool    `json:"idle,omitempty"`  // it does not run: another <idmap> may have them meanwhile
}

// conflicts finds a range of another claim that shares an id with this one's.
func (c claim) conflicts(o claim) (Range, bool) {
	for _, pair := range [][2][]Range{{c.UID, o.UID}, {c.GID, o.GID}} {
		for _, r := range pair[0] {
			if slices.ContainsFunc(pair[1], r.overlaps) {
				return r, true
			}
		}
	}
	return Range{}, false
}

// ledger is the list of ranges in use.
type ledger struct {
	Next   uint32  `json:"next"` // slot to look at first: a range rests as long as it can before it is used again
	Claims []claim `json:"claims"`
	// changed tells that it is to be written.
	changed bool
}

// ids is the allocator of one instance.
type ids struct {
	pool     Pool
	instance string
	home     string // a folder of davitd's that outlives the boot
	view     *view
	log      *zap.Logger
}

func newIDs(pool Pool, instance, home string) ids {
	return ids{pool, instance, home, new(view), zap.NewNop()}
}

// allocate gives a domain the range that it has, or one that nobody has; fresh tells that it is the latter. The range is the domain's
// until forget. One that meanwhile belongs to a user of the host, or is not as long as those of the pool, is changed for another.
//
// Almost always a domain has one, from its first start or its definition. To find that takes no lock, and no look at the list of all.
func (a ids) allocate(uuid string) (given Range, fresh bool, err error) {
	taken, err := a.subordinate()
	if err != nil {
		return Range{}, false, err
	}
	usable := func(own Range) bool { return own.Count == a.pool.Size && !slices.ContainsFunc(taken, own.overlaps) }
	if own, ok, _, unseen := a.look(uuid); unseen == nil && ok && usable(own) {
		return own, false, nil
	}
	err = a.update(func(l *ledger) error {
		if own, ok := l.allotted(a.instance, uuid); ok && usable(own) {
			given = own
			return nil
		}
		l.drop(func(c claim) bool { return c.Instance == a.instance && c.UUID == uuid })
		slot, found := a.free(l, taken)
		if !found && l.dropStale() {
			slot, found = a.free(l, taken)
		}
		if found {
			given, fresh = a.pool.slot(slot), true
			l.Next = (slot + 1) % a.pool.Count
			l.add(claim{Instance: a.instance, UUID: uuid, Folder: a.home, UID: []Range{given}, GID: []Range{given}})
			return nil
		}
		return &domain.Error{
			Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED,
			Op:      "allocate ids",
			Message: fmt.Sprintf("all %d ranges of %d ids from %d on are in use%s", a.pool.Count, a.pool.Size, a.pool.Base, a.owners()),
			Detail:  map[string]string{"base": decimal(a.pool.Base), "size": decimal(a.pool.Size), "count": decimal(a.pool.Count)},
		}
	})
	return given, fresh, err
}

// allotted is the range that a domain has, the first of the pool if it has none yet. It waits for nobody: what is told is what was so
// a moment ago.
func (a ids) allotted(uuid string) Range {
	if own, ok, _, err := a.look(uuid); err == nil && ok {
		return own
	}
	return a.pool.slot(0)
}

// free finds a slot that nobody has.
func (a ids) free(l *ledger, taken []Range) (slot uint32, found bool) {
	for i := range a.pool.Count {
		slot = (l.Next + i) % a.pool.Count
		r := a.pool.slot(slot)
		c := claim{UID: []Range{r}, GID: []Range{r}}
		if !slices.ContainsFunc(taken, r.overlaps) && !l.conflicts(c, nil) {
			return slot, true
		}
	}
	return 0, false
}

// claim holds the ranges that a definition gives, unless another domain has them; fresh tells that they were not listed for it before.
func (a ids) claim(uuid, folder string, m maps) (fresh bool, err error) {
	c := claim{Instance: a.instance, UUID: uuid, Folder: folder, Given: true}
	c.UID, c.GID = m.ranges()
	err = a.update(func(l *ledger) error {
		before := len(l.Claims)
		l.drop(func(c claim) bool { return c.Instance == a.instance && c.UUID == uuid })
		fresh = len(l.Claims) == before
		var owner claim
		var ids Range
		tell := func(o claim, r Range) { owner, ids = o, r }
		if l.conflicts(c, tell) && (!l.dropStale() || l.conflicts(c, tell)) {
			return &domain.Error{
				Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY,
				Op: "claim ids", Message: fmt.Sprintf("host ids %s of <idmap> are those of %s", ids, owner.words()),
				Detail: map[string]string{"owner": owner.UUID, "ids": ids.String()},
			}
		}
		l.add(c)
		return nil
	})
	return fresh, err
}

// release gives back what a domain has as long as it runs.
func (a ids) release(uuid string) error {
	if _, _, given, err := a.look(uuid); err == nil && !given {
		return nil
	}
	return a.update(func(l *ledger) error {
		l.rest(func(c claim) bool { return c.Instance == a.instance && c.UUID == uuid && c.Given }, a.home)
		return nil
	})
}

// forget gives back what a domain has as long as it is defined, too.
func (a ids) forget(uuid string) error {
	return a.dropAll(func(c claim) bool { return c.UUID == uuid })
}

// sweep gives back what this instance's domains have that do not run, or are not defined.
func (a ids) sweep(runs, defined func(uuid string) bool) error {
	return a.update(func(l *ledger) error {
		l.drop(func(c claim) bool { return c.Instance == a.instance && !defined(c.UUID) })
		l.rest(func(c claim) bool { return c.Instance == a.instance && c.Given && !runs(c.UUID) }, a.home)
		return nil
	})
}

// dropAll drops claims of this instance.
func (a ids) dropAll(gone func(claim) bool) error {
	return a.update(func(l *ledger) error {
		l.drop(func(c claim) bool { return c.Instance == a.instance && gone(c) })
		return nil
	})
}

// words tell whose claim it is.
func (c claim) words() string {
	if c.Given && !c.Idle {
		return "running domain " + c.UUID
	}
	return "domain " + c.UUID + ", whether it runs or not"
}

// allotted is the range that a domain has without naming it.
func (l *ledger) allotted(instance, uuid string) (Range, bool) {
	for _, c := range l.Claims {
		if c.Instance == instance && c.UUID == uuid && !c.Given && len(c.UID) == 1 {
			return c.UID[0], true
		}
	}
	return Range{}, false
}

func (l *ledger) add(c claim) {
	l.Claims, l.changed = append(l.Claims, c), true
}

func (l *ledger) drop(gone func(claim) bool) {
	before := len(l.Claims)
	l.Claims = slices.DeleteFunc(l.Claims, gone)
	l.changed = l.changed || len(l.Claims) < before
}

// rest lets claims be of domains that do not run; home is a folder that is there as long as they are defined.
func (l *ledger) rest(over func(claim) bool, home string) {
	for i, c := range l.Claims {
		if !c.Idle && over(c) {
			l.Claims[i].Idle, l.Claims[i].Folder, l.changed = true, home, true
		}
	}
}

// dropStale drops claims of domains whose state is gone: their instance was removed without a release. It looks at the
// folder of each, so it is done only when ids are wanted for.
func (l *ledger) dropStale() (dropped bool) {
	before := len(l.Claims)
	l.drop(func(c claim) bool {
		_, err := os.Stat(c.Folder)
		return errors.Is(err, fs.ErrNotExist)
	})
	return len(l.Claims) < before
}

// conflicts tells whether a claim shares an id with one that is held; tell, if not nil, learns with which.
func (l *ledger) conflicts(c claim, tell func(o claim, shared Range)) bool {
	for _, o := range l.Claims {
		if r, found := c.conflicts(o); found && (!c.Given || !o.Idle) {
			if tell != nil {
				tell(o, r)
			}
			return true
		}
	}
	return false
}

const (
	ledgerName = "ranges.json"
	lockName   = "lock"
	// ledgerBytes bounds the list: 15000 claims take 3 MB.
	ledgerBytes = 64 << 20
)

// update changes the ledger under the lock of the host.
func (a ids) update(change func(*ledger) error) error {
	if err := os.MkdirAll(a.pool.Dir, 0o700); err != nil {
		return fmt.Errorf("make id folder: %w", err)
	}
	dir, err := openFolder(a.pool.Dir)
	if err != nil {
		return fmt.Errorf("open id folder: %w", err)
	}
	defer func() { _ = dir.Close() }()
	lock, err := createAt(dir, lockName, os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err = flock(lock); err != nil {
		return err
	}
	l, err := a.open(dir)
	if err != nil {
		return err
	}
	a.mend(l)
	if err = a.write(dir, l); err != nil { // what was mended stays, whatever becomes of the change
		return err
	}
	if err = change(l); err != nil {
		return err
	}
	return a.write(dir, l)
}

// write writes the list if it is another than the one that was read.
func (a ids) write(dir *os.File, l *ledger) error {
	if l.changed {
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if err = replace(dir, ledgerName, text, true); err != nil {
			return err
		}
		l.changed = false
	}
	a.remember(l)
	return nil
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				return fmt.Errorf("lock %q: %w", f.Name(), err)
			}
			return nil
		}
	}
}

func readLedger(dir *os.File) (*ledger, error) {
	text, err := readAt(dir, ledgerName, ledgerBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return new(ledger), nil
	}
	if err != nil {
		return nil, err
	}
	return parseLedger(dir.Name(), text)
}

func parseLedger(dir string, text []byte) (*ledger, error) {
	l := new(ledger)
	if err := json.Unmarshal(text, l); err != nil {
		return nil, fmt.Errorf("read %q: %w", filepath.Join(dir, ledgerName), err)
	}
	return l, nil
}

// owners name the first line of the files of subordinate ids that has ids of the pool, and what can be done; "" if there is none.
func (a ids) owners() string {
	whole := Range{a.pool.Base, a.pool.Size * a.pool.Count}
	for _, name := range a.pool.Subordinate {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if r, ok := parseSubordinate(line); ok && r.overlaps(whole) {
				return fmt.Sprintf(" or belong to users of the host, as by %q in %s: have [idmap] base in the configuration above them",
					strings.TrimSpace(line), name)
			}
		}
	}
	return ""
}

// parseSubordinate reads a line of subuid(5).
func parseSubordinate(line string) (Range, bool) {
	fields := strings.Split(strings.TrimSpace(line), ":")
	if len(fields) != 3 {
		return Range{}, false
	}
	start, err1 := strconv.ParseUint(fields[1], 10, 32)
	count, err2 := strconv.ParseUint(fields[2], 10, 32)
	return Range{uint32(start), uint32(count)}, err1 == nil && err2 == nil && count > 0
}

// subordinate are the ranges of subuid(5): NAME:START:COUNT. Lines that say something else are passed over, as the tools
// that read them do.
func (a ids) subordinate() ([]Range, error) {
	var out []Range
	for _, name := range a.pool.Subordinate {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read subordinate ids: %w", err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if r, ok := parseSubordinate(lines.Text()); ok {
				out = append(out, r)
			}
		}
		err = lines.Err()
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", name, err)
		}
	}
	return out, nil
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
