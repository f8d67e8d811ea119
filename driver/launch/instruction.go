package launch

// An instruction is one system call of a child, prepared by its parent. The child has one thread and no Go
// runtime: it can do no more than go through an array of these (see [run]).
type instruction struct {
	// trap is the number of the system call, or one of the pseudo calls.
	trap uintptr
	// args are the arguments; their kinds say how to read them.
	args  [6]uintptr
	kinds [6]kind
	// count is how many arguments the call has, for those who read it.
	count uint8
	// out is the slot that takes the result; slot 0 is for results that nobody wants.
	out int32
	// want, if exact, is the only result that counts as success.
	want  uintptr
	exact bool
	// then is where to go on after success; 0 is the next instruction.
	then int32
	// on are the errors that are no failure, and where they lead.
	on [3]branch
	// step is what the instruction belongs to, in the program's table.
	step int32
}

// branch tells where an error leads; 0 is the next instruction.
type branch struct {
	errno uintptr
	to    int32
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
	// reportForked: a second process was made; value is its id.
	reportForked
	// reportFailed: an instruction failed.
	reportFailed
	// reportMounted: all is mounted, and waits to be fixed in its place.
	reportMounted
)
