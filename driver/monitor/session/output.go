package session

import (
	"sync"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// Kept is how much of a session's output is kept for a caller that attaches.
	Kept = 64 << 10
	// chunkSize is the most bytes of one frame.
	chunkSize = 32 << 10
	// chunkCost is what a chunk counts for beside its bytes, so that many small ones do not cost more than they count.
	chunkCost = 64
)

// chunk is output that was written to one of the two streams without output to the other in between.
type chunk struct {
	stderr bool
	at     uint64 // position among all bytes of both streams
	offset uint64 // position among those of standard output
	data   []byte
}

func (c *chunk) end() uint64 { return c.at + uint64(len(c.data)) }

// output is what a command wrote, in the order in which it was read.
//
// It obeys one law: an attached caller loses nothing, and so the command waits for it once [Kept] bytes are unread;
// without a caller the last [Kept] bytes are kept and the command waits for nobody.
type output struct {
	mu       sync.Mutex
	chunks   []chunk
	cost     int
	at       uint64 // of the next byte of both streams
	offset   uint64 // of the next byte of standard output
	attached bool
	position uint64 // of the next byte that the attached caller reads
	exit     *monitorv1.Exit
	over     bool
	changed  chan struct{}
}

// add adds what was read from a stream. While the attached caller has too much to read it waits.
func (o *output) add(stderr bool, p []byte) {
	for len(p) > 0 {
		n := min(len(p), chunkSize)
		for wait := o.tryAdd(stderr, p[:n]); wait != nil; wait = o.tryAdd(stderr, p[:n]) {
			<-wait
		}
		p = p[n:]
	}
}

// tryAdd adds what was read, or gives a channel that is closed when it is worth trying again.
func (o *output) tryAdd(stderr bool, p []byte) (wait <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.attached && o.at-o.position >= Kept {
		return o.wait()
	}
	last := len(o.chunks) - 1
	if last < 0 || o.chunks[last].stderr != stderr || len(o.chunks[last].data)+len(p) > chunkSize {
		o.chunks = append(o.chunks, chunk{stderr: stderr, at: o.at, offset: o.offset})
		o.cost += chunkCost
		last++
	}
	o.chunks[last].data = append(o.chunks[last].data, p...)
	o.cost += len(p)
	o.at += uint64(len(p))
	if !stderr {
		o.offset += uint64(len(p))
	}
	o.trim()
	o.announce()
	return nil
}

// trim forgets the oldest bytes beyond what is kept, and never what an attached caller has yet to read.
func (o *output) trim() {
	for o.cost > Kept {
		first := &o.chunks[0]
		n := min(len(first.data), o.cost-Kept)
		if o.attached {
			n = min(n, int(max(o.position, first.at)-first.at))
		}
		if n == len(first.data) {
			o.cost -= n + chunkCost
			o.chunks = o.chunks[1:]
			continue
		}
		if n == 0 {
			return
		}
		o.cost -= n
		first.data, first.at = first.data[n:], first.at+uint64(n)
		if !first.stderr {
			first.offset += uint64(n)
		}
	}
}

// attach makes a caller the one that reads, from the oldest byte that is kept, and tells the offset of standard output
// there. It tells false if there is one already.
func (o *output) attach() (offset uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.attached {
		return 0, false
	}
	o.attached, o.position, offset = true, o.at, o.offset
	if len(o.chunks) > 0 {
		o.position, offset = o.chunks[0].at, o.chunks[0].offset
	}
	return offset, true
}

// detach lets the caller go.
func (o *output) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attached = false
	o.trim()
	o.announce()
}

// next gives what the attached caller reads next. It is nil if there is nothing yet; then exit, over and changed tell
// what else there is.
func (o *output) next() (next *monitorv1.StreamOutput, exit *monitorv1.Exit, over bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.chunks {
		c := &o.chunks[i]
		if c.end() <= o.position {
			continue
		}
		from := o.position - c.at
		data := append([]byte(nil), c.data[from:]...)
		o.position = c.end()
		o.announce() // there may be room now
		if c.stderr {
			return &monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Stderr{Stderr: data}}, nil, false, nil
		}
		return &monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Data{Data: &monitorv1.StreamData{
			Offset: c.offset + from, Data: data,
		}}}, nil, false, nil
	}
	return nil, o.exit, o.over, o.wait()
}

// ended tells how the command ended; output may still come.
func (o *output) ended(exit *monitorv1.Exit) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.exit = exit
	o.announce()
}

// finish tells how the command ended, and that no more output comes.
func (o *output) finish(exit *monitorv1.Exit) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.exit, o.over = exit, true
	o.announce()
}

func (o *output) wait() <-chan struct{} {
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed
}

func (o *output) announce() {
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}
