package auth

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// refusalPause is the least time between two lines of the log about refused connections: who is refused may come again
// as often as it likes, and must not fill the log by that.
const refusalPause = time.Second

// refusals logs connections that were refused: the first at once, and those of the pause after it in one line, which
// tells how many they were and who was the last.
type refusals struct {
	log *zap.Logger

	mu      sync.Mutex
	pausing bool
	held    int
	peer    Peer
	err     error
}

func (r *refusals) add(p Peer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.peer, r.err = r.held+1, p, err
	if !r.pausing {
		r.tell()
	}
}

// tell logs what is held, and pauses. The mutex is held.
func (r *refusals) tell() {
	r.log.Warn("refuse connection", zap.Stringer("peer", r.peer), zap.Error(r.err), zap.Int("count", r.held))
	r.held, r.pausing = 0, true
	time.AfterFunc(refusalPause, r.resume)
}

// resume ends the pause.
func (r *refusals) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pausing = false
	if r.held > 0 {
		r.tell()
	}
}
