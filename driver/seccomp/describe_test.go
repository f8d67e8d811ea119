package seccomp_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/driver/seccomp"
)

// TestDescribe holds what is told of the built-in profiles to a file; -update writes it anew.
func TestDescribe(t *testing.T) {
	for _, name := range []string{seccomp.Application, seccomp.System} {
		var b strings.Builder
		for _, s := range seccomp.Describe(builtin(t, name)) {
			fmt.Fprintf(&b, "%s: %s\n", s.Title, s.Why)
			for _, l := range s.Lines {
				fmt.Fprintf(&b, "  %s: %s\n", strings.Join(l.Names, " "), strings.Join(append([]string{l.Answer}, l.Except...), "; "))
			}
		}
		file := "testdata/" + name + ".txt"
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s is told as\n%s", name, b.String())
		}
	}
}

// TestDescribeLeavesNothingOut compares with the program: what is not told of is allowed, whatever the arguments are.
func TestDescribeLeavesNothingOut(t *testing.T) {
	for _, name := range []string{seccomp.Application, seccomp.System} {
		p := builtin(t, name)
		told := make(map[string]string)
		for _, s := range seccomp.Describe(p) {
			for _, l := range s.Lines {
				for _, call := range l.Names {
					told[call] = l.Answer
				}
			}
		}
		for call := range seccomp.Calls("amd64") {
			got := answered(t, p, "amd64", "amd64", call, slices.Repeat([]uint64{0xfedcba9876543210}, 6)...)
			if (got == code(allow)) != (told[call] == "" || told[call] == "allowed") {
				t.Errorf("%s: %s is told to be %q and is answered with %#x", name, call, told[call], got)
			}
		}
	}
}

func TestDescribeOthers(t *testing.T) {
	p := seccomp.Profile{
		Default: allow, Unknown: allow, Foreign: kill,
		Rules: []seccomp.Rule{
			{Names: []string{"bpf"}, Action: seccomp.Trap, When: []seccomp.Condition{{Argument: 1, Operator: seccomp.Less, Value: 16}, seccomp.Low(0, 3)}},
			{Names: []string{"bpf"}, Action: seccomp.KillThread},
			{Names: []string{"keyctl", "add_key"}, Action: seccomp.Log},
			{Names: []string{"getpid"}, Action: seccomp.Errno(4000)},
			{Names: []string{"getppid"}, Action: allow, When: []seccomp.Condition{seccomp.Low(0, 3)}},
		},
	}
	want := []seccomp.Section{
		{Title: "Processes and threads", Lines: []seccomp.Line{{Names: []string{"getpid"}, Answer: "error 4000"}}},
		{Title: "Keys of the kernel", Lines: []seccomp.Line{{Names: []string{"add_key", "keyctl"}, Answer: "allowed and logged"}}},
		{Title: "Programs in the kernel, tracing", Lines: []seccomp.Line{
			{Names: []string{"bpf"}, Answer: "ends the thread", Except: []string{"SIGSYS for argument 1 < 0x10 and argument 0 & 0xffffffff = 0x3"}},
		}},
	}
	got := seccomp.Describe(p)
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i].Title != want[i].Title || fmt.Sprint(got[i].Lines) != fmt.Sprint(want[i].Lines) {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}
