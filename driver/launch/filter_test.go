package launch_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// statement is a struct sock_filter.
func statement(code uint16, jt, jf uint8, k uint32) []byte {
	b := binary.NativeEndian.AppendUint16(nil, code)
	return binary.NativeEndian.AppendUint32(append(b, jt, jf), k)
}

// denying is a filter that answers some system calls with EXDEV, which none of them gives otherwise.
func denying(calls ...uint32) []byte {
	filter := statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0)
	for i, call := range calls {
		filter = append(filter, statement(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, uint8(len(calls)-i), 0, call)...)
	}
	filter = append(filter, statement(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW)...)
	return append(filter, statement(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ERRNO|uint32(unix.EXDEV))...)
}

// ours are system calls that a launch or a join makes, but for execve: no filter need allow them.
var ours = []uint32{
	unix.SYS_CAPSET, unix.SYS_CLOSE_RANGE, unix.SYS_DUP3, unix.SYS_IOCTL, unix.SYS_KEYCTL, unix.SYS_MKDIRAT, unix.SYS_MOUNT_SETATTR,
	unix.SYS_OPENAT2, unix.SYS_PRCTL, unix.SYS_SECCOMP, unix.SYS_SETGROUPS, unix.SYS_SETNS, unix.SYS_SETRESGID, unix.SYS_SETRESUID,
	unix.SYS_SETSID, unix.SYS_UNSHARE,
}

const defaultCapabilities = 1<<unix.CAP_KILL | 1<<unix.CAP_CHOWN | 1<<unix.CAP_SETUID

// A filter is loaded whoever the process becomes and whatever it may, and leaves it nothing that loading takes.
func TestFilter(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		for _, user := range []string{"", "+1000"} {
			for _, noNewPrivs := range []bool{false, true} {
				for _, capabilities := range []uint64{defaultCapabilities, defaultCapabilities | 1<<unix.CAP_SYS_ADMIN, 0} {
					p := plan("status", "Seccomp", "Seccomp_filters", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "--", "mkdir", "/tmp/x")
					filtered(p.GetInit(), user, noNewPrivs, capabilities)
					name := fmt.Sprintf("user %q, nnp %v, capabilities %#x", user, noNewPrivs, capabilities)
					out, _ := run(t, p)
					t.Logf("%s: init", name)
					compareFiltered(t, out, p.GetInit())

					guest, command := start(t, plan("pause")), command(p.GetInit().GetArgv()[1:]...)
					filtered(command, user, noNewPrivs, capabilities)
					out, _ = join(t, guest, command)
					t.Logf("%s: command", name)
					compareFiltered(t, out, command)
					end(guest)
				}
			}
		}
	})
}

func filtered(p *monitorv1.Process, user string, noNewPrivs bool, capabilities uint64) {
	p.Seccomp, p.SeccompName = denying(ours...), "test"
	p.User, p.NoNewPrivs, p.Capabilities = user, noNewPrivs, capabilities
}

func compareFiltered(t *testing.T, out output, p *monitorv1.Process) {
	t.Helper()
	held, nnp := p.GetCapabilities(), 0
	if p.GetUser() != "" {
		held = 0
	}
	if p.GetNoNewPrivs() {
		nnp = 1
	}
	out.compare(t, "status", "CapInh 0000000000000000", fmt.Sprintf("CapPrm %016x", held), fmt.Sprintf("CapEff %016x", held),
		fmt.Sprintf("CapBnd %016x", p.GetCapabilities()), "CapAmb 0000000000000000", fmt.Sprintf("NoNewPrivs %d", nnp), "Seccomp 2", "Seccomp_filters 1")
	out.compare(t, "error:", "mkdir /tmp/x: invalid cross-device link")
}

func TestFilterThatCannotBeLoaded(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	plan := newPlan(newRoot(t), "exit", "0")
	endless := statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0)
	for _, c := range []struct {
		filter []byte
		want   string
	}{
		{endless, `load system call filter "test": invalid argument`},
		{endless[:7], `check process: system call filter "test" has 7 bytes, not 1 to 4096 instructions of 8`},
		{make([]byte, 8*4097), `check process: system call filter "test" has 32776 bytes, not 1 to 4096 instructions of 8`},
		{nil, `check process: system call filter "test" has 0 bytes, not 1 to 4096 instructions of 8`},
	} {
		plan.Init.Seccomp, plan.Init.SeccompName = c.filter, "test"
		if e := refused(t, plan); e.Error() != c.want {
			t.Errorf("%v, want %s", e, c.want)
		}
		guest := start(t, newPlan(newRoot(t), "pause"))
		p := command("exit", "0")
		p.Seccomp, p.SeccompName = c.filter, "test"
		if _, err := launch.Join(guest.Target(launch.Descriptors{}), p, nullFiles(t)); err == nil || err.Error() != c.want {
			t.Errorf("command: %v, want %s", err, c.want)
		}
		end(guest)
	}
}

// largest is a filter of as many instructions as there may be.
func TestLargestFilter(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	plan := newPlan(newRoot(t), "exit", "3")
	for range 4095 {
		plan.Init.Seccomp = append(plan.Init.Seccomp, statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0)...)
	}
	plan.Init.Seccomp = append(plan.Init.Seccomp, statement(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW)...)
	if _, exit := run(t, plan); exit.Code != 3 {
		t.Errorf("%v", exit)
	}
}

// A filter that forbids the program itself fails the start, as the program's own fault.
func TestFilterThatForbidsExecve(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	plan := newPlan(newRoot(t), "exit", "0")
	plan.Init.Seccomp, plan.Init.SeccompName = denying(unix.SYS_EXECVE), "test"
	if e := refused(t, plan); e.Operation != "run" || e.Errno != unix.EXDEV {
		t.Errorf("%v", e)
	}
}

func TestLabels(t *testing.T) {
	plan := newPlan("/srv/root", "exit", "0")
	plan.Init.ApparmorProfile, plan.Init.SelinuxContext = "davit-default", "system_u:system_r:svirt_lxc_net_t:s0:c1,c2"
	text := launch.DescribeSyscalls(plan)
	for _, want := range []string{
		`openat2(proc, "thread-self/attr/apparmor/exec", {WRONLY BENEATH NO_MAGICLINKS NO_XDEV}, 0x18)`,
		`"exec davit-default", 0x12) = 18`,
		`openat2(proc, "thread-self/attr/exec", {WRONLY BENEATH NO_MAGICLINKS NO_XDEV}, 0x18)`,
		`"system_u:system_r:svirt_lxc_net_t:s0:c1,c2", 0x2a) = 42`,
	} {
		at := strings.Index(text, want)
		if at < 0 || at > strings.Index(text, "attach root") {
			before, _, _ := strings.Cut(text, "attach root")
			t.Errorf("no %s before the container's files can be seen, in\n%s", want, before)
		}
	}
	if text := launch.Describe(plan); !strings.Contains(text, ", with the AppArmor profile davit-default, with the SELinux context system_u:") {
		t.Error(text)
	}
	plan.Init.ApparmorProfile = "a\x00b"
	if err := launch.Check(plan); err == nil || !strings.Contains(err.Error(), `"a\x00b" holds a NUL`) {
		t.Errorf("%v", err)
	}
}

// A label that the host's kernel does not take is an error that names it, of init and of a command.
func TestLabelThatIsRefused(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	guest := start(t, newPlan(newRoot(t), "pause"))
	for _, c := range []struct {
		name string
		set  func(p *monitorv1.Process)
	}{
		{"set AppArmor profile", func(p *monitorv1.Process) { p.ApparmorProfile = "davit-no-such-label" }},
		{"set SELinux context", func(p *monitorv1.Process) { p.SelinuxContext = "davit-no-such-label" }},
	} {
		plan := newPlan(newRoot(t), "exit", "0")
		c.set(plan.Init)
		e := refused(t, plan)
		if e.Operation != c.name || e.Object != "davit-no-such-label" || e.Message == "" || e.Kind != monitorv1.ErrorKind_ERROR_KIND_INVALID {
			t.Errorf("%+v", e)
		}
		t.Log(e)
		p := command("exit", "0")
		c.set(p)
		_, err := launch.Join(guest.Target(launch.Descriptors{}), p, nullFiles(t))
		if err == nil || err.Error() != e.Error() {
			t.Errorf("command: %v, want %v", err, e)
		}
	}
}

func TestFilterIsDescribed(t *testing.T) {
	plan := newPlan("/srv/root", "exit", "0")
	plan.Init.Seccomp, plan.Init.SeccompName = denying(unix.SYS_MKDIRAT), "default for "+runtime.GOARCH
	want := fmt.Sprintf("system calls filtered by %q of 4 instructions", plan.GetInit().GetSeccompName())
	if text := launch.Describe(plan); !strings.Contains(text, want) {
		t.Error(text)
	}
	text := launch.DescribeSyscalls(plan)
	if _, after, _ := strings.Cut(text, "seccomp("); strings.Count(after, "(") != 1 || !strings.Contains(after, "{4 instructions}") {
		t.Errorf("more than execve follows the filter:\n%s", after)
	}
}

// always is a filter that answers every system call the same.
func always(answer uint32) []byte { return statement(unix.BPF_RET|unix.BPF_K, 0, 0, answer) }

// A filter that leaves the process no way to run its program fails the start and is named, whatever else it forbids: that the process
// tells why, or that it ends.
func TestFilterThatForbidsAll(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		guest := start(t, plan("pause"))
		defer end(guest)
		for _, c := range []struct {
			what   string
			filter []byte
			how    string
		}{
			{"execve, write and exit_group", denying(unix.SYS_EXECVE, unix.SYS_WRITE, unix.SYS_EXIT_GROUP), "signal 11 (segmentation fault)"},
			{"execve and write", denying(unix.SYS_EXECVE, unix.SYS_WRITE), "exit code 127"},
			{"all, with an error", always(unix.SECCOMP_RET_ERRNO | uint32(unix.EXDEV)), "signal 11 (segmentation fault)"},
			{"all, with the end of the process", always(unix.SECCOMP_RET_KILL_PROCESS), "signal 31 (bad system call)"},
			{"all, with the end of the thread", always(unix.SECCOMP_RET_KILL_THREAD), "signal 31 (bad system call)"},
			{"all, with a trap", always(unix.SECCOMP_RET_TRAP), "signal 31 (bad system call)"},
		} {
			for _, noNewPrivs := range []bool{false, true} {
				want := `system call filter "test" killed the process before its program ran: ` + c.how
				p := plan("exit", "0")
				p.Init.Seccomp, p.Init.SeccompName, p.Init.NoNewPrivs = c.filter, "test", noNewPrivs
				if e := refused(t, p); e.Operation != "run" || e.Message != want || e.Kind != monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE {
					t.Errorf("%s: %v, want %s", c.what, e, want)
				}
				command := command("exit", "0")
				command.Seccomp, command.SeccompName, command.NoNewPrivs = c.filter, "test", noNewPrivs
				_, err := launch.Join(guest.Target(launch.Descriptors{}), command, nullFiles(t))
				if err == nil || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("command: %s: %v, want %s", c.what, err, want)
				}
			}
		}
	})
}
