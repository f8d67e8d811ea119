package cli

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// patience is how long a wait goes without a word.
const patience = time.Second

// awaiting says on a terminal what is waited for, and for how long already, once that takes longer than a second. The
// returned function takes it away again; call it before anything else is written to standard error. One wait is told at a
// time, the first.
func (a *app) awaiting(format string, args ...any) (done func()) {
	f, ok := a.err.to.(*os.File)
	if !ok || !a.err.terminal || a.quiet || a.env("TERM") == "dumb" {
		return func() {}
	}
	if !a.err.waiting.CompareAndSwap(false, true) {
		return func() {}
	}
	p := &progress{
		app: a, to: f, what: cell(fmt.Sprintf(format, args...)),
		end: make(chan struct{}), ended: make(chan struct{}),
	}
	go p.run(time.Now())
	return sync.OnceFunc(func() {
		close(p.end)
		<-p.ended
		a.err.waiting.Store(false)
	})
}

// progress is a line that tells of a wait.
type progress struct {
	app        *app
	to         *os.File
	what       string
	end, ended chan struct{}
}

func (p *progress) run(begin time.Time) {
	defer close(p.ended)
	select {
	case <-p.end:
		return
	case <-time.After(patience):
	}
	defer p.write("\r\x1b[K")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		p.draw(time.Since(begin))
		select {
		case <-p.end:
			return
		case <-tick.C:
		}
	}
}

// draw writes the line over the one before, on no more than one row.
func (p *progress) draw(elapsed time.Duration) {
	s := p.app.err
	text := s.encoded(fmt.Sprintf("waiting for %s (%s)", p.what, elapsed.Truncate(time.Second)))
	if width := int(sizeOf(p.to).Columns); width > 1 {
		text = p.app.styled(s, fit([]span{{text, dim}}, width-1, s.ellipsis()))
	}
	p.write("\r" + text + "\x1b[K")
}

func (p *progress) write(text string) { _, _ = p.app.err.raw().Write([]byte(text)) }
