package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A file that consoles are written to is one domain's as long as that runs, whichever davitd of the host starts the other. So each run that
// has such files is listed, with them, in a folder that all davitds share. What is listed holds as long as its monitor lives, which has the
// only lock of its own log: nobody has to take back what a davitd that was killed has listed.

// terminalClaim is what one run has.
type terminalClaim struct {
	Instance string   `json:"instance"`
	UUID     string   `json:"uuid"`
	Name     string   `json:"name"`
	Folder   string   `json:"folder"` // the state of the run, in which its monitor has its log
	Files    []string `json:"files"`  // whatever their paths are: number of the folder and name
}

// words tell whose claim it is, to the davitd of an instance.
func (c terminalClaim) words(instance string) string {
	text := fmt.Sprintf("running domain %q (%s)", c.Name, c.UUID)
	if c.Instance != instance {
		text += " of another davitd (" + c.Folder + ")"
	}
	return text
}

// holds tells whether the run's monitor lives.
func (c terminalClaim) holds() bool {
	fd, err := unix.Open(filepath.Join(c.Folder, logName), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) != nil
}

// terminalsDir is the folder of the list.
func (d *Driver) terminalsDir() string { return filepath.Join(d.opts.Pool.Dir, "consoles") }

// terminalClaimName is the file of a domain's claim.
func (d *Driver) terminalClaimName(uuid string) string {
	return d.opts.Instance + "-" + uuid + ".json"
}

// claimTerminals lists the files of a run that is about to begin, unless another that runs has one of them. They are open and locked, so that
// no other that has one of them is about to begin. A run that goes on with another monitor has them listed again.
func (d *Driver) claimTerminals(def *davitv1.Domain, files *terminalFiles) error {
	own := terminalClaim{Instance: d.opts.Instance, UUID: def.GetUuid(), Name: def.GetName(), Folder: d.states.path(def.GetUuid())}
	keys, err := files.keys()
	if err != nil || len(keys) == 0 {
		return err
	}
	if err = os.MkdirAll(d.terminalsDir(), 0o700); err != nil {
		return fmt.Errorf("make folder of claims: %w", err)
	}
	dir, err := openFolder(d.terminalsDir())
	if err != nil {
		return fmt.Errorf("open folder of claims: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err = flock(dir); err != nil { // what is removed because it holds no more must not have been listed anew meanwhile
		return err
	}
	owners, err := d.terminalOwners(dir, own, keys)
	if err != nil {
		return err
	}
	for i, t := range terminals(def) {
		key := keys[i]
		if owner, taken := owners[key]; taken {
			return hostLacks("start domain", def.GetName(), violation(t.field, t.xmlPath,
				"log file %q is written to by %s; name another, or stop that before", t.file, owner.words(d.opts.Instance)))
		}
		if key != "" {
			own.Files = append(own.Files, key)
		}
	}
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	return replace(dir, d.terminalClaimName(own.UUID), text, false)
}

// terminalOwners are the other runs that have files, by the files. A claim of one of them that holds no more is removed.
func (d *Driver) terminalOwners(dir *os.File, own terminalClaim, keys map[int]string) (map[string]terminalClaim, error) {
	wanted := make(map[string]bool)
	for _, key := range keys {
		wanted[key] = true
	}
	names, err := os.ReadDir(dir.Name())
	if err != nil {
		return nil, fmt.Errorf("read claims: %w", err)
	}
	owners := make(map[string]terminalClaim)
	for _, entry := range names {
		var c terminalClaim
		text, err := readAt(dir, entry.Name(), terminalClaimBytes)
		if err != nil || json.Unmarshal(text, &c) != nil {
			continue // given back meanwhile, or cut off by the power, which no run outlives
		}
		if c.Instance == own.Instance && c.UUID == own.UUID {
			continue
		}
		for _, key := range c.Files {
			if !wanted[key] {
				continue
			}
			if !c.holds() {
				_ = unix.Unlinkat(int(dir.Fd()), entry.Name(), 0)
				break
			}
			owners[key] = c
		}
	}
	return owners, nil
}

// terminalClaimBytes bounds a claim: some sixty files, whose names have 255 bytes.
const terminalClaimBytes = 64 << 10

// releaseTerminals takes back what is listed for a domain.
func (d *Driver) releaseTerminals(uuid string) error {
	err := os.Remove(filepath.Join(d.terminalsDir(), d.terminalClaimName(uuid)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give back log files: %w", err)
	}
	return nil
}

// sweepTerminals takes back what is listed for this davitd's domains that do not run.
func (d *Driver) sweepTerminals(runs func(uuid string) bool) error {
	entries, err := os.ReadDir(d.terminalsDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read claims: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name, own := strings.CutPrefix(e.Name(), d.opts.Instance+"-")
		if uuid, ok := strings.CutSuffix(name, ".json"); own && ok && !runs(uuid) {
			errs = append(errs, d.releaseTerminals(uuid))
		}
	}
	return errors.Join(errs...)
}

// keys are what files are known by, by their place among the consoles: the same for each path that leads to one.
func (f *terminalFiles) keys() (map[int]string, error) {
	keys := make(map[int]string)
	for i, c := range f.folders {
		if c.Folder == nil {
			continue
		}
		var stat unix.Stat_t
		if err := unix.Fstat(int(c.Folder.Fd()), &stat); err != nil {
			return nil, fmt.Errorf("stat %q: %w", c.Folder.Name(), err)
		}
		keys[i] = fmt.Sprintf("%d:%d:%d/%s", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino, c.Name)
	}
	return keys, nil
}
