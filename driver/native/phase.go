package native

import (
	"time"

	"github.com/davitd/davit/driver"
)

// phases are the steps of a start and what they took.
type phases []driver.Phase

// took notes a step that has just ended.
func (p *phases) took(operation string, begun time.Time) {
	*p = append(*p, driver.Phase{
		Name: operation, Begun: begun, Took: time.Since(begun), Running: operation == opMakeContainer,
	})
}

// opMakeContainer is the step at whose end init runs.
const opMakeContainer = "make container"

// Phases are the steps of the start that made the instance. They are told once: who runs for years need not remember how it began.
func (i *instance) Phases() []driver.Phase {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.phases
	i.phases = nil
	return p
}
