package drivertest

import (
	"context"
	"time"

	"github.com/davitd/davit/driver"
)

var eventTests = []testcase{eventsInOrder, eventsReplay, eventsEndWithContext, secondReaderEndsFirst}

// Events are numbered from 1 without holes, each once.
func eventsInOrder(s *suite) {
	l := s.start("exit 4", restartOn(poweroff))
	var last uint64
	for range 7 {
		ev := l.next()
		if ev.Sequence != last+1 {
			s.Fatalf("event %d follows %d", ev.Sequence, last)
		}
		last = ev.Sequence
	}
	l.kill()
	for {
		ev := l.next()
		if _, ok := ev.Kind.(driver.Stopped); ok {
			break
		}
		if ev.Sequence != last+1 {
			s.Fatalf("event %d follows %d", ev.Sequence, last)
		}
		last = ev.Sequence
	}
}

// What was not acknowledged is sent again, also to the next daemon; what was is not.
func eventsReplay(s *suite) {
	l := s.start("exit 4", restartOn(poweroff))
	for range 3 {
		l.next()
	}
	l.watch(0)
	if ev := l.next(); ev.Sequence != 1 {
		s.Errorf("the second reader begins with event %d, want 1", ev.Sequence)
	}
	l.watch(2)
	if ev := l.next(); ev.Sequence != 3 {
		s.Errorf("the reader after 2 begins with event %d, want 3", ev.Sequence)
	}
	if err := l.Acknowledge(s.Context(), 2); err != nil {
		s.Fatalf("acknowledge: %v", err)
	}
	s.reopen()
	l.recover()
	if ev := l.next(); ev.Sequence != 3 {
		s.Errorf("the next daemon's first event is %d, want 3", ev.Sequence)
	}
}

func eventsEndWithContext(s *suite) {
	l := s.start(idle).ready()
	ctx, cancel := context.WithCancel(s.Context())
	ch, err := l.Events(ctx, 0)
	if err != nil {
		s.Fatal(err)
	}
	<-ch
	cancel()
	l.events = ch
	l.closed()
}

// closed waits for the end of the channel without Stopped.
func (l *life) closed() {
	l.s.Helper()
	for {
		select {
		case ev, ok := <-l.events:
			if !ok {
				return
			}
			if _, stopped := ev.Kind.(driver.Stopped); stopped {
				l.s.Fatal("the events end with Stopped")
			}
		case <-time.After(l.s.patience):
			l.s.Fatal("the channel stays open")
		}
	}
}

func secondReaderEndsFirst(s *suite) {
	l := s.start(idle).ready()
	first, err := l.Events(s.Context(), 0)
	if err != nil {
		s.Fatal(err)
	}
	<-first
	l.watch(0)
	second := l.events
	l.events = first
	l.closed()
	l.events = second
	want[driver.Started](l)
}
