package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

const (
	// nameFile has the name of the domain.
	nameFile = "name"
	// goneFile is there while the domain is not; its time is since when.
	goneFile = "gone"
	// maxName is the most that is read of a name: domains have at most 255 bytes.
	maxName = 1024
)

// name reads the name of the domain, "" if it was not noted.
func (f *folder) name() (string, error) {
	file, err := openBeneath(f.dir, nameFile, unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxName))
	if err != nil {
		return "", fmt.Errorf("read name of log: %w", err)
	}
	return string(text), nil
}

// setName notes the name of the domain. Whoever reads it meets the old or the new one.
func (f *folder) setName(name string) error {
	if had, err := f.name(); err == nil && had == name {
		return nil
	}
	const beside = "." + nameFile
	err := f.create(beside, name)
	if err == nil {
		err = unix.Renameat(int(f.dir.Fd()), beside, int(f.dir.Fd()), nameFile)
	}
	if err != nil {
		return fmt.Errorf("note name of log: %w", err)
	}
	return nil
}

// setGone notes that the domain is gone, or that it is there.
func (f *folder) setGone(gone bool) error {
	var err error
	if gone {
		if f.gone().IsZero() {
			err = f.create(goneFile, "")
		}
	} else if err = unix.Unlinkat(int(f.dir.Fd()), goneFile, 0); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("note end of domain at its log: %w", err)
	}
	return nil
}

// create writes a file, in the place of one that is there.
func (f *folder) create(name, text string) error {
	if err := unix.Unlinkat(int(f.dir.Fd()), name, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fd, err := unix.Openat(int(f.dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(text))
	return errors.Join(err, unix.Close(fd))
}

// note notes at a domain's log what is so now: its name, and whether it is gone. last is the name that it had, if that is
// known. A domain without a log has nothing noted.
func (l *Logs) note(uuid, last string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	dir, err := l.folder(uuid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.close()
	name, _, there := l.options.Domains.Lookup(uuid)
	if !there {
		name = last
	}
	if name != "" {
		err = dir.setName(name)
	}
	return errors.Join(err, dir.setGone(!there))
}
