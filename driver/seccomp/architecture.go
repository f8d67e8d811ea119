package seccomp

import (
	"embed"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Native is the architecture that this program was built for, by Go's name.
const Native = runtime.GOARCH

// x32 is the bit of a number by which an x86-64 process asks for the x32 ABI. davit serves none: such a number is unknown.
const x32 = 0x40000000

// architecture is one kind of system calls that a kernel may serve.
type architecture struct {
	name string // Go's
	oci  string // OCI's
	// audit is what the kernel calls it in struct seccomp_data.
	audit uint32
	// companion is the 32-bit architecture that the same kernel may serve as well. Empty: none.
	companion string
	// x32 tells that numbers may have the bit of that name.
	x32 bool

	load func() *table
}

// table is the calls of an architecture, both ways.
type table struct {
	numbers map[string]uint32
	names   map[uint32]string
	sorted  []uint32
}

//go:embed table/*.txt
var tables embed.FS

var architectures = []*architecture{
	{name: "amd64", oci: "SCMP_ARCH_X86_64", audit: 0xc000003e, companion: "386", x32: true, load: lazy("amd64")},
	{name: "386", oci: "SCMP_ARCH_X86", audit: 0x40000003, load: lazy("386")},
	{name: "arm64", oci: "SCMP_ARCH_AARCH64", audit: 0xc00000b7, companion: "arm", load: lazy("arm64")},
	{name: "arm", oci: "SCMP_ARCH_ARM", audit: 0x40000028, load: lazy("arm")},
}

// Architectures are those with a table of calls, by Go's names.
func Architectures() []string {
	names := make([]string, 0, len(architectures))
	for _, a := range architectures {
		names = append(names, a.name)
	}
	return names
}

// Companion is the 32-bit architecture whose programs a kernel of arch may run as well, empty if there is none.
func Companion(arch string) string {
	if a := architectureOf(arch); a != nil {
		return a.companion
	}
	return ""
}

// Calls are the names and numbers of all system calls of arch that davit knows; nothing for an architecture without a table.
func Calls(arch string) map[string]uint32 {
	a := architectureOf(arch)
	if a == nil {
		return nil
	}
	return maps.Clone(a.load().numbers)
}

func architectureOf(name string) *architecture {
	if i := slices.IndexFunc(architectures, func(a *architecture) bool { return a.name == name }); i >= 0 {
		return architectures[i]
	}
	return nil
}

// known tells whether any architecture has a call of that name.
func known(name string) bool {
	return slices.ContainsFunc(architectures, func(a *architecture) bool {
		_, ok := a.load().numbers[name]
		return ok
	})
}

// lazy reads a table when it is first needed.
func lazy(name string) func() *table {
	return sync.OnceValue(func() *table {
		text, err := tables.ReadFile("table/" + name + ".txt")
		if err == nil {
			var t *table
			if t, err = parseTable(string(text)); err == nil {
				return t
			}
		}
		panic(fmt.Sprintf("seccomp: table of %s: %v", name, err)) // part of the program, held by a test
	})
}

// parseTable reads lines of a name and a number; those that begin with # are comments.
func parseTable(text string) (*table, error) {
	t := &table{numbers: make(map[string]uint32), names: make(map[uint32]string)}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, digits, _ := strings.Cut(line, " ")
		number, err := strconv.ParseUint(digits, 10, 30)
		if err != nil {
			return nil, fmt.Errorf("read line %q: %w", line, err)
		}
		if other, twice := t.names[uint32(number)]; twice {
			return nil, fmt.Errorf("read line %q: %q has that number", line, other)
		}
		if _, twice := t.numbers[name]; twice {
			return nil, fmt.Errorf("read line %q: the name is there twice", line)
		}
		t.numbers[name], t.names[uint32(number)] = uint32(number), name
		t.sorted = append(t.sorted, uint32(number))
	}
	slices.Sort(t.sorted)
	return t, nil
}
