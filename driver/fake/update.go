package fake

import (
	"cmp"
	"context"
	"fmt"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Update takes the limits, the policy and the devices over; what else the definition says stays what it was.
func (i *instance) Update(_ context.Context, def *davitv1.Domain) error {
	i.lock()
	defer i.unlock()
	if err := i.running("update domain"); err != nil {
		return err
	}
	if refusals := i.c.d.refusals; len(refusals) > 0 {
		i.c.d.refusals = refusals[1:]
		return refusals[0]
	}
	if err := i.c.plug(def); err != nil {
		return err
	}
	next := clone(i.c.def)
	for _, t := range domain.Tunables() {
		if t.Live() {
			t.Copy(next, def)
		}
	}
	consoles := next.GetDevices().GetConsole()
	next.Devices = clone(def).GetDevices()
	if next.Devices == nil {
		next.Devices = &davitv1.Devices{}
	}
	next.Devices.Console = consoles
	i.c.def = next
	i.c.choose()
	return nil
}

// Definition is the definition of a domain's run, with what it was updated to.
func (d *Driver) Definition(uuid string) (*davitv1.Domain, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ref, c := range d.made {
		if ref.UUID == uuid {
			return clone(c.def), nil
		}
	}
	return nil, fmt.Errorf("find domain %q: the fake driver has no run of it", uuid)
}

// memoryLimit is the limit of memory in bytes.
func memoryLimit(def *davitv1.Domain) uint64 {
	return cmp.Or(def.GetMemtune().GetHardLimitKib(), def.GetCurrentMemoryKib(), def.GetMemoryKib()) << 10
}
