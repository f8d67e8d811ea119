package launch

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// where tells which thread calls it.
func where() (int, error) { return unix.Gettid(), nil }

func TestWhatIsReadyIsUsedOnce(t *testing.T) {
	GetReady()
	GetReady() // what is ready already stays, and what is made in addition goes
	if len(ready.hands) != 1 {
		t.Fatalf("%d threads wait", len(ready.hands))
	}
	made := ready.assembler.Load()
	if made == nil || newAssembler() != made || newAssembler() == made {
		t.Fatal("a program's memory that is ready is not used, or twice")
	}
	for range 3 {
		if thread, err := onThread(where); err != nil || thread == unix.Getpid() {
			t.Errorf("on thread %d, the main one: %v", thread, err)
		}
		if len(ready.hands) != 0 {
			t.Error("the thread that is ready was not used")
		}
	}
}

// What is ready is as empty as what is made anew.
func TestMemoryThatIsReadyIsEmpty(t *testing.T) {
	a := freshAssembler(usualInstructions, usualArguments)
	a.touch()
	if len(a.code)+len(a.args)+len(a.steps) != 0 || a.used != 1 || len(a.labels) != 1 || len(a.chunks) != 1 || len(a.chunks[0]) != 0 {
		t.Errorf("%+v", a)
	}
	for _, slot := range a.slots {
		if slot != 0 {
			t.Fatal("a slot is not empty")
		}
	}
	at := a.text("x")
	if at.n != address(a.chunks[0]) || cap(a.chunks[0]) != chunkSize {
		t.Error("the memory that was touched is not used")
	}
}

// An instruction is as small as it is on purpose.
func TestInstructionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(instruction{}); size > 28 {
		t.Errorf("an instruction has %d bytes", size)
	}
}
