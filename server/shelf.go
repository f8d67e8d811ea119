package server

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// Bounds of a [shelf]: bytes that lie on it, and calls that make something to be laid there.
const (
	shelfRoom   = 1 << 20
	shelfMakers = 2
)

// collectInterval is how often garbage is collected for those who wait for room.
const collectInterval = time.Second

// shelf holds the answers that a connection was given and has not read. grpc has no bound for them: an answer is queued
// as a whole, whatever the client's window, and its call is over. Here a call waits until it may make its answer, and
// then for room, before the answer is encoded; the room is free again when the last byte was handed to the kernel. A
// client that does not read keeps only itself waiting: each connection has a shelf of its own.
type shelf struct {
	makers, room *semaphore.Weighted
	garbage      *collector
}

// lay waits for room.
func (s shelf) lay(ctx context.Context, n int) (free func(), err error) {
	for {
		soon, cancel := context.WithTimeout(ctx, collectInterval)
		free, err = take(soon, s.room, n)
		cancel()
		if err == nil || ctx.Err() != nil {
			return free, err
		}
		s.garbage.collect()
	}
}

// collector collects garbage, which may hold places on shelves, at most once in a while whoever asks.
type collector struct {
	mu   sync.Mutex
	last time.Time
}

func (c *collector) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) >= collectInterval {
		runtime.GC()
		c.last = time.Now()
	}
}

// take waits for places of a semaphore.
func take(ctx context.Context, s *semaphore.Weighted, n int) (free func(), err error) {
	if err := s.Acquire(ctx, int64(n)); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return func() { s.Release(int64(n)) }, nil
}

// shelfKey is the context key of a connection's shelf.
type shelfKey struct{}

// shelves give each connection its shelf.
type shelves struct{ garbage *collector }

func (s shelves) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, shelfKey{}, shelf{
		makers: semaphore.NewWeighted(shelfMakers), room: semaphore.NewWeighted(shelfRoom),
		garbage: s.garbage,
	})
}

func (shelves) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (shelves) HandleConn(context.Context, stats.ConnStats)                     {}
func (shelves) HandleRPC(context.Context, stats.RPCStats)                       {}

// shelved is a message that has its place on a shelf. It is a pool in that grpc gives back to it what it was encoded to,
// once that is no longer needed.
type shelved struct {
	proto.Message
	free func()
}

// shelve gives a message a place. grpc forgets to give back what it encoded for a call that the client has just
// cancelled; that place is free when the garbage is collected, which who waits for room sees to.
func shelve(m proto.Message, free func()) *shelved {
	s := &shelved{m, sync.OnceFunc(free)}
	runtime.AddCleanup(s, func(free func()) { free() }, s.free)
	return s
}

// Get is never asked: nothing is copied.
func (s *shelved) Get(length int) *[]byte { b := make([]byte, length); return &b }

// Put frees the place.
func (s *shelved) Put(*[]byte) { s.free() }

// place gives a message its place. One that is larger than the whole shelf has it to itself.
func place(ctx context.Context, message any) (any, error) {
	m, ok := message.(proto.Message)
	s, has := ctx.Value(shelfKey{}).(shelf)
	if !ok || !has {
		return message, nil
	}
	free, err := s.lay(ctx, min(proto.Size(m), shelfRoom))
	if err != nil {
		return nil, err
	}
	return shelve(m, free), nil
}

// shelveAnswers puts answers on the shelf, and of calls that only look, whose answers may be large, has few made at a time.
// Who waits for a domain is not counted: that may be long, and the answer is small.
func shelveAnswers(t auth.Table) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, q any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		s, ok := ctx.Value(shelfKey{}).(shelf)
		looks := t[call.FullMethod] == davitv1.Access_ACCESS_READ && call.FullMethod != davitv1.DomainService_WaitDomain_FullMethodName
		if ok && looks {
			free, err := take(ctx, s.makers, 1)
			if err != nil {
				return nil, err
			}
			defer free()
		}
		answer, err := next(ctx, q)
		if err != nil {
			return nil, err
		}
		return place(ctx, answer)
	}
}

// shelveMessages puts what a stream sends on the shelf.
func shelveMessages(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(service, shelvingStream{stream})
}

type shelvingStream struct{ grpc.ServerStream }

func (s shelvingStream) SendMsg(message any) error {
	m, err := place(s.Context(), message)
	if err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

// shelvingCodec encodes messages with their places.
type shelvingCodec struct{ encoding.CodecV2 }

func (c shelvingCodec) Marshal(message any) (mem.BufferSlice, error) {
	s, ok := message.(*shelved)
	if !ok {
		return c.CodecV2.Marshal(message)
	}
	data, err := proto.Marshal(s.Message)
	if err != nil || mem.IsBelowBufferPoolingThreshold(cap(data)) {
		s.free() // so little that grpc does not tell when it is done with it
		return mem.BufferSlice{mem.SliceBuffer(data)}, err
	}
	return mem.BufferSlice{mem.NewBuffer(&data, s)}, nil
}
