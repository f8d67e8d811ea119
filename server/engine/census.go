package engine

// Lookup gives the name of a domain and whether it is active. ok is false where there is none of that UUID.
func (e *Engine) Lookup(uuid string) (name string, active, ok bool) {
	n := e.table.lookup(uuid)
	if n == nil {
		return "", false, false
	}
	s := n.load()
	if s == nil {
		return "", false, false
	}
	return s.name, s.active(), true
}

// LookupName gives the UUID of the domain of a name.
func (e *Engine) LookupName(name string) (uuid string, ok bool) {
	e.table.mu.RLock()
	n := e.table.byName[name]
	e.table.mu.RUnlock()
	if n == nil || n.load() == nil {
		return "", false
	}
	return n.uuid, true
}

// Census is how many domains there are and what goes on.
type Census struct {
	// Domains that there are.
	Domains int
	// Active are those of them that run, are paused or are about to end.
	Active int
	// Jobs are under way, or wait for their turn, also those whose callers no longer wait.
	Jobs int
}

// Census counts.
func (e *Engine) Census() Census {
	var c Census
	for _, n := range e.table.all() {
		if s := n.load(); s != nil {
			c.Domains++
			if s.active() {
				c.Active++
			}
		}
		n.mu.Lock()
		c.Jobs += len(n.queue)
		if n.job != "" {
			c.Jobs++
		}
		n.mu.Unlock()
	}
	return c
}

// all lists the entries, in no order.
func (t *table) all() []*entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := make([]*entry, 0, len(t.byUUID))
	for _, n := range t.byUUID {
		list = append(list, n)
	}
	return list
}
