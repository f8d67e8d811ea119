package client

import (
	"context"
	"errors"
	"io"
)

// follower is a sequence that goes over one stream after the other: where one breaks because the daemon is restarted, the next
// carries on.
type follower[T any] struct {
	link   *link
	yield  func(T, error) bool
	follow bool // whether another stream may come

	fresh bool // this stream told something
	begun bool // a stream did
	ended bool // the caller wants no more
}

// run has streams read until none is to follow, and tells the error that ended the last. A read returns why its stream ended, io.EOF
// when there is no more to tell; an error that mended reports as dealt with is followed by another stream at once.
func (f *follower[T]) run(ctx context.Context, read func(context.Context) error, mended func(error) bool) {
	var none T
	again := pause{window: -1}
	for {
		f.fresh = false
		err := f.readOne(ctx, read)
		if f.fresh {
			again.reset()
		}
		switch {
		case f.ended:
			return
		case ctx.Err() != nil:
			f.yield(none, ctx.Err())
			return
		case errors.Is(err, io.EOF):
			return
		case mended(err):
		case !f.follow || !resumable(err) || !f.link.reached.Load() || !unavailable(err) && !f.begun:
			f.yield(none, err)
			return
		case !again.next(ctx):
			f.yield(none, ctx.Err())
			return
		}
	}
}

// readOne has one stream read, and ends it.
func (f *follower[T]) readOne(ctx context.Context, read func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return read(ctx)
}

// tell passes something on and reports whether the caller wants more.
func (f *follower[T]) tell(what T) bool {
	f.fresh, f.begun = true, true
	f.ended = !f.yield(what, nil)
	return !f.ended
}
