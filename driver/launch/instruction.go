package launch

// An instruction is one system call of a child, prepared by its parent. The child has one thread and no Go
// runtime: it can do no more than go through an array of these (see [run]).
//
// A launch has hundreds of them, in memory that is touched for the first time, which is dearer than what they do. So they are small,
// and their arguments are in a row of their own.
type instruction struct {
	// trap is the number of the system call, or one of the pseudo calls, with its sign.
	trap int16
	// count is how many arguments the call has.
	count uint8
	// exact tells that there is only one result that counts as success, which stands behind the arguments.
	exact bool
	// kinds say how to read the arguments: [kindBits] each, the first in the lowest.
	kinds uint16
	// out is the slot that takes the result; slot 0 is for results that nobody wants.
	out uint16
	// first is where the arguments begin, in the row of those of the whole program.
	first uint32
	// step is what the instruction belongs to, in the program's table.
	step uint16
	// then is where to go on after success; 0 is the next instruction.
	then uint16
	// on are the errors that are no failure, and where they lead.
	on [3]branch
}

// branch tells where an error leads; 0 is the next instruction.
type branch struct {
	errno uint16
	to    uint16
}

// number is the system call, or the pseudo call.
//
//go:nosplit
//go:norace
func (in *instruction) number() uintptr { return uintptr(int(in.trap)) }

// kind is how an argument is to be read.
//
//go:nosplit
//go:norace
func (in *instruction) kind(argument int) kind {
	return kind(in.kinds>>(kindBits*argument)) & (1<<kindBits - 1)
}

// kind is how an argument is to be read.
type kind uint8

const (
	// number is a number or set of flags.
	number kind = iota
	// descriptor is a number that stands for an open file.
	descriptor
	// pointer is an address in the program's memory.
	pointer
	// slot is the number of a slot, whose content is the argument.
	slot
)

// kindBits are as many as a kind takes.
const kindBits = 2

// value is an argument.
type value struct {
	n    uintptr
	kind kind
}

// Pseudo calls.
const (
	// trapFail fails with the error number of its first argument.
	trapFail = ^uintptr(0) - iota
	// trapJumpIf goes to then if its first argument is not zero, and on otherwise.
	trapJumpIf
	// trapFirstByte fails with the error number of its third argument unless the row of slots that begins with the number
	// of the first begins with the byte of the second.
	trapFirstByte
	// trapTry takes one from the slot whose number is its first argument, and fails with the error number of the second when
	// it is empty.
	trapTry
)

// report is what a child writes to its parent: one record when it has come so far, one before it gives up. End of file
// without the latter means that the new program runs.
type report struct {
	kind  int32
	index int32
	// value is the error number, or the process id.
	value int64
}

// Kinds of a report.
const (
	// reportAssembled: the mount tree is complete, the child waits for an answer.
	reportAssembled = iota + 1
	// reportForked: a second process was made; value is its id, or 0 if it says so itself.
	reportForked
	// reportFailed: an instruction failed.
	reportFailed
	// reportMounted: all is mounted, and waits to be fixed in its place.
	reportMounted
)
