package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"go.uber.org/zap"
)

// Options says where the store is.
type Options struct {
	// LibDir is what outlives the host's reboot: /var/lib/davit. Made if its parent is there.
	LibDir string
	// RunDir is what does not: /run/davit. Made if its parent is there.
	RunDir string
	// Logger hears of status records that could not be read. May be nil.
	Logger *zap.Logger
}

// Store is an open store; no other process has it.
type Store struct {
	lib, run  *folder
	domains   *folder
	autostart *folder
	status    *folder
	requests  *folder
	boot      []byte // id of the host's boot
	locks     []*os.File
	logger    *zap.Logger
	instance  string
	ids       counter
}

// Open opens the store and locks it. If another daemon has it, the error has reason RESOURCE_BUSY and names its pid.
func Open(o Options) (*Store, error) {
	s := &Store{logger: o.Logger}
	if s.logger == nil {
		s.logger = zap.NewNop()
	}
	if err := s.open(o); err != nil {
		return nil, errors.Join(refusal("open state", o.LibDir, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(o Options) error {
	for _, at := range []struct {
		dir  string
		mode fs.FileMode
		to   **folder
	}{{o.LibDir, 0o700, &s.lib}, {o.RunDir, 0o711, &s.run}} {
		if err := makeFolder(at.dir, at.mode); err != nil {
			return err
		}
		root, err := os.OpenRoot(at.dir)
		if err != nil {
			return err
		}
		*at.to = newFolder(root, at.dir)
		lock, err := takeLock(*at.to)
		if err != nil {
			return err
		}
		s.locks = append(s.locks, lock)
	}
	for _, at := range []struct {
		in   *folder
		name string
		to   **folder
	}{
		{s.lib, "domains", &s.domains},
		{s.lib, "autostart", &s.autostart},
		{s.run, "status", &s.status},
		{s.run, "requests", &s.requests},
	} {
		sub, err := at.in.sub(at.name)
		if err != nil {
			return err
		}
		*at.to = sub
		if err := sub.removeTemporary(); err != nil {
			return err
		}
	}
	var err error
	if s.boot, err = bootID(); err != nil {
		return err
	}
	if s.instance, err = readInstance(s.lib); err != nil {
		return err
	}
	return s.ids.open(s.run, s.status)
}

// makeFolder makes a state folder, or refuses one that others could have filled.
func makeFolder(dir string, mode fs.FileMode) error {
	err := os.Mkdir(dir, mode)
	if err == nil {
		return os.Chmod(dir, mode) // the umask took bits away
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%q is not a folder", dir)
	case !ok || int(owner.Uid) != os.Geteuid():
		return fmt.Errorf("folder %q is not owned by user %d", dir, os.Geteuid())
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("folder %q has mode %#o: others may write to it", dir, info.Mode().Perm())
	}
	return nil
}

// Instance is the 8 hex digits that mark all that this daemon makes on the host.
func (s *Store) Instance() string { return s.instance }

// Close lets the store go; another daemon may have it then.
func (s *Store) Close() error {
	var errs []error
	for _, f := range []*folder{s.domains, s.autostart, s.status, s.requests, s.lib, s.run} {
		if f != nil {
			errs = append(errs, f.root.Close())
		}
	}
	errs = append(errs, s.ids.close())
	for _, lock := range s.locks {
		errs = append(errs, lock.Close())
	}
	return errors.Join(errs...)
}
