package engine

import (
	"context"
	"errors"
	"slices"
	"time"
)

// job is something to be done to a domain. Its fields but the first two are guarded by the entry's mutex until begun.
type job struct {
	name string
	do   func(ctx context.Context, a *actor) error

	entry *entry // where it waits before there is an actor; nil for others

	turn   context.Context //nolint:containedctx // when it ends before the job begins, the job never does; nil for one that waits for ever
	values context.Context //nolint:containedctx // the caller's values, without its end
	begun  bool
	err    error
	done   chan struct{}
}

// errGone is the end of a job whose domain was gone when its turn came.
var errGone = errors.New("the domain is gone")

// turnKey marks the context whose end withdraws a job that has not begun, where that is not the job's own.
type turnKey struct{}

// withTurn lets the work of ctx wait for its turn only as long as the given context lasts.
func withTurn(ctx, turn context.Context) context.Context {
	return context.WithValue(ctx, turnKey{}, turn)
}

// turn is how long a job of ctx may wait to begin: a little less than its caller waits, so that the answer that names
// the job in the way arrives.
func turn(ctx context.Context) (context.Context, context.CancelFunc) {
	if t, ok := ctx.Value(turnKey{}).(context.Context); ok {
		ctx = t
	}
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(time.Until(end)/10, 100*time.Millisecond)
	return context.WithDeadline(ctx, end.Add(-margin))
}

// do has a job done by the domain's actor and waits for its result. A job that has begun is finished also when ctx ends; none begins
// once its caller may have been told that its time was over.
func do[R any](ctx context.Context, n *entry, name string, work func(ctx context.Context, a *actor) (R, error)) (R, error) {
	var result, none R
	waiting, cancel := turn(ctx)
	defer cancel()
	j := &job{
		name: name, turn: waiting, values: context.WithoutCancel(ctx), done: make(chan struct{}),
		do: func(ctx context.Context, a *actor) (err error) {
			result, err = work(ctx, a)
			return err
		},
	}
	if err := n.submit(j); err != nil {
		return none, err
	}
	select {
	case <-j.done:
		return result, j.err
	case <-waiting.Done():
	}
	if running, withdrawn := n.withdraw(j); withdrawn {
		return none, busy(n.called(), name, running)
	}
	select {
	case <-j.done:
		return result, j.err
	case <-ctx.Done():
		return none, unwaited(ctx, name, n.called())
	}
}

// submit queues a job and wakes the actor, or makes one.
func (n *entry) submit(j *job) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return errGone
	}
	if err := n.enact(); err != nil {
		return err
	}
	n.queue = append(n.queue, j)
	if j.destroys() {
		n.interrupt()
	}
	n.actor.rouse()
	return nil
}

// enact makes an actor, if there is none. The mutex is held.
func (n *entry) enact() error {
	if n.actor != nil {
		return nil
	}
	if !n.engine.enter() {
		return shuttingDown()
	}
	n.actor = newActor(n)
	go n.actor.run()
	return nil
}

// rouse has the jobs begun that wait for nothing but an actor.
func (n *entry) rouse() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 {
		return nil
	}
	return n.enact()
}

// withdraw takes a job back that has not begun. It names the job that was in its way.
func (n *entry) withdraw(j *job) (running string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if j.begun {
		return "", false
	}
	n.queue = slices.DeleteFunc(n.queue, func(other *job) bool { return other == j })
	if !slices.ContainsFunc(n.queue, (*job).destroys) {
		n.cut.done = false
	}
	if n.job == "" {
		return "follow domain", true
	}
	return n.job, true
}

// take begins the next job, if there is one. Those whose turn is over are passed over: their callers take them back.
func (n *entry) take() *job {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = slices.DeleteFunc(n.queue, func(j *job) bool { return j.turn != nil && j.turn.Err() != nil })
	if len(n.queue) == 0 {
		return nil
	}
	j := n.queue[0]
	n.queue = n.queue[1:]
	n.job, n.since, j.begun = j.name, time.Now(), true
	return j
}

// finish ends a job.
func (n *entry) finish(j *job, err error) {
	n.mu.Lock()
	n.job = ""
	n.mu.Unlock()
	j.err = err
	close(j.done)
}

// retire lets the actor end, unless a job came meanwhile.
func (n *entry) retire() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) > 0 {
		return false
	}
	n.actor = nil
	return true
}

// dismiss ends the jobs that wait, and the actor.
func (n *entry) dismiss(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, j := range n.queue {
		j.begun, j.err = true, err
		close(j.done)
	}
	n.queue, n.actor = nil, nil
}
