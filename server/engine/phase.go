package engine

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// What the engine does of a start, before and after the driver.
const (
	phasePrepare = "prepare" // the request waits for its turn, is noted, and the state is stored
	phaseStart   = "start"   // all that the driver does, where it does not tell more
	phaseAnswer  = "answer"  // the start is journalled and stored
)

// arrival is the key under which a context has when the request came that it belongs to.
type arrival struct{}

// arrived notes that a request came.
func arrived(ctx context.Context) context.Context {
	return context.WithValue(ctx, arrival{}, time.Now())
}

// phases is where the time of a start goes.
type phases struct {
	begun, last time.Time
	list        []*davitv1.StartPhase
	asked       bool // somebody waits for the answer
}

// newPhases begin when the request came, or now, where there was none.
func newPhases(ctx context.Context) *phases {
	begun, ok := ctx.Value(arrival{}).(time.Time)
	if !ok {
		begun = time.Now()
	}
	return &phases{begun: begun, last: begun, asked: ok}
}

// end ends what began at the end of the one before.
func (p *phases) end(name string) {
	now := time.Now()
	p.add(driver.Phase{Name: name, Begun: p.last, Took: now.Sub(p.last), Running: name == phaseStart})
	p.last = now
}

// started takes in what the driver tells of a start that has just ended.
func (p *phases) started(instance driver.Instance) {
	teller, ok := instance.(driver.PhaseTeller)
	if !ok {
		p.end(phaseStart)
		return
	}
	for _, one := range teller.Phases() {
		p.add(one)
	}
	p.last = time.Now()
}

func (p *phases) add(one driver.Phase) {
	p.list = append(p.list, &davitv1.StartPhase{
		Name: one.Name, Begun: durationpb.New(one.Begun.Sub(p.begun)), Took: durationpb.New(one.Took), Running: one.Running,
	})
}

// tellPhases tells where the time of the last start went, once.
func (a *actor) tellPhases() []*davitv1.StartPhase {
	list := a.phases
	a.phases = nil
	return list
}

// observe tells whoever listens how long a start took, and each phase of it.
func (e *Engine) observe(p *phases) {
	if e.started == nil {
		return
	}
	e.started(p.list, p.last.Sub(p.begun))
}
