package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names in a domain's state folder; the monitor puts its socket there too.
const (
	recordName = "record"
	logName    = "monitor.log"
	// recordBytes bounds a record: it has the interfaces and the sources of a definition, whose text has at most 1 MiB.
	recordBytes = 16 << 20
)

// record is what is written of a start before anything else is done, so that whatever was made can be found and removed:
// all of it carries the instance and the UUID in its name.
type record struct {
	// Version of this format: 1.
	Version int `json:"version"`
	// UUID of the domain and generation of the start.
	UUID       string `json:"uuid"`
	Generation string `json:"generation"`
	// Partition that its cgroup is in.
	Partition string `json:"partition"`
	// Complete tells that init ran; before, there is nothing to be recovered.
	Complete bool `json:"complete"`
	// InitPID is the process id of the newest init.
	InitPID int `json:"init_pid,omitempty"`
	// Restarts before that init.
	Restarts uint32 `json:"restarts,omitempty"`
	// OOMBase is the count of OOM kills when that init began.
	OOMBase uint64 `json:"oom_base,omitempty"`
	// Sources are what its devices are made of, by the devices' names; Revising tells that they are being changed, and that those
	// that come and go are all among them.
	Sources  map[string]Source `json:"sources,omitempty"`
	Revising bool              `json:"revising,omitempty"`
	// Furnished tells that its boots wait for their interfaces, also when it has none any more.
	Furnished bool `json:"furnished,omitempty"`
	// Interfaces that the newest boot was given.
	Interfaces []port `json:"interfaces,omitempty"`
}

// states is the folder of the state folders, one a domain.
type states struct{ dir *os.File }

// openStates opens the folder of the state folders, and makes it.
func openStates(path string) (states, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return states{}, fmt.Errorf("make state folder: %w", err)
	}
	dir, err := openFolder(path)
	if err != nil {
		return states{}, fmt.Errorf("open state folder: %w", err)
	}
	return states{dir}, nil
}

// path is where a domain's state is.
func (s states) path(uuid string) string { return filepath.Join(s.dir.Name(), uuid) }

// create makes a domain's folder. If there is one it is fs.ErrExist. It waits for no disk: all that the folder and its record are
// there to find ends with the host's boot, and the folder alone tells of a record that the power took.
func (s states) create(uuid string) (*os.File, error) {
	if err := unix.Mkdirat(int(s.dir.Fd()), uuid, 0o700); err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: s.path(uuid), Err: err}
	}
	folder, err := s.open(uuid)
	if err != nil {
		return nil, errors.Join(err, s.remove(uuid))
	}
	return folder, nil
}

// open opens a domain's folder.
func (s states) open(uuid string) (*os.File, error) { return openFolderAt(s.dir, uuid) }

// remove removes a domain's folder with all that is in it.
func (s states) remove(uuid string) error { return removeFolder(s.dir, uuid) }

// list names the domains that have a folder.
func (s states) list() ([]string, error) {
	again, err := openFolderAt(s.dir, ".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = again.Close() }()
	return again.Readdirnames(-1)
}

// writeRecord writes a record. Whoever is killed meanwhile leaves the old one; the power may take both.
func writeRecord(folder *os.File, r record) error {
	r.Version = 1
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return replace(folder, recordName, text, false)
}

func readRecord(folder *os.File) (record, error) {
	var r record
	text, err := readAt(folder, recordName, recordBytes)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read %q: %w", filepath.Join(folder.Name(), recordName), err)
	}
	if r.Version != 1 {
		return r, fmt.Errorf("read %q: version %d is not known", filepath.Join(folder.Name(), recordName), r.Version)
	}
	return r, nil
}
