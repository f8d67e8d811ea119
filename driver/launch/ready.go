package launch

import (
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// What a launch needs before it does anything takes as long as a good part of what it does, in a program that has just begun: a thread,
// another that makes it, a stack that has grown, and memory for the program of the child, each page of which interrupts whoever
// touches it first. All of that can be there before the plan is. It is used up by the first that comes, and what follows makes its
// own.
var ready = struct {
	// hands wait for work, one at most.
	hands chan chan<- func()
	// assembler is one whose memory was touched.
	assembler atomic.Pointer[assembler]
}{hands: make(chan chan<- func(), 1)}

// readyStack is more than the stack of a launch.
const readyStack = 24 << 10

// GetReady makes ready what the first launch of this process needs, whatever its plan is. It takes no more than the launch would.
func GetReady() {
	a := freshAssembler(usualInstructions, usualArguments)
	a.touch()
	ready.assembler.Store(a)
	work, begun := make(chan func()), make(chan struct{})
	go apart(func() {
		touchStack()
		close(begun)
		(<-work)()
	})
	<-begun
	select {
	case ready.hands <- work:
	default: // one waits already
		work <- func() {}
	}
}

// apart calls f on a thread that is not the main one, of which nothing is left afterwards.
func apart(f func()) {
	// Never unlocked, so that the thread ends with the goroutine.
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	begun := make(chan struct{})
	go apart(func() {
		close(begun)
		f()
	})
	<-begun // until it has a thread that is not ours
	runtime.UnlockOSThread()
}

// touch writes to the memory that a usual program will take.
func (a *assembler) touch() {
	clear(a.code[:cap(a.code)])
	clear(a.args[:cap(a.args)])
	clear(a.slots[:usualSlots])
	clear(a.reply)
	clear(a.memory(chunkSize))
	a.chunks[0] = a.chunks[0][:0]
}

// touchStack makes the stack of a goroutine as large as that of a launch.
//
//go:noinline
func touchStack() {
	var room [readyStack]byte
	const page = 4096
	for i := 0; i < len(room); i += page {
		room[i] = 1
	}
	touched(room[:])
}

// touched has what was written not be left out.
//
//go:noinline
func touched([]byte) {}
