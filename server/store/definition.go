package store

import (
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const definitionSuffix = ".xml"

// Definition is a stored definition.
type Definition struct {
	// Def is the definition.
	Def *davitv1.Domain
	// Autostart tells that the domain starts with the daemon.
	Autostart bool
}

// Load reads all definitions, in the order of their UUIDs. Files that are not what they should be (not a definition,
// not the one that their name says, a name that another domain has) are renamed to *.damaged; quarantined names each
// one and the reason.
func (s *Store) Load() (defs []Definition, quarantined []string, err error) {
	names, err := s.domains.names()
	if err != nil {
		return nil, nil, refusal("load definitions", "", err)
	}
	uuids := definitionNames(names)
	read := make([]*davitv1.Domain, len(uuids))
	faults := make([]error, len(uuids))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, uuid := range uuids {
		group.Go(func() error {
			read[i], faults[i] = s.Get(uuid)
			return nil
		})
	}
	_ = group.Wait()

	starting, err := s.autostarting(uuids)
	if err != nil {
		return nil, nil, refusal("load definitions", "", err)
	}
	owner := make(map[string]string, len(uuids))
	for i, uuid := range uuids {
		def, fault := read[i], faults[i]
		if fault == nil {
			if other, taken := owner[def.GetName()]; taken {
				fault = fmt.Errorf("name %q is that of domain %s", def.GetName(), other)
			}
		}
		if fault != nil {
			quarantined = append(quarantined, s.setAside(uuid+definitionSuffix, fault))
			continue
		}
		owner[def.GetName()] = uuid
		defs = append(defs, Definition{Def: def, Autostart: starting[uuid]})
	}
	return defs, quarantined, nil
}

// definitionNames finds the UUIDs among the names of the folder. Other files are not davit's and are left alone.
func definitionNames(names []string) []string {
	var uuids []string
	for _, name := range names {
		uuid, ok := strings.CutSuffix(name, definitionSuffix)
		if !ok {
			continue
		}
		if canonical, err := domain.ParseUUID(uuid); err == nil && canonical == uuid {
			uuids = append(uuids, uuid)
		}
	}
	return uuids
}

func (s *Store) setAside(name string, fault error) string {
	aside, err := s.domains.quarantine(name)
	if err != nil {
		return fmt.Sprintf("%s/%s: %v (and cannot be renamed: %v)", s.domains.name, name, fault, err)
	}
	return fmt.Sprintf("%s/%s: %v", s.domains.name, aside, fault)
}

// Get reads one definition.
func (s *Store) Get(uuid string) (*davitv1.Domain, error) {
	uuid, err := domain.ParseUUID(uuid)
	if err != nil {
		return nil, err
	}
	text, err := s.domains.root.ReadFile(uuid + definitionSuffix)
	if err != nil {
		return nil, refusal("read definition", uuid, err)
	}
	def, err := decodeDefinition(text)
	if err != nil {
		return nil, err
	}
	if def.GetUuid() != uuid {
		return nil, fmt.Errorf("uuid is %q, the file's name says %q", def.GetUuid(), uuid)
	}
	return def, nil
}

// Put stores a definition in place of the domain's last one. It returns once it is on disk.
func (s *Store) Put(def *davitv1.Domain) error {
	uuid, err := domain.ParseUUID(def.GetUuid())
	if err != nil {
		return err
	}
	text, err := encodeDefinition(def)
	if err != nil {
		return refusal("store definition", def.GetName(), err)
	}
	if err := s.domains.replace(uuid+definitionSuffix, text, true); err != nil {
		return refusal("store definition", def.GetName(), err)
	}
	return nil
}

// Delete removes a definition and its autostart, on disk. One that is not there is as good.
func (s *Store) Delete(uuid string) error {
	uuid, err := domain.ParseUUID(uuid)
	if err != nil {
		return err
	}
	// A link without a definition means nothing and is removed by Load; a definition without its link would not start.
	if err := s.domains.remove(uuid+definitionSuffix, true); err != nil {
		return refusal("remove definition", uuid, err)
	}
	if err := s.autostart.remove(uuid+definitionSuffix, true); err != nil {
		return refusal("remove definition", uuid, err)
	}
	return nil
}
