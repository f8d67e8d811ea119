package monitor

import (
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// Plan is a copy of the plan of the boots that follow, whose own is changed by the next one ([Container.mindLimits]). It waits for a container that is being made, and for a change of its devices.
func (c *Container) Plan() (*monitorv1.Plan, error) {
	c.making.Lock()
	defer c.making.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plan == nil {
		return nil, refuse("tell plan", monitorv1.ErrorKind_ERROR_KIND_STATE, "there is none yet")
	}
	return plain.Clone(c.plan), nil
}
