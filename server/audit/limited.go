package audit

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// limitPeriod is how often at most a caller's calls are told that a limit refused. How many such records there are of all callers
// together: so many at once, then one each period of their own.
const (
	limitPeriod    = time.Minute
	allLimitBurst  = 100
	allLimitPeriod = time.Second
)

// limited tells of calls that a limit of the configuration refused. They may come without end, as fast as a caller can write, and
// nothing is looked up for them: the first of a caller is recorded, and then, once a period, the last, which tells how many there
// were before it.
type limited struct {
	record func(*limitedCall)

	mu      sync.Mutex
	callers map[string]*limitedCall
	all     bucket
	timer   *time.Timer // while there are callers
	over    bool
}

// limitedCall is the last call of a caller that a limit refused.
type limitedCall struct {
	door     *Door
	caller   *davitv1.AuditCaller
	method   string
	err      error
	at       time.Time
	untold   uint64 // calls that no record tells of, this one included
	identity string
}

// others are the callers that are not told apart, there being too many.
const others = "others"

// Limited counts a call that was not begun because of a limit, and records it if it is time to tell.
func (d *Door) Limited(ctx context.Context, method string, err error) {
	who, identity := d.options.Caller(ctx)
	d.limited.add(&limitedCall{door: d, caller: who, method: method, err: err, at: time.Now(), untold: 1, identity: identity})
}

// add takes the place of what was known of the caller.
func (l *limited) add(c *limitedCall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	if l.callers == nil {
		l.callers = make(map[string]*limitedCall)
	}
	before := l.callers[c.identity]
	if before == nil && len(l.callers) >= maxCallers {
		c.identity, c.caller = others, &davitv1.AuditCaller{}
		before = l.callers[others]
	}
	if before != nil {
		c.untold += before.untold
	}
	l.callers[c.identity] = c
	if before == nil {
		l.tell(c)
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(limitPeriod, l.tick)
	}
}

// tell records a call, unless there are too many records of all callers. The mutex is held.
func (l *limited) tell(c *limitedCall) {
	if !l.all.has(c.at, allLimitBurst, allLimitPeriod) {
		return
	}
	l.all.full = l.all.full.Add(allLimitPeriod)
	l.record(c)
	c.untold = 0
}

// tick tells, when a period is over, of those that were refused in it, and forgets callers that were not.
func (l *limited) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.each()
	if l.timer != nil {
		l.timer.Stop() // it is the one that came, unless a test made the period end
		l.timer = nil
	}
	if len(l.callers) > 0 {
		l.timer = time.AfterFunc(limitPeriod, l.tick)
	}
}

// each tells of all callers. The mutex is held.
func (l *limited) each() {
	for identity, c := range l.callers {
		if c.untold == 0 {
			delete(l.callers, identity)
			continue
		}
		l.tell(c)
	}
}

// close tells what was not told.
func (l *limited) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.each()
}

// limit records a call that a limit refused.
func (r *Recorder) limit(c *limitedCall) {
	e := domain.ToStatus(c.err)
	record := &davitv1.AuditRecord{
		Time: timestamppb.New(c.at), Phase: davitv1.AuditPhase_AUDIT_PHASE_CALL, Socket: c.door.socket, Caller: c.caller,
		Method: cut(c.method, maxText), Code: word(e.Code()), Reason: reason(e.Err()), Message: cut(e.Message(), 512),
		Duration: durationpb.New(0), Suppressed: c.untold - 1,
	}
	r.options.Log.AppendRefused(record)
	r.options.Kernel.tell(record)
}

// Close records what is left to tell of. No call is recorded any more.
func (r *Recorder) Close() { r.limited.close() }
