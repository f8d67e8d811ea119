package engine

import (
	"context"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// claim finds the entry of a uuid and name, or makes one. If the name or the UUID belongs to another domain the error
// says so in libvirt's words; what is not decided yet is awaited.
func (e *Engine) claim(ctx context.Context, uuid, name string) (*entry, error) {
	for {
		n, rival := e.table.claim(e, uuid, name)
		if n != nil {
			return n, nil
		}
		if rival == nil {
			return nil, shuttingDown()
		}
		outcome, err := e.table.stands(rival, uuid, name)
		if err != nil {
			return nil, err
		}
		if err := e.await(ctx, outcome, "define domain", name); err != nil {
			return nil, err
		}
	}
}

// await waits for what another call is about to decide.
func (e *Engine) await(ctx context.Context, outcome <-chan struct{}, op, name string) error {
	waiting, cancel := turn(ctx)
	defer cancel()
	select {
	case <-outcome:
		return nil
	case <-waiting.Done():
		return busy(name, op, "define domain")
	case <-e.closing:
		return shuttingDown()
	}
}

// stands tells whether an entry that has a name or UUID in the table stands in the way of another that wants it: the error says
// so. It does not if it only may have it, or has it no more: then it is decided once the channel is closed. Nobody is refused for
// what no domain is seen to have.
func (t *table) stands(n *entry, uuid, name string) (outcome <-chan struct{}, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := n.current.Load()
	switch {
	case s == nil:
		return n.settled, nil // another call is just making it
	case s.gone:
		return n.removed, nil // it was a domain, and is about to leave
	case n.uuid == uuid || s.name == name:
		return nil, n.refuse(uuid, name)
	case n.renamed == nil:
		return decided, nil // it was renamed meanwhile
	}
	return n.renamed, nil
}

// decided is the outcome of what is decided.
var decided = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// refuse says why a definition of that uuid and name cannot stand beside the entry.
func (n *entry) refuse(uuid, name string) error {
	if n.uuid == uuid {
		return taken(davitv1.ErrorReason_ERROR_REASON_UUID_IN_USE, n.called(), n.uuid,
			"domain %q is already defined with uuid %s")
	}
	return taken(davitv1.ErrorReason_ERROR_REASON_NAME_IN_USE, name, n.uuid, "domain %q already exists with uuid %s")
}
