package native

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// A view is what the domains of one instance have, as the list said when it was read last. Only this instance changes that, so that
// others' changes of the list make no difference but that it is read again.
type view struct {
	mu sync.Mutex
	// file is the list, and seen what it was when it was read. It is always replaced, and another file has another number as long as
	// this one is open.
	file *os.File
	seen unix.Stat_t
	// listed are the claims of a domain in the list, lost those that were in an earlier one and that nobody gave back. A claim is in one
	// of both.
	listed map[string][]claim
	lost   []claim
}

// look tells what a domain has, without waiting for those who change the list: its range, and whether it has those of an <idmap>.
func (a ids) look(uuid string) (own Range, allotted, given bool, err error) {
	a.view.mu.Lock()
	defer a.view.mu.Unlock()
	if err = a.refresh(); err != nil {
		return Range{}, false, false, err
	}
	for _, c := range a.view.listed[uuid] {
		switch {
		case c.Given:
			given = given || !c.Idle
		case len(c.UID) == 1:
			own, allotted = c.UID[0], true
		}
	}
	return own, allotted, given, nil
}

// holds tells whether the list says already what it is to say of a domain with a definition: the ids of c, or none.
func (a ids) holds(c claim) bool {
	a.view.mu.Lock()
	defer a.view.mu.Unlock()
	if a.refresh() != nil {
		return false
	}
	named := len(c.UID)+len(c.GID) > 0
	for _, o := range a.view.listed[c.UUID] {
		if o.Name != c.Name || o.Idle && !o.same(c) {
			return false
		}
		if o.same(c) {
			named = false
		}
	}
	return !named
}

// refresh reads the list if it is another than that of the view.
func (a ids) refresh() error {
	path := filepath.Join(a.pool.Dir, ledgerName)
	if a.view.isOf(path) {
		return nil
	}
	a.view.forget()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	var l *ledger
	var text []byte
	if err = unix.Fstat(fd, &a.view.seen); err == nil {
		text, err = io.ReadAll(io.LimitReader(file, ledgerBytes))
	}
	if err == nil {
		l, err = parseLedger(a.pool.Dir, text)
	}
	if err != nil {
		_ = file.Close()
		return err
	}
	a.view.file = file
	a.view.learn(l, a.instance)
	return nil
}

// isOf tells whether a view is of the file that has a name now.
func (v *view) isOf(path string) bool {
	var now unix.Stat_t
	return v.file != nil && unix.Lstat(path, &now) == nil && now.Dev == v.seen.Dev && now.Ino == v.seen.Ino &&
		now.Size == v.seen.Size && now.Mtim == v.seen.Mtim
}

// learn makes a view that of a list. What an earlier list said of a domain, and this one does not, is lost.
func (v *view) learn(l *ledger, instance string) {
	before := v.listed
	v.listed = make(map[string][]claim)
	for _, c := range l.Claims {
		if c.Instance == instance {
			v.listed[c.UUID] = append(v.listed[c.UUID], c)
		}
	}
	for _, claims := range before {
		v.lost = append(v.lost, claims...)
	}
	v.lost = slices.DeleteFunc(v.lost, func(c claim) bool { return len(v.listed[c.UUID]) > 0 })
}

// forget lets go of the list; what it said is lost until one says it again.
func (v *view) forget() {
	if v.file != nil {
		_ = v.file.Close()
	}
	v.file = nil
	v.learn(new(ledger), "")
}

// close lets go of what is held.
func (a ids) close() {
	a.view.mu.Lock()
	defer a.view.mu.Unlock()
	a.view.forget()
}
