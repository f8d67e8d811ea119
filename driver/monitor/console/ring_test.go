package console_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/davitd/davit/driver/monitor/console"
)

// Whatever is written and read, in whatever pieces: a ring keeps exactly the last bytes, up to its capacity, and gives
// each under its own offset.
func TestRingAgainstModel(t *testing.T) {
	for _, capacity := range []int{1, 7, 2048, 3000, 5000, 64 << 10} {
		random := rand.New(rand.NewPCG(1, uint64(capacity)))
		ring, model := console.NewRing(capacity), []byte(nil)
		reader := uint64(0)
		for range 2000 {
			piece := make([]byte, random.IntN(1+random.IntN(2*capacity)))
			for i := range piece {
				piece[i] = byte(random.Uint32())
			}
			ring.Write(piece)
			model = append(model, piece...)
			oldest, next := ring.Bounds()
			if next != uint64(len(model)) || next-oldest != uint64(min(capacity, len(model))) {
				t.Fatalf("capacity %d: keeps %d to %d after %d bytes", capacity, oldest, next, len(model))
			}
			into := make([]byte, 1+random.IntN(capacity))
			n, at, changed := ring.Read(reader, into)
			if want := max(reader, oldest); at != want {
				t.Fatalf("capacity %d: reading from %d begins at %d, want %d", capacity, reader, at, want)
			}
			if !bytes.Equal(into[:n], model[at:at+uint64(n)]) {
				t.Fatalf("capacity %d: %d bytes from %d are not what was written", capacity, n, at)
			}
			if (n == 0) != (at == next) || (n == 0) != (changed != nil) {
				t.Fatalf("capacity %d: read %d bytes at %d of %d, channel %v", capacity, n, at, next, changed)
			}
			reader = at + uint64(n)
			if random.IntN(3) == 0 {
				reader = uint64(random.IntN(len(model) + 1))
			}
			if len(model) > 1<<20 {
				break
			}
		}
	}
}

// A reader that waits is woken by the next byte.
func TestRingWakes(t *testing.T) {
	ring := console.NewRing(16)
	_, _, changed := ring.Read(0, make([]byte, 1))
	ring.Write([]byte("x"))
	<-changed
}

// A ring takes memory as it is needed, and never more than its capacity.
func TestRingMemory(t *testing.T) {
	if n := testing.AllocsPerRun(1, func() { console.NewRing(console.MaxScrollback) }); n > 1 {
		t.Errorf("an empty ring takes %v allocations, want 1", n)
	}
	ring, chunk := console.NewRing(64<<10), make([]byte, 4<<10)
	for range 64 {
		ring.Write(chunk)
	}
	if n := testing.AllocsPerRun(100, func() { ring.Write(chunk) }); n != 0 {
		t.Errorf("a full ring takes %v allocations a write, want none", n)
	}
}
