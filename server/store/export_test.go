package store

// Fail has every write of definitions, autostart, status and requests ask fault first; its steps are create, write, sync, rename,
// sync folder and link. Nil ends that.
func (s *Store) Fail(fault func(step string) error) {
	for _, f := range []*folder{s.domains, s.autostart, s.status, s.requests} {
		f.fault = fault
	}
}
