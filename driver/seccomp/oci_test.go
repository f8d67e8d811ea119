package seccomp_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/seccomp"
)

// dockerish is a profile in Docker's shape, with all that it makes depend on the host.
const dockerish = `{
  "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
  "archMap": [
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}
  ],
  "syscalls": [
    {"names": ["read", "write", "exit_group", "swapcontext", "riscv_hwprobe"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
    {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
    {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
    {"names": ["modify_ldt"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32", "x86"]}},
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}], "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]}},
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
    {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 4294967295, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
    {"name": "futex", "action": "SCMP_ACT_LOG", "args": null},
    {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "errno": "EACCES", "excludes": {"minKernel": "7.1"}}
  ]
}`

// answered is what a profile's program answers a call of a name with.
func answered(t *testing.T, p seccomp.Profile, native, arch, name string, arguments ...uint64) uint32 {
	t.Helper()
	program, err := p.Compile(native)
	if err != nil {
		t.Fatal(err)
	}
	number, ok := seccomp.Calls(arch)[name]
	if !ok {
		t.Fatalf("%s has no call %q", arch, name)
	}
	c := call{number: number, arch: audit[arch]}
	copy(c.arguments[:], arguments)
	answer, _ := interpret(t, program.Bytes(), c)
	return answer
}

func TestReadProfileOfDocker(t *testing.T) {
	for _, c := range []struct {
		name   string
		host   seccomp.Facts
		want   map[string]seccomp.Action // by name, with zeros as arguments
		others map[string]seccomp.Action // of the 32-bit architecture
		warned string
	}{
		{
			"plain",
			seccomp.Facts{Arch: "amd64", Kernel: seccomp.Kernel{Major: 6, Minor: 18}},
			map[string]seccomp.Action{
				"read": allow, "ptrace": allow, "mount": eperm, "modify_ldt": allow, "clone": allow, "clone3": nosys, "personality": eperm,
				"futex": seccomp.Log, "bpf": seccomp.Errno(13), "keyctl": eperm,
			},
			map[string]seccomp.Action{"read": allow, "mount": eperm, "socketcall": eperm},
			`left out SCMP_ARCH_X32: davit serves no calls of x32|left out 2 names that no system call has here: "swapcontext", "riscv_hwprobe"`,
		},
		{
			"with rights, on an old kernel of arm",
			seccomp.Facts{Arch: "arm64", Kernel: seccomp.Kernel{Major: 4, Minor: 7}, Capabilities: []string{"CAP_SYS_ADMIN"}},
			map[string]seccomp.Action{"read": allow, "ptrace": eperm, "mount": allow, "clone": eperm, "clone3": eperm, "bpf": seccomp.Errno(13)},
			map[string]seccomp.Action{"read": allow, "mount": allow},
			`left out 2 names that no system call has here: "swapcontext", "riscv_hwprobe"`,
		},
		{
			"on a kernel to come",
			seccomp.Facts{Arch: "arm64", Kernel: seccomp.Kernel{Major: 7, Minor: 1}},
			map[string]seccomp.Action{"ptrace": allow, "bpf": eperm},
			nil,
			`left out 2 names that no system call has here: "swapcontext", "riscv_hwprobe"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, warnings, err := seccomp.ReadProfile(strings.NewReader(dockerish), c.host)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(warnings, "|"); got != c.warned {
				t.Errorf("warnings %s\nwant %s", got, c.warned)
			}
			for name, want := range c.want {
				if got := answered(t, p, c.host.Arch, c.host.Arch, name); got != code(want) {
					t.Errorf("%s is answered with %#x, want %#x", name, got, code(want))
				}
			}
			for name, want := range c.others {
				if got := answered(t, p, c.host.Arch, seccomp.Companion(c.host.Arch), name); got != code(want) {
					t.Errorf("32-bit %s is answered with %#x, want %#x", name, got, code(want))
				}
			}
			compare(t, p, c.host.Arch, names(), rand.New(rand.NewPCG(5, 6)))
		})
	}
}

func TestReadProfileOfOCI(t *testing.T) {
	const text = `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"], "syscalls": [
	  {"names": ["mount"], "action": "SCMP_ACT_KILL"}, {"names": ["umount2"], "action": "SCMP_ACT_KILL_PROCESS"}, {"names": ["swapon"], "action": "SCMP_ACT_TRAP"},
	  {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": [{"index": 1, "value": 4294967295, "valueTwo": 21522, "op": "SCMP_CMP_MASKED_EQ"}]},
	  {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": [{"index": 2, "value": 18446744073709551615, "op": "SCMP_CMP_GE"}]},
	  {"names": ["write"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 3, "op": "SCMP_CMP_GT"}]}, {"names": ["write"], "action": "SCMP_ACT_ALLOW"}]}`
	p, warnings, err := seccomp.ReadProfile(strings.NewReader(text), seccomp.Facts{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"left out flag SECCOMP_FILTER_FLAG_LOG", "of the rules for write the first that matches answers; other runtimes prefer those without conditions"}
	if !slices.Equal(warnings, want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
	for _, c := range []struct {
		name      string
		arguments []uint64
		want      seccomp.Action
	}{
		{"mount", nil, seccomp.KillThread},
		{"umount2", nil, kill},
		{"swapon", nil, seccomp.Trap},
		{"ioctl", []uint64{0, 0x5412}, seccomp.Errno(5)},
		{"ioctl", []uint64{0, 7<<32 | 0x5412}, seccomp.Errno(5)},
		{"ioctl", []uint64{0, 0x5413}, allow},
		{"read", []uint64{0, 0, 1<<64 - 1}, seccomp.Errno(0)},
		{"read", []uint64{0, 0, 1<<64 - 2}, allow},
		{"write", []uint64{4}, eperm},
		{"write", []uint64{3}, allow},
		{"getpid", nil, allow},
	} {
		if got := answered(t, p, "amd64", "amd64", c.name, c.arguments...); got != code(c.want) {
			t.Errorf("%s %#x is answered with %#x, want %#x", c.name, c.arguments, got, code(c.want))
		}
	}
	if p.Companion {
		t.Error("32-bit programs may run, and the profile does not say so")
	}
}

// TestReadProfileRefuses gives each kind of fault, with the place.
func TestReadProfileRefuses(t *testing.T) {
	rule := func(text string) string { return `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[` + text + `]}` }
	args := func(text string) string {
		return rule(`{"names":["read"],"action":"SCMP_ACT_TRAP","args":[` + text + `]}`)
	}
	for text, want := range map[string]string{
		``:                                   "1:1: the document ends here",
		`{`:                                  "the document ends here",
		`null`:                               "defaultAction is missing",
		`{}`:                                 "1:2: defaultAction is missing: it says how calls are answered that no rule is about",
		`[]`:                                 "want an object, have a list",
		`true`:                               "want an object, have a truth value",
		"{\n \"x":                            "2:",
		`{"a":1}`:                            `unknown key "a"; the keys here are archMap, architectures, defaultAction, defaultErrno, defaultErrnoRet, flags, listenerMetadata, listenerPath, syscalls`,
		`{"defaultaction":"SCMP_ACT_ERRNO"}`: `unknown key "defaultaction"`,
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultAction":"SCMP_ACT_ALLOW"}`:                                                  `key "defaultAction" is there twice`,
		`{"defaultAction":"SCMP_ACT_ERRNO"} {}`:                                                                                "there is more after the end",
		`{"defaultAction":"ALLOW"}`:                                                                                            `unknown action "ALLOW"`,
		`{"defaultAction":"SCMP_ACT_ALLOW"}`:                                                                                   `it refuses no call; a domain without a filter is of profile "privileged"`,
		`{"defaultAction":"SCMP_ACT_LOG","syscalls":[]}`:                                                                       `it refuses no call`,
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}`:                                                            "defaultErrnoRet: number 4096 is not from 0 to 4095",
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":-1}`:                                                              "number -1 is not from 0 to 4095",
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1.5}`:                                                             "number 1.5 is not",
		`{"defaultAction":"SCMP_ACT_KILL","defaultErrnoRet":1}`:                                                                "action SCMP_ACT_KILL has no error number",
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"EFOO"}`:                                                             `unknown error "EFOO"`,
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","defaultErrnoRet":1}`:                                       "error ENOSYS is number 38, and the number beside it 1",
		`{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/run/x"}`:                                                           "no process is asked about system calls",
		`{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}`:                                      `flags[0]: unknown flag "SECCOMP_FILTER_FLAG_NEW_LISTENER"`,
		`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["amd64"]}`:                                                         `architectures[0]: unknown architecture "amd64"`,
		`{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64"}],"architectures":["SCMP_ARCH_X86"]}`: "there are both architectures and archMap",
		rule(`{"names":["read"],"action":"SCMP_ACT_NOTIFY"}`):                                                                  "syscalls[0]: action SCMP_ACT_NOTIFY is not possible: no process is asked about system calls",
		rule(`{"names":["read"],"action":"SCMP_ACT_TRAP"},{"names":["read"],"action":"SCMP_ACT_TRACE"}`):                       "syscalls[1]: action SCMP_ACT_TRACE is not possible: a domain has no tracer",
		rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","errnoRet":1}`):                                                      "action SCMP_ACT_ALLOW has no error number",
		rule(`{"names":["read"]}`):                                                                                             "syscalls[0]: action is missing",
		rule(`{"names":[],"action":"SCMP_ACT_TRAP"}`):                                                                          "syscalls[0]: the rule names no call",
		rule(`{"names":["read"],"name":"write","action":"SCMP_ACT_TRAP"}`):                                                     "there are both name and names",
		rule(`{"names":"read","action":"SCMP_ACT_TRAP"}`):                                                                      "syscalls[0].names: want a list, have a string",
		rule(`{"names":[7],"action":"SCMP_ACT_TRAP"}`):                                                                         "syscalls[0].names[0]: want a string, have a number",
		rule(`{"names":["raed"],"action":"SCMP_ACT_TRAP"}`):                                                                    "it refuses no call",
		rule(`{"names":["read"],"action":"SCMP_ACT_TRAP","includes":{"minkernel":"4.8"}}`):                                     `syscalls[0].includes: unknown key "minkernel"; the keys here are arches, caps, minKernel`,
		rule(`{"names":["read"],"action":"SCMP_ACT_TRAP","excludes":{"minKernel":"new"}}`):                                     `syscalls[0].excludes: read kernel version "new": want two numbers with a dot`,
		rule(`{"names":["read"],"action":"SCMP_ACT_TRAP","excludes":{"caps":["SYS_ADMIN"]}}`):                                  `unknown capability "SYS_ADMIN"; they are written CAP_SYS_ADMIN`,
		args(`{"index":6,"value":1,"op":"SCMP_CMP_EQ"}`):                                                                       "syscalls[0].args[0].index: number 6 is not from 0 to 5",
		args(`{"index":0,"op":"SCMP_CMP_EQ"}`):                                                                                 "index or value is missing",
		args(`{"index":0,"value":18446744073709551616,"op":"SCMP_CMP_EQ"}`):                                                    "value: number 18446744073709551616 is not from 0 to 18446744073709551615",
		args(`{"index":0,"value":1,"op":"=="}`):                                                                                `syscalls[0].args[0]: unknown operator "=="`,
		args(`{"index":0,"value":1}`):                                                                                          `unknown operator ""`,
		args(`{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_EQ"}`):                                                          "only SCMP_CMP_MASKED_EQ has a valueTwo, and it is 2",
		args(`{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}`):                                                   "value 0x2 has bits outside mask 0x1 and never matches",
		args(`{"index":0,"value":1,"op":"SCMP_CMP_GE"},{"index":0,"value":9,"op":"SCMP_CMP_LE"}`):                              "syscalls[0].args[1]: there are two conditions on argument 0",
		strings.Repeat(" ", seccomp.MostDocument+1):                                                                            "the document has more than 1048576 bytes",
		strings.Repeat("[", 100_000):                                                                                           "want an object, have a list",
		`{"syscalls":` + strings.Repeat("[", 100_000):                                                                          "syscalls[0]: want an object, have a list",
	} {
		p, _, err := seccomp.ReadProfile(strings.NewReader(text), seccomp.Facts{Arch: "amd64"})
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%.200s: %v, want %s", text, err, want)
		}
		if !reflect.DeepEqual(p, seccomp.Profile{}) {
			t.Errorf("%.200s: there is a profile all the same", text)
		}
	}
}

func TestReadProfileTellsThePlace(t *testing.T) {
	_, _, err := seccomp.ReadProfile(strings.NewReader("{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"syscalls\": [{\"name\": \"read\", \"akt\": 1}]\n}"), seccomp.Facts{})
	want := `read seccomp profile: 3:37: syscalls[0]: unknown key "akt"; the keys here are action, args, comment, errno, errnoRet, excludes, includes, name, names`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

func TestReadProfileTellsOfItsSource(t *testing.T) {
	cause := errors.New("disk on fire")
	if _, _, err := seccomp.ReadProfile(broken{cause}, seccomp.Facts{}); !errors.Is(err, cause) {
		t.Errorf("%v, want %v", err, cause)
	}
}

func TestParseKernel(t *testing.T) {
	for release, want := range map[string]seccomp.Kernel{
		"6.18.44-fc": {Major: 6, Minor: 18}, "4.8": {Major: 4, Minor: 8}, "5.10+deb": {Major: 5, Minor: 10},
		"": {}, "6": {}, "x.1": {}, "6.": {}, "-1.2": {}, "99999.1": {},
	} {
		got, err := seccomp.ParseKernel(release)
		if got != want || (err == nil) != (want.Major > 0) {
			t.Errorf("ParseKernel(%q) = %v, %v, want %v", release, got, err, want)
		}
	}
}

// FuzzReadProfile reads anything: what is taken can be compiled, refuses something and is the same when read again.
func FuzzReadProfile(f *testing.F) {
	f.Add([]byte(dockerish), false)
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"read","action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_NE"}]}]}`), true)
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_KILL_PROCESS","defaultErrno":null}`), true)
	f.Fuzz(func(t *testing.T, data []byte, arm bool) {
		host := seccomp.Facts{Arch: "amd64", Kernel: seccomp.Kernel{Major: 6}}
		if arm {
			host.Arch = "arm64"
		}
		p, warnings, err := seccomp.ReadProfile(strings.NewReader(string(data)), host)
		if err != nil {
			if !errors.Is(err, domain.ErrInvalid) || !strings.HasPrefix(err.Error(), "read seccomp profile: ") {
				t.Fatal(err)
			}
			return
		}
		again, warned, err := seccomp.ReadProfile(strings.NewReader(string(data)), host)
		if err != nil || !reflect.DeepEqual(again, p) || !slices.Equal(warned, warnings) {
			t.Fatalf("read again, it is %+v, %v, %v", again, warned, err)
		}
		program, err := p.Compile(host.Arch)
		if err != nil {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if got, _ := interpret(t, program.Bytes(), call{arch: 0xc00000f3}); got != code(kill) {
			t.Fatalf("a foreign call is answered with %#x", got)
		}
		c := call{arch: audit[host.Arch]}
		table := names()
		for _, number := range slices.Sorted(maps.Values(seccomp.Calls(host.Arch))) {
			c.number = number
			if got, _ := interpret(t, program.Bytes(), c); got != expect(p, host.Arch, table, c) {
				t.Fatalf("call %d is answered with %#x", number, got)
			}
		}
	})
}
