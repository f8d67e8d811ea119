package monitor

import (
	"os"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/driver/monitor/logline"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// opRevise is what is tried.
const opRevise = "change devices"

// Revise changes the devices of the container, of the one that runs and of those that follow: all of it or, with an error,
// nothing. It waits for one that is being made. The files are the container's from then on.
func (c *Container) Revise(revise *monitorv1.Revise, files []*os.File) error {
	c.making.Lock()
	defer c.making.Unlock()
	next, guest, err := c.beginRevision(revise, files)
	if err == nil && guest != nil {
		err = reviseGuest(guest, revise, next)
	}
	if err == nil {
		err = c.settle(revise.GetPlan(), next)
	}
	if err != nil {
		wire.CloseAll(files)
		c.log.Write(logline.Warn, "change of devices refused", logline.Err(err))
		return err
	}
	c.log.Write(logline.Info, "devices changed")
	return nil
}

// beginRevision finds out what is to be held then, and the guest that runs, if one does.
func (c *Container) beginRevision(revise *monitorv1.Revise, files []*os.File) (heldFiles, Guest, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.revisable(); err != nil {
		return nil, nil, err
	}
	if err := launch.CheckRevision(c.plan, revise); err != nil {
		return nil, nil, err
	}
	next, err := c.held.revised(revise, files)
	return next, c.guest, err
}

// revisable refuses a container that there is not.
func (c *Container) revisable() error {
	if c.phase == monitorv1.Phase_PHASE_NEW || c.phase == monitorv1.Phase_PHASE_ENDED {
		return refuse(opRevise, monitorv1.ErrorKind_ERROR_KIND_STATE, "the container does not run")
	}
	return nil
}

// reviseGuest changes the guest that runs. What is held is duplicated, as the container may end at any time, and lets go of
// it then.
func reviseGuest(guest Guest, revise *monitorv1.Revise, held heldFiles) error {
	var own []*os.File
	defer func() { wire.CloseAll(own) }()
	for _, f := range held.of(revise.GetPlan()) {
		duplicate, err := wire.Duplicate(f)
		if err != nil {
			return refuse(opRevise, monitorv1.ErrorKind_ERROR_KIND_STATE, "the container does not run")
		}
		own = append(own, duplicate)
	}
	return guest.Revise(revise, own)
}

// settle makes a plan that of the boots that follow, and lets go of what it does not name.
func (c *Container) settle(plan *monitorv1.Plan, held heldFiles) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.revisable(); err != nil {
		return err // it ended meanwhile, and all that was changed with it
	}
	c.held.closeBut(held)
	c.plan, c.held = plan, held
	c.mindFurniture()
	c.depositor.Hold(held.of(plan), c.cgroups.Namespaces)
	return nil
}
