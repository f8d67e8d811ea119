package domain

// arena gives slices out of larger ones, so that a document of many small parts is not as many allocations. What it
// gave stays until the arena is rewound.
type arena[T any] struct {
	chunk []T
	used  int
}

// maxChunk is how many parts are made at once: what is not used of them is little beside what a document takes.
const maxChunk = 512

// take gives n zero values that nobody else has.
func (a *arena[T]) take(n int) []T {
	if n == 0 {
		return nil
	}
	if a.used+n > len(a.chunk) {
		a.chunk = make([]T, max(n, min(2*len(a.chunk), maxChunk), 4))
		a.used = 0
	}
	part := a.chunk[a.used : a.used+n : a.used+n]
	a.used += n
	return part
}

// rewind takes back all that was given.
func (a *arena[T]) rewind() {
	clear(a.chunk[:a.used])
	a.used = 0
}
