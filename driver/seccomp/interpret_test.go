package seccomp_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/davitd/davit/driver/seccomp"
)

// audit is what the kernel calls architectures.
var audit = map[string]uint32{"amd64": 0xc000003e, "386": 0x40000003, "arm64": 0xc00000b7, "arm": 0x40000028}

// call is the kernel's struct seccomp_data.
type call struct {
	number, arch uint32
	arguments    [6]uint64
}

func (c call) word(tb testing.TB, offset uint32) uint32 {
	tb.Helper()
	switch {
	case offset == 0:
		return c.number
	case offset == 4:
		return c.arch
	case offset >= 16 && offset < 64 && offset%4 == 0:
		return uint32(c.arguments[(offset-16)/8] >> (8 * (offset % 8)))
	}
	tb.Fatalf("load at offset %d, which is no half of a field that filters look at", offset)
	return 0
}

// interpret runs a program as the kernel does: what it answers, in how many steps. It refuses what the kernel's checker refuses.
func interpret(tb testing.TB, program []byte, c call) (answer uint32, steps int) {
	tb.Helper()
	var a uint32
	for at := uint32(0); ; steps++ {
		if int(at)*8+8 > len(program) {
			tb.Fatalf("jump to instruction %d, behind the last of %d", at, len(program)/8)
		}
		i := program[at*8:]
		jt, jf, k := uint32(i[2]), uint32(i[3]), binary.NativeEndian.Uint32(i[4:])
		at++
		var holds bool
		switch code := binary.NativeEndian.Uint16(i); code {
		case 0x20: // BPF_LD | BPF_W | BPF_ABS
			a = c.word(tb, k)
			continue
		case 0x54: // BPF_ALU | BPF_AND | BPF_K
			a &= k
			continue
		case 0x05: // BPF_JMP | BPF_JA
			at += k
			continue
		case 0x06: // BPF_RET | BPF_K
			return k, steps + 1
		case 0x15: // BPF_JMP | BPF_JEQ | BPF_K
			holds = a == k
		case 0x25: // BPF_JMP | BPF_JGT | BPF_K
			holds = a > k
		case 0x35: // BPF_JMP | BPF_JGE | BPF_K
			holds = a >= k
		default:
			tb.Fatalf("instruction %d has code %#x, which filters are not made of", at-1, code)
		}
		if holds {
			at += jt
		} else {
			at += jf
		}
	}
}

// expect is what a profile says of a call, read from the profile itself and not by way of the compiler.
func expect(p seccomp.Profile, native string, names map[string]map[uint32]string, c call) uint32 {
	arch := native
	if c.arch == audit[seccomp.Companion(native)] && p.Companion && c.arch != 0 {
		arch = seccomp.Companion(native)
	} else if c.arch != audit[native] {
		return code(p.Foreign)
	}
	if arch == "amd64" && c.number >= 1<<30 && (p.Unknown.Kind == seccomp.KindAllow || p.Unknown.Kind == seccomp.KindLog) {
		return code(seccomp.Errno(38))
	}
	name, ok := names[arch][c.number]
	if !ok {
		return code(p.Unknown)
	}
	for _, r := range p.Rules {
		if slices.Contains(r.Names, name) && holds(r.When, c.arguments) {
			return code(r.Action)
		}
	}
	return code(p.Default)
}

func holds(when []seccomp.Condition, arguments [6]uint64) bool {
	return !slices.ContainsFunc(when, func(c seccomp.Condition) bool {
		value := arguments[c.Argument]
		switch c.Operator {
		case seccomp.Equal:
			return value != c.Value
		case seccomp.NotEqual:
			return value == c.Value
		case seccomp.Greater:
			return value <= c.Value
		case seccomp.GreaterOrEqual:
			return value < c.Value
		case seccomp.Less:
			return value >= c.Value
		case seccomp.LessOrEqual:
			return value > c.Value
		default:
			return value&c.Mask != c.Value
		}
	})
}

// code is an action in the kernel's numbers.
func code(a seccomp.Action) uint32 {
	return map[seccomp.Kind]uint32{
		seccomp.KindAllow: 0x7fff0000, seccomp.KindLog: 0x7ffc0000, seccomp.KindErrno: 0x00050000, seccomp.KindTrap: 0x00030000,
		seccomp.KindKillThread: 0, seccomp.KindKillProcess: 0x80000000,
	}[a.Kind] | uint32(a.Data)
}

// names are those of each architecture's numbers.
func names() map[string]map[uint32]string {
	all := make(map[string]map[uint32]string)
	for _, arch := range seccomp.Architectures() {
		all[arch] = make(map[uint32]string)
		for name, number := range seccomp.Calls(arch) {
			all[arch][number] = name
		}
	}
	return all
}
