package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// table finds domains by uuid, name and number. A name and a UUID belong to one entry from the moment that it is
// claimed, so that no two calls define the same thing at once.
type table struct {
	mu     sync.RWMutex
	closed bool
	byUUID map[string]*entry
	byName map[string]*entry
	byID   map[uint32]*entry
	names  []string // in order
}

// entry is a domain's place in the table. Between its first claim and its first snapshot it is nobody's domain yet.
type entry struct {
	engine *Engine
	uuid   string
	first  string // the name that it was claimed by
	name   string // the actor's; all others ask for called

	current atomic.Pointer[snapshot]
	debt    debt
	found   *finding      // the actor's: what is not looked for yet; nil if there is nothing of that kind
	settled chan struct{} // closed when the claim is settled, by a first snapshot or by removal
	removed chan struct{} // closed when the entry is no longer in the table
	renamed chan struct{} // closed when it has one name again; nil while it has one. The table's mutex guards it

	mu    sync.Mutex
	actor *actor // nil while nothing happens
	queue []*job
	job   string    // what the actor does
	since time.Time // it does so
	gone  bool
	cut   interruption
}

// called is the domain's name.
func (n *entry) called() string {
	if s := n.current.Load(); s != nil {
		return s.name
	}
	return n.first
}

// load is what the domain is now, nil if it is not one.
func (n *entry) load() *snapshot {
	if s := n.current.Load(); s != nil && !s.gone {
		return s
	}
	return nil
}

// claim gives the entry, or the one that stands in its way, or neither when the table is closed.
func (t *table) claim(e *Engine, uuid, name string) (own, rival *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil
	}
	byUUID, byName := t.byUUID[uuid], t.byName[name]
	switch {
	case byUUID != nil && byUUID == byName:
		return byUUID, nil
	case byUUID != nil:
		return nil, byUUID
	case byName != nil:
		return nil, byName
	}
	if t.byUUID == nil {
		t.byUUID, t.byName, t.byID = map[string]*entry{}, map[string]*entry{}, map[uint32]*entry{}
	}
	n := &entry{engine: e, uuid: uuid, first: name, name: name, settled: make(chan struct{}), removed: make(chan struct{})}
	t.byUUID[uuid] = n
	t.enter(n, name)
	return n, nil
}

// enter makes an entry known by a name.
func (t *table) enter(n *entry, name string) {
	t.byName[name] = n
	i, _ := slices.BinarySearch(t.names, name)
	t.names = slices.Insert(t.names, i, name)
}

// leave makes a name free.
func (t *table) leave(name string) {
	delete(t.byName, name)
	if i, found := slices.BinarySearch(t.names, name); found {
		t.names = slices.Delete(t.names, i, i+1)
	}
}

// reserve gives an entry a second name, which nobody can claim from then on; or the entry that has it already.
func (t *table) reserve(n *entry, name string) (rival *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rival := t.byName[name]; rival != nil {
		return rival
	}
	t.enter(n, name)
	n.renamed = make(chan struct{})
	return nil
}

// rename leaves an entry one of its two names.
func (t *table) rename(n *entry, name, free string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(free)
	n.name = name
	close(n.renamed)
	n.renamed = nil
}

// rival gives the domain of a uuid and name, nil if there is none, or says which other domain has one of them.
func (t *table) rival(uuid, name string) (*snapshot, error) {
	t.mu.RLock()
	byUUID, byName := t.byUUID[uuid], t.byName[name]
	t.mu.RUnlock()
	for _, n := range []*entry{byUUID, byName} {
		if n == nil {
			continue
		}
		if s := n.load(); s != nil && (s.uuid == uuid) != (s.name == name) {
			return nil, n.refuse(uuid, name)
		}
	}
	if byUUID == nil {
		return nil, nil
	}
	return byUUID.load(), nil
}

// remove frees an entry's name and UUID.
func (t *table) remove(n *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byUUID[n.uuid] != n {
		return
	}
	delete(t.byUUID, n.uuid)
	t.leave(n.name)
}

// renumber makes an entry known by its new number instead of the old one; 0 is none.
func (t *table) renumber(n *entry, from, to uint32) {
	if from == to {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[from] == n {
		delete(t.byID, from)
	}
	if to != 0 {
		t.byID[to] = n
	}
}

// find gives the entry that a reference names, if it is a domain.
func (t *table) find(ref *davitv1.DomainRef) (*entry, *snapshot, error) {
	n, key, value := t.at(ref)
	if key == "" {
		return nil, nil, invalid("domain", "name a domain by uuid, name or id")
	}
	if n != nil {
		if s := n.load(); s != nil && (key != "name" || s.name == value) {
			return n, s, nil
		}
	}
	return nil, nil, notFound(key, value)
}

// claimed gives the entry that a reference names, if another call is just making it a domain.
func (t *table) claimed(ref *davitv1.DomainRef) *entry {
	if n, _, _ := t.at(ref); n != nil && n.current.Load() == nil {
		return n
	}
	return nil
}

// at gives what stands where a reference points to, by which of its kinds, and its words.
func (t *table) at(ref *davitv1.DomainRef) (n *entry, key, value string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch r := ref.GetRef().(type) {
	case *davitv1.DomainRef_Uuid:
		key, value = "uuid", r.Uuid
		if uuid, err := domain.ParseUUID(r.Uuid); err == nil {
			n = t.byUUID[uuid]
		}
	case *davitv1.DomainRef_Name:
		key, value = "name", r.Name
		n = t.byName[r.Name]
	case *davitv1.DomainRef_Id:
		key, value = "id", formatID(r.Id)
		n = t.byID[r.Id]
	}
	return n, key, value
}

// lookup gives the entry of a UUID.
func (t *table) lookup(uuid string) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byUUID[uuid]
}

// named is an entry under one of its names: while a domain is renamed it has two.
type named struct {
	name string
	*entry
}

// after lists up to limit entries whose names follow one, in order of name.
func (t *table) after(name string, limit int) []named {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, found := slices.BinarySearch(t.names, name)
	if found {
		i++
	}
	names := t.names[i : i+min(limit, len(t.names)-i)]
	list := make([]named, len(names))
	for k, name := range names {
		list[k] = named{name, t.byName[name]}
	}
	return list
}

// close lets no more entries and actors in.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// enter counts one actor more, unless the table is closed.
func (e *Engine) enter() bool {
	e.table.mu.RLock()
	defer e.table.mu.RUnlock()
	if e.table.closed {
		return false
	}
	e.actors.Add(1)
	return true
}
