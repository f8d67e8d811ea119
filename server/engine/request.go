package engine

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Bounds of what is remembered of requests.
const (
	requestAge   = 10 * time.Minute
	requestCount = 4096
	requestBytes = 64
)

// callerKey is the context key of [WithCaller].
type callerKey struct{}

// WithCaller tells who makes the calls of a context. Request ids of different callers are different.
func WithCaller(ctx context.Context, caller string) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// answers remembers what was answered to requests with an id, and which are under way. The store has a copy of each, for
// the daemon that is started after this one was killed.
type answers struct {
	forget func(*answer) // in the store

	mu    sync.Mutex
	byKey map[answerKey]*answer
	order list.List // of those *answer that nobody works on, oldest first
}

type answerKey struct{ caller, method, id string }

// answer is that of one request.
type answer struct {
	key     answerKey
	asked   time.Time
	given   time.Time // zero until it is
	subject string    // UUID of the domain that the request named when it was made
	body    [sha256.Size]byte
	place   *list.Element // nil while somebody works on it
	stored  bool
	broken  bool          // an earlier daemon was killed over it
	done    chan struct{} // nil if it is broken and nobody has asked again
	value   *anypb.Any    // in its wire form, which is a fraction of the message's size; nil if there is none
	err     error
}

// since is from when on it is remembered: a request that took long is answered no sooner.
func (a *answer) since() time.Time {
	if a.given.IsZero() {
		return a.asked
	}
	return a.given
}

// standing is what is known of a request when it is made.
type standing int

const (
	standingNew    standing = iota // whoever makes it does the work
	standingBroken                 // the same; an earlier daemon may have done some or all of it
	standingKnown                  // it is under way or done
)

// request is one that may carry an id.
type request interface {
	proto.Message
	GetRequestId() string
}

// once does the work of a request, or gives the answer that the same request got before. Work that is remembered goes
// on when its caller leaves, as far as it has begun: whoever asks again gets its outcome.
func once[Q request, R proto.Message](ctx context.Context, e *Engine, q Q, work func(ctx context.Context) (R, error)) (R, error) {
	var none R
	id := q.GetRequestId()
	if id == "" {
		return work(ctx)
	}
	if len(id) > requestBytes {
		return none, invalid("request_id", "%d bytes, the limit is %d", len(id), requestBytes)
	}
	caller, _ := ctx.Value(callerKey{}).(string)
	key := answerKey{caller: caller, method: string(q.ProtoReflect().Descriptor().FullName()), id: id}
	body, err := digest(q)
	if err != nil {
		return none, err
	}
	for {
		a, known := e.answers.ask(key, body)
		if a.body != body {
			return none, invalid("request_id", "%q was used for another request", id)
		}
		var own R
		if known != standingKnown {
			go func() {
				var value R
				err := e.guard(key.method, func() (err error) {
					value, err = attempt(withTurn(context.WithoutCancel(ctx), ctx), e, q, a, known, work)
					return err
				})
				own = value
				e.conclude(a, value, err)
			}()
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return none, unwaited(ctx, "", "")
		}
		if known == standingKnown && undone(a.err) {
			continue // the first caller left before its turn came: this one is the first now
		}
		if known != standingKnown {
			return own, a.err
		}
		return repeated[R](a)
	}
}

// repeated is an answer that was given before.
func repeated[R proto.Message](a *answer) (R, error) {
	var none R
	if a.err != nil {
		return none, a.err
	}
	message, err := a.value.UnmarshalNew()
	value, ok := message.(R)
	if err != nil || !ok {
		return none, &domain.Error{
			Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL, Op: "answer request", Subject: a.key.id,
			Message: fmt.Sprintf("it was answered before, and the answer cannot be read: it is %q", a.value.GetTypeUrl()), Err: err,
		}
	}
	return value, nil
}

// attempt notes a request and does its work. If that was broken off by the death of an earlier daemon it is done again;
// where it is refused because it was done, what it led to is the answer.
func attempt[Q request, R proto.Message](ctx context.Context, e *Engine, q Q, a *answer, known standing, work func(context.Context) (R, error)) (R, error) {
	var value R
	if known == standingBroken {
		err := e.astray(q, a.subject)
		if err == nil {
			value, err = work(context.WithValue(ctx, againKey{}, true))
		}
		if done, ok := e.done(q, a.subject, err).(R); ok {
			return done, nil
		}
		return value, err
	}
	a.subject = e.target(q)
	if err := e.note(a); err != nil {
		return value, err
	}
	return work(ctx)
}

// digest tells requests apart.
func digest(q proto.Message) ([sha256.Size]byte, error) {
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(q)
	if err != nil {
		return [sha256.Size]byte{}, invalid("request_id", "the request cannot be encoded: %v", err)
	}
	return sha256.Sum256(wire), nil
}

// ask finds the answer of a request, or makes room for it.
func (t *answers) ask(key answerKey, body [sha256.Size]byte) (*answer, standing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	a := t.byKey[key]
	switch {
	case a == nil:
		a = &answer{key: key, asked: time.Now(), body: body, done: make(chan struct{})}
		t.add(a)
		return a, standingNew
	case a.done == nil && a.body == body:
		t.order.Remove(a.place)
		a.place, a.done = nil, make(chan struct{})
		return a, standingBroken
	}
	return a, standingKnown
}

// expire drops what is too old, or too much. A request that is under way is in no order and stays, however long it takes and
// however many come after it: made again, it would be carried out twice. Those are as many as there are callers.
func (t *answers) expire() {
	now := time.Now()
	for e := t.order.Front(); e != nil; e = t.order.Front() {
		oldest, _ := e.Value.(*answer)
		if now.Sub(oldest.since()) < requestAge && t.order.Len() <= requestCount {
			return
		}
		t.drop(oldest)
	}
}

// add makes an answer one that can be found.
func (t *answers) add(a *answer) {
	if t.byKey == nil {
		t.byKey = map[answerKey]*answer{}
	}
	t.byKey[a.key] = a
}

// shelve adds one that nobody works on, as the newest.
func (t *answers) shelve(a *answer) {
	t.add(a)
	a.place = t.order.PushBack(a)
}

// give answers a request. What was not done is not remembered, so that it can be asked for again.
func (t *answers) give(a *answer, value *anypb.Any, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.value, a.err = value, err
	switch {
	case undone(err) && a.broken:
		t.renew(a)
	case undone(err) || !a.stored:
		t.drop(a)
	default:
		t.shelve(a)
		t.expire()
	}
	close(a.done)
}

// renew makes a broken request one that nobody has made again.
func (t *answers) renew(a *answer) {
	t.shelve(&answer{key: a.key, asked: a.asked, subject: a.subject, body: a.body, stored: a.stored, broken: true})
}

// drop forgets an answer.
func (t *answers) drop(a *answer) {
	if t.byKey[a.key] != a {
		return
	}
	delete(t.byKey, a.key)
	if a.place != nil {
		t.order.Remove(a.place)
	}
	if a.stored {
		t.forget(a)
	}
}

// undone tells whether an error means that nothing was begun.
func undone(err error) bool {
	var e *domain.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Reason == davitv1.ErrorReason_ERROR_REASON_JOB_IN_PROGRESS || e.Code == codes.Unavailable
}
