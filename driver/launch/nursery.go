package launch

import (
	"bytes"
	"fmt"
	"math/bits"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A nursery is all the memory that a child gets a copy of, beside the program's text: what it runs and what it runs on. To copy all of
// ours takes longer than anything that the child does, and each page that we write to afterwards is copied once more. And where others
// may come to look into the child, there is nothing of ours.
//
// Its pages are there when they are touched; what is not needed of it costs nothing.
type nursery struct {
	memory []byte
	// used is how much was taken, behind the stack, which is at the beginning.
	used int
	// full tells that more was asked for than there is.
	full bool
}

// nurserySize is enough for everything but the strings of a process.
const nurserySize = 1 << 20

// newNursery makes one with room for strings.
func newNursery(strings int) (*nursery, error) {
	memory, err := unix.Mmap(-1, 0, nurserySize+strings, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map memory of a child: %w", err)
	}
	return &nursery{memory: memory, used: stackSize}, nil
}

// close gives the memory back. Nothing that is in it may be used any more.
func (n *nursery) close() { _ = unix.Munmap(n.memory) }

// take gives memory, aligned to 8; nil if there is no more.
func (n *nursery) take(size int) []byte {
	size = (size + 7) &^ 7
	if size > len(n.memory)-n.used {
		n.full = true
		return nil
	}
	n.used += size
	return n.memory[n.used-size : n.used : n.used]
}

// row takes a row of things of one kind, which hold no pointers of Go's. It is empty if there is no room.
func row[T any](n *nursery, count int) []T {
	var one T
	b := n.take(count * int(unsafe.Sizeof(one)))
	if b == nil {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), count)
}

// assembler makes one whose program lies in the nursery.
func (n *nursery) assembler() *assembler {
	return &assembler{
		nursery: n,
		code:    row[instruction](n, usualInstructions)[:0], args: row[uintptr](n, usualArguments)[:0], slots: row[uintptr](n, slotCount),
		steps: make([]step, 0, usualSteps), used: 1, labels: make([]uint16, 1, usualLabels), hows: make(map[[2]uint64]value, 2),
	}
}

// machine puts what is not there yet of a program into the nursery: rows that have become too long for their places were moved.
func (n *nursery) machine(a *assembler, pipe int) (*machine, error) {
	code, args := a.code, a.args
	if !n.holds(unsafe.Pointer(unsafe.SliceData(code))) {
		code = row[instruction](n, len(code))
		copy(code, a.code)
	}
	if !n.holds(unsafe.Pointer(unsafe.SliceData(args))) {
		args = row[uintptr](n, len(args))
		copy(args, a.args)
	}
	m, r := row[machine](n, 1), row[report](n, 1)
	if n.full {
		return nil, invalid(step{operation: "assemble program"}, "it is too large")
	}
	m[0] = machine{code: &code[0], args: &args[0], count: int32(len(code)), slots: &a.slots[0], report: &r[0], pipe: uintptr(pipe)}
	return &m[0], nil
}

func (n *nursery) holds(p unsafe.Pointer) bool {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(n.memory)))
	return uintptr(p) >= first && uintptr(p) < first+uintptr(len(n.memory))
}

// copying is held while a child is made that gets a copy of a part of our memory, or of all of it: what one of them leaves out, another may
// need.
var copying sync.Mutex

// spawnApart clones a child that has a copy of the nursery alone, and runs the program of an assembler of it.
func (n *nursery) spawnApart(a *assembler, lines *lines, args *cloneArgs) (*child, error) {
	m, err := n.machine(a, int(lines.reportIn.Fd()))
	if err != nil {
		return nil, err
	}
	args.stack, args.stackSize = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(n.memory)))), stackSize
	c := &child{machine: m}
	copying.Lock()
	defer copying.Unlock()
	// What is not left out is copied: no harm is done where the list cannot be read.
	if !kernelWrites() {
		ours := n.without(ownMemory())
		advise(ours, unix.MADV_DONTFORK)
		defer advise(ours, unix.MADV_DOFORK)
	}
	return c, c.clone(a, lines, args, forkShared)
}

// kernelWrites tells whether the kernel writes to memory of the calling thread, and to the same of a child, where it must be: a C library
// has asked it to (rseq(2)). The Go runtime does not.
func kernelWrites() bool {
	// An address that cannot be one is refused as that by a kernel that would take another, and as another one by one that has taken one.
	const alignment, size = 32, 32
	_, _, errno := unix.RawSyscall6(unix.SYS_RSEQ, ^uintptr(alignment-1), size, 0, 0, 0, 0)
	return errno != unix.EFAULT && errno != unix.ENOSYS
}

// span is a part of our memory.
type span struct{ first, end uintptr }

// advise tells the kernel what to do with parts of our memory when a child is made. Those that are gone meanwhile are none of its business.
func advise(spans []span, advice uintptr) {
	for _, s := range spans {
		_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, s.first, s.end-s.first, advice)
	}
}

// without leaves the nursery out, which may be one with what is beside it.
func (n *nursery) without(spans []span) []span {
	own := span{first: uintptr(unsafe.Pointer(unsafe.SliceData(n.memory)))}
	own.end = own.first + uintptr(len(n.memory)) + uintptr(unix.Getpagesize()-1)
	own.end &^= uintptr(unix.Getpagesize() - 1)
	rest := make([]span, 0, len(spans)+1)
	for _, s := range spans {
		if own.end <= s.first || own.first >= s.end {
			rest = append(rest, s)
			continue
		}
		if s.first < own.first {
			rest = append(rest, span{s.first, own.first})
		}
		if own.end < s.end {
			rest = append(rest, span{own.end, s.end})
		}
	}
	return rest
}

// ownMemory lists what we have written to, or may: private memory that can be written.
func ownMemory() []span {
	text, err := readMaps()
	if err != nil {
		return nil
	}
	var spans []span
	for line := range bytes.Lines(text) {
		// FIRST-END MODE ...
		at := bytes.IndexByte(line, ' ')
		if at < 0 || len(line) < at+5 || string(line[at+1:at+3]) != "rw" || line[at+4] != 'p' {
			continue
		}
		dash := bytes.IndexByte(line, '-')
		first, err1 := strconv.ParseUint(string(line[:dash]), 16, bits.UintSize)
		end, err2 := strconv.ParseUint(string(line[dash+1:at]), 16, bits.UintSize)
		if err1 == nil && err2 == nil {
			spans = append(spans, span{uintptr(first), uintptr(end)})
		}
	}
	return spans
}

// readMaps reads the list of our memory, which is given a page or less at a time.
func readMaps() ([]byte, error) {
	fd, err := unix.Open("/proc/self/maps", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	text := make([]byte, 0, 8<<10)
	for {
		if cap(text)-len(text) < 4<<10 {
			text = append(make([]byte, 0, 2*cap(text)), text...)
		}
		n, err := unix.Read(fd, text[len(text):cap(text)])
		if err != nil && err != unix.EINTR {
			return nil, err
		}
		if err == nil && n == 0 {
			return text, nil
		}
		text = text[:len(text)+max(n, 0)]
	}
}
