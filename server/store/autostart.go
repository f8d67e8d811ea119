package store

import (
	"errors"
	"io/fs"

	"github.com/davitd/davit/domain"
)

// SetAutostart says whether a domain starts with the daemon: a link in the folder autostart, as with libvirt. It
// returns once that is on disk.
func (s *Store) SetAutostart(uuid string, on bool) error {
	uuid, err := domain.ParseUUID(uuid)
	if err != nil {
		return err
	}
	name := uuid + definitionSuffix
	if !on {
		err = s.autostart.remove(name, true)
		return refusal("set autostart of", uuid, err)
	}
	if _, err = s.domains.root.Lstat(name); err != nil {
		return refusal("set autostart of", uuid, err)
	}
	err = s.autostart.step("link")
	if err == nil {
		err = s.autostart.root.Symlink("../domains/"+name, name)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = s.autostart.syncNames()
	}
	return refusal("set autostart of", uuid, err)
}

// autostarting tells which domains start with the daemon, and removes the links of domains that are gone.
func (s *Store) autostarting(uuids []string) (map[string]bool, error) {
	names, err := s.autostart.names()
	if err != nil {
		return nil, err
	}
	defined := make(map[string]bool, len(uuids))
	for _, uuid := range uuids {
		defined[uuid] = true
	}
	starting := make(map[string]bool)
	for _, uuid := range definitionNames(names) {
		if defined[uuid] {
			starting[uuid] = true
		} else if err := s.autostart.remove(uuid+definitionSuffix, false); err != nil {
			return nil, err
		}
	}
	return starting, nil
}
