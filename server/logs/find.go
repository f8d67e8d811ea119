package logs

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
)

// patience is how long a call waits for the journal to be followed, which is a matter of microseconds.
const patience = 2 * time.Second

// find gives the UUID of a domain that there is, or of one that is gone and has a log.
func (l *Logs) find(ctx context.Context, ref string) (uuid string, err error) {
	if ref == "" {
		return "", invalid("domain", "name a domain by uuid or name")
	}
	if uuid, err := domain.ParseUUID(ref); err == nil && l.has(uuid) {
		return uuid, nil
	}
	if uuid, ok := l.options.Domains.LookupName(ref); ok {
		return uuid, nil
	}
	l.catchUp(ctx)
	return l.findGone(ref)
}

// has tells whether there is such a domain, or a log of it.
func (l *Logs) has(uuid string) bool {
	if _, _, ok := l.options.Domains.Lookup(uuid); ok {
		return true
	}
	_, err := l.root.Lstat(uuid)
	return err == nil
}

// findGone looks for the domain that had a name and went last.
func (l *Logs) findGone(name string) (uuid string, err error) {
	all, err := l.uuids()
	if err != nil {
		return "", err
	}
	var latest time.Time
	for _, candidate := range all {
		if _, _, ok := l.options.Domains.Lookup(candidate); ok {
			continue
		}
		had, since, err := l.look(candidate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if had == name && (uuid == "" || since.After(latest)) {
			uuid, latest = candidate, since
		}
	}
	if uuid == "" {
		return "", notFound(name)
	}
	return uuid, nil
}

// look tells what is known of the domain of a log: the name that it had last, and since when it is gone; zero if that was
// not noted.
func (l *Logs) look(uuid string) (name string, since time.Time, err error) {
	dir, err := l.folder(uuid)
	if err != nil {
		return "", since, err
	}
	defer dir.close()
	name, err = dir.name()
	if err != nil {
		return "", since, err
	}
	return name, dir.gone(), nil
}

// gone is since when the domain is gone.
func (f *folder) gone() time.Time {
	var st unix.Stat_t
	if err := unix.Fstatat(int(f.dir.Fd()), goneFile, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return time.Time{}
	}
	return time.Unix(st.Mtim.Unix())
}
