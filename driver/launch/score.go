package launch

import (
	"strconv"
	"strings"
	"sync"
)

// Guests are what the kernel ends first when the host lacks memory: they have this much more of a score (proc(5),
// oom_score_adj) than we have, and at least this much. It is a tenth of the host's memory.
const guestScore = 100

// scores raises the scores of children before they run a program. A child that shares our memory shares the score, so ours is
// raised with it, and lowered again when no such child is left.
type scores struct {
	sync.Mutex
	raised int
	own    int
	known  bool // own was read
}

var score scores

const (
	opScore   = "raise score of process where memory lacks"
	scoreFile = "oom_score_adj"
)

// raise raises the score of a child that waits. With or without an error, lower is called later.
func (s *scores) raise(pid int) error {
	s.Lock()
	defer s.Unlock()
	s.raised++
	if err := s.find(); err != nil {
		return err
	}
	return setScore(strconv.Itoa(pid), s.ofGuest())
}

// find finds out our own score, unless it is raised just now.
func (s *scores) find() error {
	if s.known {
		return nil
	}
	text, err := readProc("self", scoreFile, make([]byte, 16))
	if err != nil {
		return err
	}
	if s.own, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return err
	}
	s.known = true
	return nil
}

func (s *scores) ofGuest() int { return min(max(s.own, 0)+guestScore, 1000) }

// guest is the score that a child gives itself which has memory of its own.
func (s *scores) guest() (int, error) {
	s.Lock()
	defer s.Unlock()
	err := s.find()
	s.known = s.known && s.raised > 0
	return s.ofGuest(), err
}

// lower gives us our own score back.
func (s *scores) lower() {
	s.Lock()
	defer s.Unlock()
	if s.raised--; s.raised == 0 && s.known {
		_ = setScore("self", s.own)
		s.known = false
	}
}

func setScore(process string, n int) error {
	return writeProc(process, scoreFile, strconv.Itoa(n))
}
