package seccomp

import (
	"encoding/binary"
	"slices"
)

// MostInstructions is the kernel's BPF_MAXINSNS.
const MostInstructions = 4096

// instruction is the kernel's struct sock_filter.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// Program is a compiled filter: instructions of classic BPF for seccomp(2). It is a value that nobody can change.
type Program struct{ bytes string }

// Bytes are the instructions as the kernel's struct sock_filter, 8 bytes each, in native byte order.
func (p Program) Bytes() []byte { return []byte(p.bytes) }

// Len is the number of instructions.
func (p Program) Len() int { return len(p.bytes) / 8 }

// The operations that filters are made of.
const (
	opLoad           = 0x20 // A = seccomp_data[k:k+4]
	opAnd            = 0x54 // A &= k
	opJump           = 0x05 // skip k
	opEqual          = 0x15 // skip jt if A == k, else jf
	opGreater        = 0x25
	opGreaterOrEqual = 0x35
	opReturn         = 0x06
)

// label is a place in a program that is written from its end: the number of instructions behind it, and its own.
type label int

// assembler writes a program from its end to its begin, so that every jump, which in classic BPF leads forward only, knows its
// target. A conditional jump reaches 255 instructions; what is further off is reached by way of one that reaches everywhere.
type assembler struct {
	reversed []instruction
	returns  map[uint32]label // the last of each
}

func (a *assembler) emit(i instruction) label {
	a.reversed = append(a.reversed, i)
	return label(len(a.reversed))
}

// near tells whether the next instruction but two can jump there conditionally.
func (a *assembler) near(to label) bool { return len(a.reversed)+2-int(to) <= 255 }

// ret ends the program with a code. Ends are shared as far as jumps reach.
func (a *assembler) ret(code uint32) label {
	if l, ok := a.returns[code]; ok && a.near(l) {
		return l
	}
	l := a.emit(instruction{code: opReturn, k: code})
	a.returns[code] = l
	return l
}

// reach gives a place near by that is as good as to.
func (a *assembler) reach(to label) label {
	if a.near(to) {
		return to
	}
	if target := a.reversed[to-1]; target.code == opReturn {
		return a.ret(target.k)
	}
	return a.emit(instruction{code: opJump, k: uint32(len(a.reversed) - int(to))})
}

// branch goes on at yes if the operation holds, else at no.
func (a *assembler) branch(op uint16, k uint32, yes, no label) label {
	if yes == no {
		return yes
	}
	yes = a.reach(yes)
	no = a.reach(no)
	at := len(a.reversed)
	return a.emit(instruction{code: op, jt: uint8(at - int(yes)), jf: uint8(at - int(no)), k: k})
}

// then puts an instruction before the one at next.
func (a *assembler) then(i instruction, next label) label {
	if int(next) != len(a.reversed) {
		a.emit(instruction{code: opJump, k: uint32(len(a.reversed) - int(next))})
	}
	return a.emit(i)
}

// program is what was written, from the begin.
func (a *assembler) program() Program {
	b := make([]byte, 0, 8*len(a.reversed))
	for _, i := range slices.Backward(a.reversed) {
		b = binary.NativeEndian.AppendUint16(b, i.code)
		b = append(b, i.jt, i.jf)
		b = binary.NativeEndian.AppendUint32(b, i.k)
	}
	return Program{bytes: string(b)}
}
