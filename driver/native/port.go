package native

import (
	"fmt"
	"slices"

	"github.com/davitd/davit/devices/link"
)

// port is an interface of a run, as its record has it. It is written before what it stands for is made or lent, so that whoever
// is killed leaves nothing that the next davitd does not know of.
type port struct {
	// Alias of the device.
	Alias string `json:"alias,omitempty"`
	// Spec that it was made by.
	Spec link.Spec `json:"spec,omitzero"`
	link.Made
	// Loan of an interface of the host, nil for all others.
	Loan *link.Loan `json:"loan,omitempty"`
	// Pending tells that it is being made, changed or removed: what there is of it is not known.
	Pending bool `json:"pending,omitempty"`
}

// guest is its name inside, as it was made.
func (p port) guest() string {
	if p.Loan != nil {
		return p.Loan.Guest
	}
	return p.Guest
}

// index is its number inside; 0 while it is not made.
func (p port) index() int {
	if p.Loan != nil {
		return p.Loan.GuestIndex
	}
	return p.GuestIndex
}

// isMade tells whether it was there when it was written down.
func (p port) isMade() bool { return p.index() != 0 }

func isPending(p port) bool { return p.Pending }

// find gives the port of an alias, nil if there is none.
func find(ports []port, alias string) *port {
	at := slices.IndexFunc(ports, func(p port) bool { return p.Alias == alias })
	if at < 0 {
		return nil
	}
	return &ports[at]
}

func hasLoan(ports []port) bool {
	return slices.ContainsFunc(ports, func(p port) bool { return p.Loan != nil })
}

// ports are the interfaces of the run.
func (i *instance) ports() []port {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.record.Interfaces)
}

// note writes the interfaces of the run down.
func (i *instance) note(ports []port) error {
	return i.amend(func(r *record) { r.Interfaces = slices.Clone(ports) })
}

// remembered has the interfaces of the run written with the record by the last step of its start; false if that is over.
func (i *instance) remembered(ports []port) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.record.Complete {
		return false
	}
	i.record.Interfaces = slices.Clone(ports)
	return true
}

// noteFurnished writes down that boots are about to wait for their interfaces: whoever follows furnishes them, be it with none.
func (i *instance) noteFurnished() error {
	return i.amend(func(r *record) { r.Furnished = true })
}

// amend changes the record.
func (i *instance) amend(change func(*record)) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(&i.record)
	if err := writeRecord(i.folder, i.record); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}
