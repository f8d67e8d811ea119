package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// claim is what one domain has of the host's ids: a range that was allotted to it, as long as it is defined, or those of its <idmap>.
// The latter are its own as long as it runs, and allotted to nobody as long as it is defined.
type claim struct {
	Instance string  `json:"instance"`
	UUID     string  `json:"uuid"`
	Name     string  `json:"name,omitempty"` // for people; a list of an older davit has none
	Folder   string  `json:"folder"`         // when that is gone, so is the claim: the davitd's home, or the state of a run
	UID      []Range `json:"uid"`
	GID      []Range `json:"gid"`
	Given    bool    `json:"given,omitempty"` // by <idmap>
	Idle     bool    `json:"idle,omitempty"`  // it does not run: another <idmap> may have them meanwhile
}

// of tells whether it is a domain's.
func (c claim) of(instance, uuid string) bool { return c.Instance == instance && c.UUID == uuid }

// same tells whether both have the same ids, of the same kind.
func (c claim) same(o claim) bool {
	return c.Given == o.Given && slices.Equal(c.UID, o.UID) && slices.Equal(c.GID, o.GID)
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

// words tell whose claim it is, to the davitd of an instance.
func (c claim) words(instance string) string {
	text := "domain " + c.UUID
	if c.Name != "" {
		text = fmt.Sprintf("domain %q (%s)", c.Name, c.UUID)
	}
	if c.Instance != instance {
		text += " of another davitd (" + c.Folder + ")"
	}
	if c.Given && !c.Idle {
		return "running " + text
	}
	return text + ", whether it runs or not"
}

// ledger is the list of ranges in use.
type ledger struct {
	Next   uint32  `json:"next"` // slot to look at first: a range rests as long as it can before it is used again
	Claims []claim `json:"claims"`
	// changed tells that it is to be written.
	changed bool
}

// allotted is the range that a domain has without naming it.
func (l *ledger) allotted(instance, uuid string) (Range, bool) {
	for _, c := range l.Claims {
		if c.of(instance, uuid) && !c.Given && len(c.UID) == 1 {
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

// rest lets claims be of domains that do not run; home is a folder that is there as long as they are defined. What a domain would have that is
// defined anew is listed already, and is then all that it has.
func (l *ledger) rest(over func(claim) bool, home string) {
	resting := make(map[[2]string]bool)
	for _, c := range l.Claims {
		if c.Idle {
			resting[[2]string{c.Instance, c.UUID}] = true
		}
	}
	l.drop(func(c claim) bool { return !c.Idle && over(c) && resting[[2]string{c.Instance, c.UUID}] })
	for i, c := range l.Claims {
		if !c.Idle && over(c) {
			l.Claims[i].Idle, l.Claims[i].Folder, l.changed = true, home, true
		}
	}
}

// hold has the ids that a definition names, none if it has none, allotted to nobody, whether its domain ever ran or not.
func (l *ledger) hold(c claim) {
	l.drop(func(o claim) bool { return o.of(c.Instance, c.UUID) && o.Idle })
	listed := len(c.UID)+len(c.GID) == 0
	for i, o := range l.Claims {
		if !o.of(c.Instance, c.UUID) {
			continue
		}
		listed = listed || o.same(c)
		if o.Name != c.Name {
			l.Claims[i].Name, l.changed = c.Name, true
		}
	}
	if !listed {
		l.add(c)
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

// ranges are all ids of claims.
func (l *ledger) ranges() (all []Range) {
	for _, c := range l.Claims {
		all = append(append(all, c.UID...), c.GID...)
	}
	return all
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
