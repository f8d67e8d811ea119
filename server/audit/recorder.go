package audit

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Domains is what a recorder asks about the domains that there are.
type Domains interface {
	// Lookup gives the name of a domain. ok is false where there is none.
	Lookup(uuid string) (name string, active, ok bool)
	// LookupName gives the UUID of the domain of a name.
	LookupName(name string) (uuid string, ok bool)
}

// Options are what a recorder works with. All but Kernel are required.
type Options struct {
	// Log keeps the records.
	Log *Log
	// Kernel hears of them, too; nobody else when nil.
	Kernel *Kernel
	// Access is the right that a method needs; ACCESS_UNSPECIFIED if there is no such method.
	Access func(method string) davitv1.Access
	// Caller tells who makes a call, and what tells him from others.
	Caller func(ctx context.Context) (who *davitv1.AuditCaller, identity string)
	// Domains are those that there are.
	Domains Domains
}

// Recorder records calls.
type Recorder struct {
	options  Options
	refusals refusals
	limited  limited
}

// NewRecorder makes a recorder.
func NewRecorder(o Options) *Recorder {
	r := &Recorder{options: o}
	r.limited.record = r.limit
	return r
}

// At records the calls that come through a socket.
func (r *Recorder) At(socket string) *Door { return &Door{r, socket} }

// Door records the calls that come through one socket.
type Door struct {
	*Recorder
	socket string
}

// Options are what a server needs for its calls to be recorded. They belong before those of all other interceptors.
func (d *Door) Options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.StatsHandler(undecoded{d}), grpc.ChainUnaryInterceptor(d.unary), grpc.ChainStreamInterceptor(d.stream),
	}
}

// Denied records a call that was denied before any interceptor heard of it.
func (d *Door) Denied(ctx context.Context, method string, err error) {
	d.begin(ctx, method).end(d.always(method), nil, err)
}

// always tells whether every call of a method is recorded: of those that need more than the right to read.
func (d *Door) always(method string) bool {
	return d.options.Access(method) > davitv1.Access_ACCESS_READ
}

func (d *Door) unary(ctx context.Context, q any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	noticed(ctx)
	c := d.begin(ctx, call.FullMethod)
	if c.always {
		c.asked(q)
	}
	answer, err := next(ctx, q)
	c.end(c.always, answer, err)
	return answer, err
}

func (d *Door) stream(service any, ss grpc.ServerStream, call *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	noticed(ss.Context())
	c := d.begin(ss.Context(), call.FullMethod)
	if c.always {
		ss = &openedStream{ServerStream: ss, call: c}
	}
	err := next(service, ss)
	c.end(c.always, nil, err)
	return err
}

// openedStream records the first message of a call.
type openedStream struct {
	grpc.ServerStream
	call   *call
	opened bool
}

// RecvMsg takes the next message. It is never called by two goroutines at once.
func (s *openedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil && !s.opened {
		s.opened = true
		s.call.asked(m)
		s.call.opened()
	}
	return err
}

// call is one that is being recorded.
type call struct {
	door      *Door
	always    bool
	began     time.Time
	identity  string
	record    *davitv1.AuditRecord
	beginning uint64 // number of the record that tells that it began
}

func (d *Door) begin(ctx context.Context, method string) *call {
	who, identity := d.options.Caller(ctx)
	now := time.Now()
	return &call{
		door: d, always: d.always(method), began: now, identity: identity,
		record: &davitv1.AuditRecord{
			Time: timestamppb.New(now), Phase: davitv1.AuditPhase_AUDIT_PHASE_CALL, Socket: d.socket, Caller: who,
			Method: cut(method, maxText),
		},
	}
}

// asked notes what a call asks for.
func (c *call) asked(q any) {
	m, ok := q.(proto.Message)
	if !ok {
		return
	}
	c.record.Request = summarize(m)
	if with, ok := m.(interface{ GetRequestId() string }); ok {
		c.record.RequestId = cut(with.GetRequestId(), 64)
	}
	name, uuid := subject(m.ProtoReflect())
	c.about(name, uuid)
}

// opened records that a call of many messages has begun.
func (c *call) opened() {
	r := proto.CloneOf(c.record)
	r.Phase, r.Suppressed = davitv1.AuditPhase_AUDIT_PHASE_BEGIN, c.door.refusals.take(c.identity)
	c.beginning = c.door.options.Log.Append(r)
	c.record.Request = nil
	c.door.options.Kernel.tell(r)
}

// end records how a call ended: any that is always recorded, others if they were denied.
func (c *call) end(always bool, answer any, err error) {
	e := domain.ToStatus(err)
	code := word(e.Code())
	refused := denied(code)
	if !always && !refused {
		return
	}
	r, now := c.record, time.Now()
	if refused {
		skipped, ok := c.door.refusals.admit(c.identity, now)
		if !ok {
			return
		}
		r.Suppressed = skipped
	} else {
		r.Suppressed = c.door.refusals.take(c.identity)
	}
	if c.beginning != 0 {
		r.Phase, r.Begin, r.Time = davitv1.AuditPhase_AUDIT_PHASE_END, c.beginning, timestamppb.New(now)
	}
	r.Code, r.Duration = code, durationpb.New(now.Sub(c.began))
	if err != nil {
		r.Message = cut(e.Message(), 512)
		r.Reason = reason(e.Err())
	}
	if with, ok := answer.(interface{ GetDomain() *davitv1.DomainInfo }); ok && with.GetDomain() != nil {
		r.Domain, r.Uuid = with.GetDomain().GetName(), with.GetDomain().GetUuid()
	}
	c.about(r.GetDomain(), r.GetUuid())
	c.door.options.Log.Append(r)
	c.door.options.Kernel.tell(r)
}

// about notes which domain a call is about, and what of it is not known yet.
func (c *call) about(name, uuid string) {
	domains := c.door.options.Domains
	if uuid == "" && name != "" {
		uuid, _ = domains.LookupName(name)
	}
	if name == "" && uuid != "" {
		name, _, _ = domains.Lookup(uuid)
	}
	c.record.Domain, c.record.Uuid = cut(name, maxText), cut(uuid, maxText)
}

// word is how gRPC spells a code.
func word(code codes.Code) string {
	var b strings.Builder
	for i, r := range code.String() {
		if i > 0 && r >= 'A' && r <= 'Z' && code != codes.OK {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// cut is a text's beginning, which is valid UTF-8.
func cut(text string, most int) string {
	if len(text) > most {
		text = text[:most]
		for len(text) > 0 && !utf8.RuneStart(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
		text = strings.TrimRightFunc(text, func(r rune) bool { return r == utf8.RuneError }) + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
