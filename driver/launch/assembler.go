package launch

import (
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Bounds of a program. A plan that needs more is refused.
const (
	maxInstructions = 1 << 15
	maxSteps        = 1 << 16
	slotCount       = 4096
	chunkSize       = 8 << 10
)

// Sizes that hold the program of a usual plan, so that nothing is moved while it is written: a test holds them against one.
const (
	usualInstructions = 512
	usualArguments    = 2048
	usualSteps        = 80
	usualLabels       = 256
	usualSlots        = 2048
)

// step is what an instruction belongs to, for errors and for printing.
type step struct {
	// number of the plan's operation, from 1; 0 for what every launch does.
	number int
	// operation in words, "mount proc", and its object, "/proc".
	operation, object string
}

// An assembler puts a program together: instructions, the memory that they point to, and the slots that take their
// results.
type assembler struct {
	code []instruction
	// args are the arguments of all instructions.
	args   []uintptr
	steps  []step
	slots  []uintptr
	used   int
	labels []uint16
	// reply is where the parent writes what it tells a child that asks.
	reply []uintptr
	// chunks is memory that does not move.
	chunks [][]byte
	// nursery is where that memory is, and all else of the program; nil if it is Go's.
	nursery *nursery
	// hows remembers the open_how structures.
	hows map[[2]uint64]value
	// left is the slot that holds how often paths may still be opened.
	left value
	// making is where places are made that are missing in a read-only root; number 0 if there is nothing like that.
	making value
	// names holds what values are, when the program is to be printed.
	names map[uintptr]string
	// pretended counts the descriptors that are only printed.
	pretended int
}

// newAssembler makes one for a usual plan.
func newAssembler() *assembler {
	if a := ready.assembler.Swap(nil); a != nil {
		return a
	}
	return freshAssembler(usualInstructions, usualArguments)
}

// freshAssembler makes one for a program of some instructions and arguments, which may be more.
func freshAssembler(instructions, arguments int) *assembler {
	return &assembler{
		code:   make([]instruction, 0, instructions),
		args:   make([]uintptr, 0, arguments),
		steps:  make([]step, 0, usualSteps),
		slots:  make([]uintptr, slotCount),
		used:   1,
		reply:  make([]uintptr, replySlots),
		labels: make([]uint16, 1, usualLabels),
		hows:   make(map[[2]uint64]value, 8),
	}
}

// begin says what the instructions that follow belong to. It is called in so many places that its code in each of them would
// be a good part of a monitor's program; so are the others that are not to be inlined.
//
//go:noinline
func (a *assembler) begin(s step) { a.steps = append(a.steps, s) }

// slot reserves a slot.
//
//go:noinline
func (a *assembler) slot() value { return a.reserve(1) }

// reserve reserves a row of slots and gives the first. Past the end all are slot 0, and the program is refused by
// [assembler.check].
//
//go:noinline
func (a *assembler) reserve(n int) value {
	first := a.used
	a.used += n
	if a.used > slotCount {
		first = 0
	}
	return value{n: uintptr(first), kind: slot}
}

// address is where a slot is in memory.
func (a *assembler) address(s value) value {
	n := uintptr(unsafe.Pointer(&a.slots[s.n]))
	if a.names != nil {
		a.names[n] = "&s" + strconv.Itoa(int(s.n))
	}
	return value{n: n, kind: pointer}
}

// call is an instruction that is being written.
type call struct {
	a *assembler
	i int
}

// call adds an instruction.
//
//go:noinline
func (a *assembler) call(trap uintptr, args ...value) call {
	in := instruction{trap: int16(trap), count: uint8(len(args)), first: uint32(len(a.args)), step: uint16(len(a.steps) - 1)}
	for i, v := range args {
		a.args = append(a.args, v.n)
		in.kinds |= uint16(v.kind) << (kindBits * i)
	}
	a.code = append(a.code, in)
	return call{a, len(a.code) - 1}
}

// to names the slot for the result.
//
//go:noinline
func (c call) to(s value) call {
	c.a.code[c.i].out = uint16(s.n)
	return c
}

// exactly names the only result that is a success, right after the call was added.
func (c call) exactly(n uintptr) {
	c.a.args = append(c.a.args, n)
	c.a.code[c.i].exact = true
}

// then names the place to go on at after success.
//
//go:noinline
func (c call) then(label uint16) call {
	c.a.code[c.i].then = label
	return c
}

// ignore makes an error a success.
//
//go:noinline
func (c call) ignore(errno syscall.Errno) call { return c.on(errno, 0) }

// on names the place to go on at after an error.
//
//go:noinline
func (c call) on(errno syscall.Errno, label uint16) call {
	in := &c.a.code[c.i]
	for i := range in.on {
		if in.on[i].errno == 0 {
			in.on[i] = branch{errno: uint16(errno), to: label}
			return c
		}
	}
	panic("launch: more than three branches of an instruction")
}

// label makes a place that can be gone to; mark says where it is.
//
//go:noinline
func (a *assembler) label() uint16 {
	a.labels = append(a.labels, 0)
	return uint16(len(a.labels) - 1)
}

//go:noinline
func (a *assembler) mark(label uint16) { a.labels[label] = uint16(len(a.code)) }

// memory gives n bytes that do not move, aligned to 8.
func (a *assembler) memory(n int) []byte {
	n = (n + 7) &^ 7
	last := len(a.chunks) - 1
	if last < 0 || cap(a.chunks[last])-len(a.chunks[last]) < n {
		a.chunks = append(a.chunks, a.chunk(max(chunkSize, n)))
		last++
	}
	chunk := a.chunks[last]
	start := len(chunk)
	a.chunks[last] = chunk[:start+n]
	return a.chunks[last][start : start+n : start+n]
}

// chunk gives memory for more of it. Where the nursery is full it is another, and the program is refused.
func (a *assembler) chunk(n int) []byte {
	if a.nursery != nil {
		if b := a.nursery.take(n); b != nil {
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

// text puts a string into memory, with a NUL at its end.
func (a *assembler) text(s string) value {
	b := a.memory(len(s) + 1)
	copy(b, s)
	v := value{n: address(b), kind: pointer}
	if a.names != nil {
		a.names[v.n] = quote(s)
	}
	return v
}

// words puts a structure of 64-bit members into memory.
func (a *assembler) words(label string, members ...uint64) value {
	b := a.memory(8 * len(members))
	for i, m := range members {
		binary.NativeEndian.PutUint64(b[8*i:], m)
	}
	return a.named(address(b), pointer, label)
}

// bytes puts bytes into memory.
func (a *assembler) bytes(label string, data []byte) value {
	b := a.memory(len(data))
	copy(b, data)
	return a.named(address(b), pointer, label)
}

// vector puts an array of strings into memory, as execve(2) wants it.
func (a *assembler) vector(label string, list []string) value {
	b := a.memory(8 * (len(list) + 1))
	for i, s := range list {
		binary.NativeEndian.PutUint64(b[8*i:], uint64(a.text(s).n))
	}
	return a.named(address(b), pointer, label)
}

// file is an open file as an argument. A program that is only printed has none; numbers stand in for them.
//
//go:noinline
func (a *assembler) file(f *os.File, label string) value {
	if f == nil {
		a.pretended++
		return a.named(uintptr(a.pretended), descriptor, label)
	}
	return a.named(f.Fd(), descriptor, label)
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// here is the working directory as an argument.
func (a *assembler) here() value { return a.named(atCwd, descriptor, "cwd") }

// named is a value with a name for the printed program.
//
//go:noinline
func (a *assembler) named(n uintptr, k kind, name string) value {
	if a.names != nil {
		a.names[n] = name
	}
	return value{n: n, kind: k}
}

// check tells whether the program is within bounds, and puts the places of labels into the instructions.
func (a *assembler) check() error {
	if len(a.code) > maxInstructions || len(a.steps) > maxSteps || len(a.labels) > maxSteps || a.used > slotCount {
		return invalid(step{operation: "assemble program"}, "the plan has too many operations")
	}
	for i := range a.code {
		in := &a.code[i]
		in.then = a.labels[in.then]
		for k := range in.on {
			in.on[k].to = a.labels[in.on[k].to]
		}
	}
	return nil
}

// machine is the program for a child that reports to a pipe.
func (a *assembler) machine(pipe int) *machine {
	return &machine{
		code: &a.code[0], args: unsafe.SliceData(a.args), count: int32(len(a.code)), slots: &a.slots[0], report: &report{}, pipe: uintptr(pipe),
	}
}

// keepAlive holds the program's memory until no child needs it.
func (a *assembler) keepAlive() { runtime.KeepAlive(a) }

// argument is an argument of an instruction; behind the last is the result that it is to have.
func (a *assembler) argument(in *instruction, i int) uintptr { return a.args[int(in.first)+i] }

// failure is the error of an instruction.
func (a *assembler) failure(index int32, errno syscall.Errno) *Error {
	if index < 0 || int(index) >= len(a.code) {
		return &Error{Operation: "run program", Errno: errno}
	}
	in := &a.code[index]
	s := a.steps[in.step]
	e := &Error{Step: s.number, Operation: s.operation, Object: s.object, Errno: errno, Kind: kindOf(errno)}
	if e.Message = labelMessage(s.operation, in.number(), errno); e.Message != "" {
		e.Kind = monitorv1.ErrorKind_ERROR_KIND_INVALID
	}
	switch {
	case in.trap == unix.SYS_MKDIRAT || in.trap == unix.SYS_MKNODAT:
		e.Message = "make the place for it"
	case in.trap == unix.SYS_OPENAT2 && errno == syscall.ELOOP:
		e.Message = "a symbolic link is in the way"
	}
	return e
}
