package engine

import (
	"sync"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// debt tells those who wait whether the journal is owed events of a domain.
type debt struct {
	mu   sync.Mutex
	paid chan struct{} // nil while nothing is owed
}

// set tells whether something is owed now.
func (d *debt) set(owing bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case owing && d.paid == nil:
		d.paid = make(chan struct{})
	case !owing && d.paid != nil:
		close(d.paid)
		d.paid = nil
	}
}

// settlement is closed once all that is owed now was told; nil if nothing is owed.
func (d *debt) settlement() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paid
}

// owe notes what the journal has to be told yet. It is called before the state that owes it is shown.
func (a *actor) owe(owed []*davitv1.Event) {
	a.owed = owed
	a.debt.set(len(owed) > 0)
}
