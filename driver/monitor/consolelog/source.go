package consolelog

import (
	"bytes"
	"sync"
	"time"
)

const (
	// longest is the longest text of a line.
	longest = 16 << 10
	// promptTime is how long a line may be unfinished until its beginning is written.
	promptTime = 500 * time.Millisecond
)

// Source is a console, whose output it cuts into lines.
type Source struct {
	log    *Log
	origin string

	mu    sync.Mutex
	line  []byte // what was not written of the line
	begun bool   // a part of the line was written
	last  time.Time
	timer bool // one will look at the line
}

// Source makes a source of that alias.
func (l *Log) Source(alias string) *Source { return &Source{log: l, origin: alias} }

// Write takes output. It waits for nobody.
func (s *Source) Write(p []byte) {
	if s.log == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		text, rest, found := bytes.Cut(p, []byte("\n"))
		if !found {
			break
		}
		s.finish(text)
		p = rest
	}
	s.line = s.parts(s.line, p)
	if len(s.line) > 0 {
		s.last = time.Now()
		s.watch(promptTime)
	}
}

// finish writes the line, of which this is the rest.
func (s *Source) finish(rest []byte) {
	if len(s.line) == 0 && len(rest) <= longest {
		s.full(rest) // as a rule; it is copied once
		return
	}
	s.line = s.parts(s.line, rest)
	s.full(s.line)
}

func (s *Source) full(text []byte) {
	s.log.say(s.origin, full, bytes.TrimSuffix(text, []byte("\r")))
	s.begun = false
	// A line of the usual length leaves its memory for the next.
	if s.line = s.line[:0]; cap(s.line) > 1<<10 {
		s.line = nil
	}
}

// parts adds text to a line, writes those parts of it that are too long for one, and gives the rest.
func (s *Source) parts(line, text []byte) []byte {
	for len(line)+len(text) > longest {
		n := longest - len(line)
		line = append(line, text[:n]...)
		s.part(line)
		line, text = line[:0], text[n:]
	}
	return append(line, text...)
}

func (s *Source) part(text []byte) {
	s.log.say(s.origin, part, text)
	s.begun = true
}

// watch looks at the line after a time.
func (s *Source) watch(after time.Duration) {
	if !s.timer {
		s.timer = true
		time.AfterFunc(after, s.look)
	}
}

// look writes the beginning of a line that nothing followed for long enough.
func (s *Source) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = false
	if len(s.line) == 0 {
		return
	}
	if left := promptTime - time.Since(s.last); left > 0 {
		s.watch(left)
		return
	}
	s.part(s.line)
	s.line = nil
}

// End is the end of a run of init, which ends the line.
func (s *Source) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.line) > 0 || s.begun {
		s.full(s.line)
	}
}
