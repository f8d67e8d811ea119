package native

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	// allotted are the ranges of domains as long as they are defined; given has those with ranges of their <idmap>.
	allotted map[string]Range
	given    map[string]bool
	// own are all claims of this instance by the list that it read or wrote last to change it.
	own []claim
}

// look tells what a domain has, without waiting for those who change the list: its range, and whether it has those of an <idmap>.
func (a ids) look(uuid string) (own Range, allotted, given bool, err error) {
	a.view.mu.Lock()
	defer a.view.mu.Unlock()
	if err = a.refresh(); err != nil {
		return Range{}, false, false, err
	}
	own, allotted = a.view.allotted[uuid]
	return own, allotted, a.view.given[uuid], nil
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
	a.view.take(file, l, a.instance)
	return nil
}

// isOf tells whether a view is of the file that has a name now.
func (v *view) isOf(path string) bool {
	var now unix.Stat_t
	return v.file != nil && unix.Lstat(path, &now) == nil && now.Dev == v.seen.Dev && now.Ino == v.seen.Ino &&
		now.Size == v.seen.Size && now.Mtim == v.seen.Mtim
}

// take makes a view of a list.
func (v *view) take(file *os.File, l *ledger, instance string) {
	v.file, v.allotted, v.given = file, make(map[string]Range), make(map[string]bool)
	for _, c := range l.Claims {
		switch {
		case c.Instance != instance:
		case c.Given:
			v.given[c.UUID] = !c.Idle
		case len(c.UID) == 1:
			v.allotted[c.UUID] = c.UID[0]
		}
	}
}

// forget lets go of the list.
func (v *view) forget() {
	if v.file != nil {
		_ = v.file.Close()
	}
	v.file, v.allotted, v.given = nil, nil, nil
}

// close lets go of what is held.
func (a ids) close() {
	a.view.mu.Lock()
	defer a.view.mu.Unlock()
	a.view.forget()
}
