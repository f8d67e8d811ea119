package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// temporary begins the name of a file that is being written.
const temporary = ".new-"

// atOnce is how many change a folder at once. The kernel lets one in at a time; whoever waits there instead of here takes a
// thread, and a thousand domains that have something to write would take a thousand.
const atOnce = 16

// folder is an open folder of state.
type folder struct {
	root    *os.Root
	name    string // for messages
	serial  atomic.Uint64
	fault   func(step string) error // fails a step, in tests
	changes chan struct{}           // has one element for each who changes the folder
}

func newFolder(root *os.Root, name string) *folder {
	return &folder{root: root, name: name, changes: make(chan struct{}, atOnce)}
}

// begin waits for a turn to change the folder, and end gives it back.
func (f *folder) begin() (end func()) {
	f.changes <- struct{}{}
	return func() { <-f.changes }
}

// sub opens a folder below, which is made if it is not there.
func (f *folder) sub(name string) (*folder, error) {
	if err := f.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := f.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return newFolder(root, f.name+"/"+name), nil
}

// names lists the folder, sorted.
func (f *folder) names() ([]string, error) {
	d, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// removeTemporary removes what a daemon that was killed was writing.
func (f *folder) removeTemporary() error {
	names, err := f.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, temporary) {
			if err := f.root.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace puts data under a name: all of it, or what was there stays. Only the very last step, which puts the name on
// disk, can fail with the new data in place.
func (f *folder) replace(name string, data []byte, durable bool) error {
	defer f.begin()()
	beside := temporary + strconv.FormatUint(f.serial.Add(1), 10)
	err := f.write(beside, data, durable)
	if err == nil {
		err = f.step("rename")
	}
	if err == nil {
		err = f.root.Rename(beside, name)
	}
	if err != nil {
		if gone := f.root.Remove(beside); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return fmt.Errorf("write %q: %w", f.name+"/"+name, err)
	}
	if durable {
		return f.syncNames()
	}
	return nil
}

func (f *folder) write(name string, data []byte, durable bool) error {
	if err := f.step("create"); err != nil {
		return err
	}
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = f.step("write"); err != nil {
		_, _ = file.Write(data[:len(data)/2]) // as a disk that fills up
	} else {
		_, err = file.Write(data)
	}
	if err == nil && durable {
		if err = f.step("sync"); err == nil {
			err = file.Sync()
		}
	}
	return errors.Join(err, file.Close())
}

// syncNames puts the folder's names on disk.
func (f *folder) syncNames() error {
	if err := f.step("sync folder"); err != nil {
		return err
	}
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder %q: %w", f.name, err)
	}
	return nil
}

// remove takes a name away; one that is not there is as good.
func (f *folder) remove(name string, durable bool) error {
	defer f.begin()()
	err := f.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && durable {
		err = f.syncNames()
	}
	return err
}

// quarantine gives a file that cannot be read another name, out of the way, and tells which.
func (f *folder) quarantine(name string) (string, error) {
	for n := 1; ; n++ {
		aside := name + ".damaged"
		if n > 1 {
			aside += "." + strconv.Itoa(n)
		}
		if _, err := f.root.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			return aside, f.root.Rename(name, aside)
		} else if err != nil {
			return "", err
		}
	}
}

func (f *folder) step(name string) error {
	if f.fault == nil {
		return nil
	}
	return f.fault(name)
}
