package seccomp_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/davitd/davit/driver/seccomp"
)

var update = flag.Bool("update", false, "write the tables of system calls anew")

// private are calls that Linux on arm has beside its table, and that golang.org/x/sys leaves out; programs there cannot do without.
var private = map[string]map[string]uint32{
	"arm": {"breakpoint": 0xf0001, "cacheflush": 0xf0002, "usr26": 0xf0003, "usr32": 0xf0004, "set_tls": 0xf0005, "get_tls": 0xf0006},
}

// TestTablesAreThoseOfTheKernel compares the tables with golang.org/x/sys, which makes its own from the kernel's headers. After
// an update of that module, -update writes them anew; what is new then has to be put into a group.
func TestTablesAreThoseOfTheKernel(t *testing.T) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys")
	list.Stderr = os.Stderr
	dir, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range seccomp.Architectures() {
		want := numbers(t, filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+arch+".go"))
		maps.Copy(want, private[arch])
		if len(want) < 300 {
			t.Errorf("%s has %d calls in golang.org/x/sys, want 300 and more", arch, len(want))
		}
		text := format(arch, want)
		name := filepath.Join("table", arch+".txt")
		if *update {
			if err := os.WriteFile(name, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, text) {
			t.Errorf("%s is not what golang.org/x/sys says: go test ./driver/seccomp -run Tables -update, then put what is new into a group", name)
		}
		if calls := seccomp.Calls(arch); !*update && !maps.Equal(calls, want) {
			t.Errorf("Calls(%s) has %d calls, the file %d", arch, len(calls), len(want))
		}
	}
}

// numbers reads the constants SYS_NAME of a file.
func numbers(t *testing.T, name string) map[string]uint32 {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	calls := make(map[string]uint32)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 {
			return true
		}
		call, ok := strings.CutPrefix(spec.Names[0].Name, "SYS_")
		literal, isLiteral := spec.Values[0].(*ast.BasicLit)
		if !ok || !isLiteral || call == "SYSCALL_MASK" || call == "ARCH_SPECIFIC_SYSCALL" { // marks, no calls
			return true
		}
		number, err := strconv.ParseUint(literal.Value, 0, 30)
		if err != nil {
			t.Fatalf("%s: %s: %v", name, call, err)
		}
		calls[strings.ToLower(call)] = uint32(number)
		return true
	})
	return calls
}

func format(arch string, calls map[string]uint32) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# System calls of %s, from golang.org/x/sys. Written by: go test ./driver/seccomp -run Tables -update\n", arch)
	for _, name := range slices.SortedFunc(maps.Keys(calls), func(a, b string) int { return cmp.Compare(calls[a], calls[b]) }) {
		fmt.Fprintf(&b, "%s %d\n", name, calls[name])
	}
	return b.Bytes()
}

func TestCompanion(t *testing.T) {
	for arch, want := range map[string]string{"amd64": "386", "arm64": "arm", "386": "", "riscv64": ""} {
		if got := seccomp.Companion(arch); got != want {
			t.Errorf("Companion(%s) = %q, want %q", arch, got, want)
		}
	}
	if seccomp.Calls("riscv64") != nil {
		t.Error("there are calls of an architecture without a table")
	}
}
