package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// autostartedName is the file that tells that autostart is done. It holds the id of the host's boot, because a run
// folder that is not a tmpfs outlives it.
const autostartedName = "autostarted"

// Autostarted tells whether [Store.SetAutostarted] was called since the host was started. Domains that start with the
// daemon do so once a boot: one that somebody stopped is not started again because the daemon was.
func (s *Store) Autostarted() (bool, error) {
	done, err := s.run.root.ReadFile(autostartedName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, refusal("read autostart mark", "", err)
	}
	boot, err := bootID()
	return err == nil && bytes.Equal(done, boot), err
}

// SetAutostarted notes that autostart is done.
func (s *Store) SetAutostarted() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	return refusal("write autostart mark", "", s.run.replace(autostartedName, boot, false))
}

func bootID() ([]byte, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	return id, nil
}
