package console

import "sync"

// smallest is the size of a ring's first buffer; most consoles say little.
const smallest = 2 << 10

// Ring keeps the last bytes of a stream. Every byte has an offset, counted from the first that was ever written. Writing
// never waits; a reader that is too slow finds that the oldest byte which is kept lies beyond the one it wanted. It may be
// used from any goroutine.
type Ring struct {
	capacity int

	mu      sync.Mutex
	buffer  []byte // grows up to capacity
	end     uint64 // offset of the next byte
	kept    int
	changed chan struct{}
}

// NewRing makes a ring that keeps that many bytes. It takes the memory as it is needed.
func NewRing(capacity int) *Ring { return &Ring{capacity: capacity} }

// Write keeps bytes, and forgets the oldest ones.
func (r *Ring) Write(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end += uint64(len(p))
	if len(p) > r.capacity {
		p = p[len(p)-r.capacity:]
	}
	r.grow(r.kept + len(p))
	// The place of a byte is its offset within the buffer, so writing goes on where the last write ended.
	for at := r.end - uint64(len(p)); len(p) > 0; {
		n := copy(r.buffer[at%uint64(len(r.buffer)):], p)
		at, p = at+uint64(n), p[n:]
		r.kept = min(r.kept+n, len(r.buffer))
	}
	r.wake()
}

// grow makes the buffer large enough for that many bytes, if it may be.
func (r *Ring) grow(wanted int) {
	size := max(len(r.buffer), min(smallest, r.capacity))
	for size < min(wanted, r.capacity) {
		size = min(2*size, r.capacity)
	}
	if size == len(r.buffer) {
		return
	}
	old := r.buffer
	r.buffer = make([]byte, size)
	// The bytes that are kept end where the write that made us grow begins.
	end := r.end - uint64(wanted-r.kept)
	for at := end - uint64(r.kept); at < end; {
		from := old[at%uint64(len(old)):]
		n := copy(r.buffer[at%uint64(size):], from[:min(uint64(len(from)), end-at)])
		at += uint64(n)
	}
}

// Read copies bytes from an offset on, or from the oldest byte that is kept if that is later, and tells the offset of the
// first. If there are none yet it gives a channel that is closed when something changed.
func (r *Ring) Read(offset uint64, p []byte) (n int, at uint64, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at = max(offset, r.end-uint64(r.kept))
	if at >= r.end {
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		return 0, at, r.changed
	}
	for n < len(p) && at+uint64(n) < r.end {
		place := at + uint64(n)
		from := r.buffer[place%uint64(len(r.buffer)):]
		n += copy(p[n:], from[:min(uint64(len(from)), r.end-place)])
	}
	return n, at, nil
}

// Resume makes a ring that nobody has written to begin at an offset.
func (r *Ring) Resume(offset uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = offset
}

// Bounds are the offsets of the oldest byte that is kept and of the next that will be written.
func (r *Ring) Bounds() (oldest, next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end - uint64(r.kept), r.end
}

// Wake closes the channel that readers wait on, so that they look at what else may have changed.
func (r *Ring) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake()
}

func (r *Ring) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}
