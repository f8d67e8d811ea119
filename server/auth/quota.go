package auth

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// CallLimits bounds what one client does, over all its connections to a door. A client is a user, the holder of a
// certificate, or, of root, who is many programs, one process. 0 is no limit.
type CallLimits struct {
	// Calls in flight but for watchers. Calls that only look, and those that destroy a domain, have a quarter more: they
	// work while a client has as many others as it may.
	Calls int
	// Watchers are streams that last as long as somebody listens: of events, logs, records and health.
	Watchers int
	// Rate is how many calls a second may begin in the long run, and Burst how many at once after a pause.
	Rate, Burst int
}

// watchers are the methods of watchers.
var watchers = map[string]bool{
	davitv1.EventService_WatchEvents_FullMethodName: true,
	davitv1.LogService_ReadLog_FullMethodName:       true,
	davitv1.AuditService_ReadAudit_FullMethodName:   true,
	"/grpc.health.v1.Health/Watch":                  true,
}

// Quota counts what each client does.
type Quota struct {
	limits CallLimits
	now    func() time.Time

	mu      sync.Mutex
	clients map[string]*usage
	sweepAt int
}

// usage is what a client does now.
type usage struct {
	calls, watchers int
	credit          float64 // calls that may begin at once
	at              time.Time
}

// NewQuota counts from nothing.
func NewQuota(limits CallLimits) *Quota {
	return &Quota{limits: limits, now: time.Now, clients: make(map[string]*usage), sweepAt: leastSweep}
}

// client names whom a peer's calls are counted for.
func client(p Peer) string {
	if p.Kind == KindUnix && p.UID == 0 {
		return "0/" + strconv.FormatInt(int64(p.PID), 10)
	}
	return p.Identity()
}

// spend lets a client begin a call, whatever becomes of it, or refuses because it began too many.
func (q *Quota) spend(p Peer, method string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.usage(client(p))
	if q.limits.Rate > 0 && u.credit < 1 {
		return q.refuse(method, "limits.calls_per_second", q.limits.Rate, "calls a second were made by this client")
	}
	u.credit--
	return nil
}

// begin counts a call until end is called, or refuses it. Urgent calls have the reserve.
func (q *Quota) begin(p Peer, method string, urgent bool) (end func(), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.usage(client(p))
	running, limit, key, what := &u.calls, q.limits.Calls, "limits.calls", "calls of this client are in flight"
	if watchers[method] {
		running, limit, key, what = &u.watchers, q.limits.Watchers, "limits.watchers", "watchers of this client are open"
	} else if urgent {
		limit += limit / 4
	}
	if limit > 0 && *running >= limit {
		return nil, q.refuse(method, key, limit, what)
	}
	*running++
	return sync.OnceFunc(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		*running--
	}), nil
}

func (q *Quota) refuse(method, limit string, value int, what string) error {
	return &domain.Error{
		Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_LIMIT_REACHED, Op: "call", Subject: method,
		Message: fmt.Sprintf("%d %s, which is the limit (%s)", value, what, limit),
		Detail:  map[string]string{"limit": limit, "value": strconv.Itoa(value), "method": method},
	}
}

// usage is that of a client, with the credit that it has by now. The mutex is held.
func (q *Quota) usage(name string) *usage {
	now := q.now()
	u := q.clients[name]
	if u == nil {
		q.sweep(now)
		u = &usage{credit: float64(q.limits.Burst), at: now}
		q.clients[name] = u
		return u
	}
	u.credit, u.at = q.credit(u, now), now
	return u
}

// credit is what a client may begin at once by now.
func (q *Quota) credit(u *usage, now time.Time) float64 {
	return min(float64(q.limits.Burst), u.credit+max(0, now.Sub(u.at).Seconds())*float64(q.limits.Rate))
}

// leastSweep is from how many clients on those are forgotten of whom nothing is to be known.
const leastSweep = 128

// sweep forgets clients that do nothing and have all their credit. It is done as often as their number has doubled.
func (q *Quota) sweep(now time.Time) {
	if len(q.clients) < q.sweepAt {
		return
	}
	for name, u := range q.clients {
		if u.calls == 0 && u.watchers == 0 && q.credit(u, now) >= float64(q.limits.Burst) {
			delete(q.clients, name)
		}
	}
	q.sweepAt = max(leastSweep, 2*len(q.clients))
}

// ticket is a call that was counted when its head was read. It is counted until the call's stream has ended, and while
// its service works, which may be longer: a client may cancel a call and make the next at once.
type ticket struct {
	state atomic.Int32
	end   func()
}

// States of a ticket.
const (
	ticketWaits = iota // for the request
	ticketServed
	ticketOver
)

type ticketKey struct{}

// issue gives a call its ticket.
func issue(ctx context.Context, end func()) context.Context {
	t := &ticket{end: end}
	context.AfterFunc(ctx, func() {
		if t.state.CompareAndSwap(ticketWaits, ticketOver) {
			t.end()
		}
	})
	return context.WithValue(ctx, ticketKey{}, t)
}

// serve runs a service on a call's ticket, if it has one.
func serve(ctx context.Context, service func() error) error {
	t, ok := ctx.Value(ticketKey{}).(*ticket)
	if !ok {
		return service()
	}
	if !t.state.CompareAndSwap(ticketWaits, ticketServed) {
		return grpcstatus.FromContextError(context.Canceled).Err()
	}
	defer t.end()
	return service()
}

// unaryTicket and streamTicket are interceptors that serve on tickets.
func unaryTicket(ctx context.Context, q any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	err = serve(ctx, func() (err error) {
		answer, err = next(ctx, q)
		return err
	})
	return answer, err
}

func streamTicket(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return serve(ss.Context(), func() error { return next(srv, ss) })
}
