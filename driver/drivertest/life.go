package drivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Scripts of inits. A shell tells that its traps are set by a line on the console.
const (
	idle      = "trap 'exit 0' TERM; echo ready; sleep infinity & wait"
	untrapped = "echo ready; sleep infinity & wait"
)

// life is an instance and what is read of it.
type life struct {
	driver.Instance
	s        *suite
	spec     driver.Spec
	events   <-chan driver.Event
	cancel   context.CancelFunc
	released bool
}

// ready waits until init has written its line.
func (l *life) ready() *life {
	l.s.Helper()
	c := l.console(driver.ConsoleOptions{ReadOnly: true, Scrollback: true})
	defer c.close()
	c.until("ready")
	return l
}

// watch begins to read events after a sequence.
func (l *life) watch(after uint64) {
	l.s.Helper()
	if l.cancel != nil {
		l.cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.s.Cleanup(cancel)
	ch, err := l.Events(ctx, after)
	if err != nil {
		l.s.Fatalf("events: %v", err)
	}
	l.events = ch
}

// next waits for an event.
func (l *life) next() driver.Event {
	l.s.Helper()
	if l.events == nil {
		l.watch(0)
	}
	select {
	case ev, ok := <-l.events:
		if !ok {
			l.s.Fatal("the events end where one more was to come")
		}
		return ev
	case <-time.After(l.s.patience):
		l.s.Fatalf("no event within %v", l.s.patience)
	}
	panic("unreachable")
}

// want waits for an event of a kind, less OOM kills.
func want[K driver.EventKind](l *life) (K, driver.Event) {
	l.s.Helper()
	for {
		ev := l.next()
		if _, oom := ev.Kind.(driver.OOM); oom {
			continue
		}
		k, ok := ev.Kind.(K)
		if !ok {
			l.s.Fatalf("event %d is %T %+v, want %T", ev.Sequence, ev.Kind, ev.Kind, k)
		}
		return k, ev
	}
}

// over waits for the end of the events, which is Stopped and the channel's end.
func (l *life) over() driver.Stopped {
	l.s.Helper()
	stopped, _ := want[driver.Stopped](l)
	select {
	case ev, ok := <-l.events:
		if ok {
			l.s.Fatalf("after Stopped came %T", ev.Kind)
		}
	case <-time.After(l.s.patience):
		l.s.Fatal("after Stopped the channel stays open")
	}
	return stopped
}

func (l *life) status() driver.Status {
	l.s.Helper()
	st, err := l.Status(l.s.Context())
	if err != nil {
		l.s.Fatalf("status: %v", err)
	}
	return st
}

func (l *life) kill() {
	l.s.Helper()
	ctx, cancel := context.WithTimeout(l.s.Context(), l.s.patience)
	defer cancel()
	if err := l.Kill(ctx); err != nil {
		l.s.Fatalf("kill: %v", err)
	}
}

func (l *life) release() {
	l.s.Helper()
	if err := l.Release(l.s.Context()); err != nil {
		l.s.Fatalf("release: %v", err)
	}
	l.released = true
}

// recover finds it again, with the driver of now.
func (l *life) recover() {
	l.s.Helper()
	i, err := l.s.driver.Recover(l.s.Context(), l.spec)
	if err != nil {
		l.s.Fatalf("recover: %v", err)
	}
	l.Instance, l.events, l.cancel = i, nil, nil
}

// stream reads a console or command.
type stream struct {
	driver.Stream
	t        *testing.T
	outputs  chan driver.StreamOutput
	got      bytes.Buffer
	stderr   bytes.Buffer
	offset   uint64 // of the next byte
	exit     *davitv1.Exit
	taken    bool
	finished bool
	patience time.Duration
}

func newStream(t *testing.T, patience time.Duration, s driver.Stream) *stream {
	t.Helper()
	x := &stream{Stream: s, t: t, outputs: make(chan driver.StreamOutput, 16), offset: s.Opened().Offset, patience: patience}
	done := make(chan struct{})
	t.Cleanup(func() { close(done); _ = s.Close() })
	go func() {
		defer close(x.outputs)
		for {
			o, err := s.Receive()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Errorf("receive: %v", err)
				return
			}
			select {
			case x.outputs <- o:
			case <-done:
				return
			}
		}
	}()
	return x
}

func (l *life) console(o driver.ConsoleOptions) *stream {
	l.s.Helper()
	s, err := l.OpenConsole(l.s.Context(), o)
	if err != nil {
		l.s.Fatalf("open console: %v", err)
	}
	return newStream(l.s.T, l.s.patience, s)
}

func (l *life) exec(o driver.ExecOptions) *stream {
	l.s.Helper()
	s, err := l.Exec(l.s.Context(), o)
	if err != nil {
		l.s.Fatalf("exec %q: %v", o.Argv, err)
	}
	return newStream(l.s.T, l.s.patience, s)
}

// step takes one output; false is the end.
func (x *stream) step() bool {
	x.t.Helper()
	select {
	case o, ok := <-x.outputs:
		if !ok {
			x.finished = true
			return false
		}
		if len(o.Data) > 0 {
			if o.Offset != x.offset {
				x.t.Errorf("output at offset %d, want %d", o.Offset, x.offset)
			}
			x.offset = o.Offset + uint64(len(o.Data))
		}
		x.got.Write(o.Data)
		x.stderr.Write(o.Stderr)
		x.taken = x.taken || o.Taken
		if o.Exit != nil {
			x.exit = o.Exit
		}
		return true
	case <-time.After(x.patience):
		x.t.Fatalf("no output within %v; so far %q", x.patience, x.got.String())
	}
	return false
}

// until reads until the output holds a text.
func (x *stream) until(text string) {
	x.t.Helper()
	for !bytes.Contains(x.got.Bytes(), []byte(text)) {
		if !x.step() {
			x.t.Fatalf("output ends with %q, want %q in it", x.got.String(), text)
		}
	}
}

// rest reads to the end.
func (x *stream) rest() *stream {
	x.t.Helper()
	for x.step() {
	}
	return x
}

// send writes.
func (x *stream) send(text string) {
	x.t.Helper()
	if err := x.Send([]byte(text)); err != nil {
		x.t.Fatalf("send %q: %v", text, err)
	}
}

func (x *stream) close() {
	x.t.Helper()
	if err := x.Close(); err != nil {
		x.t.Errorf("close: %v", err)
	}
}
