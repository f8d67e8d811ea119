package engine

import (
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/server/store"
)

// record is a request as the store keeps it.
func (a *answer) record() store.Request {
	return store.Request{
		Caller: a.key.caller, Method: a.key.method, ID: a.key.id, Subject: a.subject, Digest: a.body[:],
		Asked: a.asked, Answered: a.given,
	}
}

// note stores that a request is about to be dealt with. Without that it is not.
func (e *Engine) note(a *answer) error {
	if err := e.store.PutRequest(a.record()); err != nil {
		return storeFault("", err)
	}
	e.answers.mu.Lock()
	defer e.answers.mu.Unlock()
	a.stored = true
	return nil
}

// conclude stores the outcome of a request, then gives it. If it cannot be stored, a daemon that is started after this
// one looks for itself what was done.
func (e *Engine) conclude(a *answer, value proto.Message, err error) {
	var packed *anypb.Any
	if err == nil {
		var fault error
		if packed, fault = anypb.New(value); fault != nil { // whoever asks again is told that it cannot be read
			e.log.Error("encode answer", zap.String("request", a.key.id), zap.Error(fault))
		}
	}
	if a.stored && !undone(err) {
		a.given = time.Now()
		record := a.record()
		var fault error
		if err != nil {
			record.Status, fault = proto.Marshal(domain.ToStatus(err).Proto())
		} else {
			record.Answer, fault = proto.Marshal(packed)
		}
		if fault == nil {
			fault = e.store.PutRequest(record)
		}
		if fault != nil {
			e.log.Warn("store answer", zap.String("request", a.key.id), zap.Error(fault))
		}
	}
	e.answers.give(a, packed, err)
}

// forgetRequest removes what is stored of a request.
func (e *Engine) forgetRequest(a *answer) {
	if err := e.store.DeleteRequest(a.record()); err != nil {
		e.log.Warn("remove request", zap.String("request", a.key.id), zap.Error(err))
	}
}

// recoverRequests remembers what earlier daemons were asked.
func (e *Engine) recoverRequests() error {
	all, err := e.store.Requests()
	if err != nil {
		return err
	}
	var known []*answer
	for _, r := range all {
		a, err := remembered(r)
		if err != nil {
			e.log.Warn("request is forgotten", zap.String("request", r.ID), zap.Error(err))
			e.forgetRequest(a)
			continue
		}
		known = append(known, a)
	}
	slices.SortFunc(known, func(a, b *answer) int { return a.since().Compare(b.since()) })
	e.answers.mu.Lock()
	defer e.answers.mu.Unlock()
	for _, a := range known {
		e.answers.shelve(a)
	}
	e.answers.expire()
	return nil
}

// remembered is an answer of an earlier daemon.
func remembered(r store.Request) (*answer, error) {
	a := &answer{
		key:   answerKey{caller: r.Caller, method: r.Method, id: r.ID},
		asked: r.Asked, given: r.Answered, subject: r.Subject, stored: true,
	}
	if now := time.Now(); a.since().After(now) {
		a.asked, a.given = now, now // the clock was set back
	}
	if copy(a.body[:], r.Digest) != len(a.body) {
		return a, errors.New("its digest is too short")
	}
	switch {
	case r.Status != nil:
		var failed statusv1.Status
		if err := proto.Unmarshal(r.Status, &failed); err != nil {
			return a, err
		}
		a.err = domain.FromStatus(status.ErrorProto(&failed))
	case r.Answer != nil:
		packed := new(anypb.Any)
		err := proto.Unmarshal(r.Answer, packed)
		if err == nil {
			_, err = protoregistry.GlobalTypes.FindMessageByURL(packed.GetTypeUrl()) // a later davit may know others
		}
		if err != nil {
			return a, err
		}
		a.value = packed
	default:
		a.broken = true
		return a, nil
	}
	a.done = make(chan struct{})
	close(a.done)
	return a, nil
}
