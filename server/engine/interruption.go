package engine

import (
	"context"
	"errors"
	"slices"
)

// interruption is how a destroy ends a start that is under way, instead of waiting for it. It is guarded by the entry's
// mutex.
type interruption struct {
	start context.CancelCauseFunc // of the start that is under way, if there is one
	done  bool                    // a destroy ended it, and has not had its turn
}

// errInterrupted is the end of a start that a destroy did not wait for.
var errInterrupted = errors.New("it was destroyed while it was being started")

// interruptible is the context of a start, and over its end.
func (n *entry) interruptible(ctx context.Context) (begun context.Context, over func()) {
	begun, cancel := context.WithCancelCause(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = interruption{start: cancel}
	if slices.ContainsFunc(n.queue, (*job).destroys) {
		n.interrupt()
	}
	return begun, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.cut.start = nil
		cancel(nil)
	}
}

// outran notes that the start that is under way has succeeded: a destroy that wanted it ended finds a domain like any other.
func (n *entry) outran() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = interruption{}
}

// interrupt ends the start that is under way, if there is one. The mutex is held.
func (n *entry) interrupt() {
	if n.cut.start != nil {
		n.cut.start(errInterrupted)
		n.cut.done = true
	}
}

// interrupted tells a destroy, once, whether it ended a start.
func (n *entry) interrupted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	done := n.cut.done
	n.cut.done = false
	return done
}

// destroys tells whether a job ends the domain.
func (j *job) destroys() bool { return j.name == destroyJob }
