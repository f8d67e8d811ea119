package seccomp_test

import (
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/davitd/davit/driver/seccomp"
)

// lost is no descriptor and no pointer.
const lost = ^uintptr(0)

// TestKernelTakesThePrograms loads each built-in profile into a process and makes calls there. Their arguments are such that
// nothing comes of a call that is let through, and that its error is another one then: the run without a filter shows it.
func TestKernelTakesThePrograms(t *testing.T) {
	const none = 0
	calls := seccomp.Calls(seccomp.Native)
	at := func(name string, arguments ...uintptr) attempt {
		number, ok := calls[name]
		if !ok {
			t.Fatalf("there is no call %q", name)
		}
		a := attempt{Number: uintptr(number)}
		copy(a.Arguments[:], arguments)
		return a
	}
	any32 := uintptr(1) << 32 // a bit that the kernel does not look at
	attempts := []struct {
		what                string
		attempt             attempt
		application, system int // errors; -1: whatever the kernel says without a filter
	}{
		{"getpid", at("getpid"), none, none},
		{"mount", at("mount", lost, lost, lost, 0, 0), int(syscall.EPERM), -1},
		{"fsopen", at("fsopen", lost, lost), int(syscall.EPERM), -1},
		{"unshare of what there is not", at("unshare", lost), int(syscall.EPERM), -1},
		{"setns", at("setns", lost, 0), int(syscall.EPERM), -1},
		{"clone3", at("clone3", 0, 0), int(syscall.ENOSYS), -1},
		{"io_uring_setup", at("io_uring_setup", 0, 0), int(syscall.ENOSYS), int(syscall.ENOSYS)},
		{"keyctl", at("keyctl", lost), int(syscall.ENOSYS), int(syscall.ENOSYS)},
		{"bpf", at("bpf", lost, lost, lost), int(syscall.EPERM), int(syscall.EPERM)},
		{"open_by_handle_at", at("open_by_handle_at", lost, lost, 0), int(syscall.EPERM), int(syscall.EPERM)},
		{"finit_module", at("finit_module", lost, lost, 0), int(syscall.EPERM), int(syscall.EPERM)},
		{"socket of a VM", at("socket", 40, 1, 0), int(syscall.EAFNOSUPPORT), int(syscall.EAFNOSUPPORT)},
		{"the same with an upper bit", at("socket", 40|any32, 1, 0), int(syscall.EAFNOSUPPORT), int(syscall.EAFNOSUPPORT)},
		{"socket of the kernel's audit", at("socket", 16, 3, 9), int(syscall.EAFNOSUPPORT), int(syscall.EAFNOSUPPORT)},
		{"socket of routes", at("socket", 16, 3, 0), none, none},
		{"socket of files", at("socket", 1, 1, 0), none, none},
		{"socket of the net", at("socket", 2, 1, 0), none, none},
		{"TIOCSTI", at("ioctl", lost, 0x5412, 0), int(syscall.EPERM), int(syscall.EPERM)},
		{"TIOCSTI with an upper bit", at("ioctl", lost, 0x5412|any32, 0), int(syscall.EPERM), int(syscall.EPERM)},
		{"TIOCLINUX", at("ioctl", lost, 0x541c|any32<<31, 0), int(syscall.EPERM), int(syscall.EPERM)},
		{"another ioctl", at("ioctl", lost, 0x5413, 0), int(syscall.EBADF), int(syscall.EBADF)},
		{"personality", at("personality", 0xffffffff), none, none},
		{"an unknown number", attempt{Number: 4000}, int(syscall.ENOSYS), int(syscall.ENOSYS)},
	}
	if seccomp.Native == "amd64" {
		attempts = append(attempts, []struct {
			what                string
			attempt             attempt
			application, system int
		}{
			{"x32's getpid", attempt{Number: 39 | 0x40000000}, int(syscall.ENOSYS), int(syscall.ENOSYS)},
			{"x32's execve by its bare number", attempt{Number: 520, Arguments: [6]uintptr{lost}}, int(syscall.ENOSYS), int(syscall.ENOSYS)},
		}...)
	}
	all := make([]attempt, 0, len(attempts))
	for _, a := range attempts {
		all = append(all, a.attempt)
	}
	free := try(t, "", all)
	for _, profile := range []string{seccomp.Application, seccomp.System} {
		answers := try(t, profile, all)
		for i, a := range attempts {
			want := a.application
			if profile == seccomp.System {
				want = a.system
			}
			if want == -1 {
				want = free[i]
			}
			if answers[i] != want {
				t.Errorf("%s: %s: %v, want %v; without a filter it is %v", profile, a.what, syscall.Errno(answers[i]), syscall.Errno(want), syscall.Errno(free[i]))
			}
		}
	}
}

// TestCallsOf32BitPrograms shows that a native process which calls as a 32-bit one does not get round its filter.
func TestCallsOf32BitPrograms(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the interrupt is of amd64")
	}
	out, status := send(t, errand{Int80: true})
	if status.Signaled() || strings.TrimSpace(out) != "true" {
		t.Skipf("this kernel serves no 32-bit calls (CONFIG_IA32_EMULATION, and an interrupt 0x80 that a hypervisor passes on): %q, %#x", out, status)
	}
	if out, status := send(t, errand{Int80: true, Profile: seccomp.System}); strings.TrimSpace(out) != "true" {
		t.Errorf("in profile system a 32-bit getpid gives %q and ends with %#x", out, status)
	}
	if out, status := send(t, errand{Int80: true, Profile: seccomp.Application}); !status.Signaled() || status.Signal() != syscall.SIGSYS {
		t.Errorf("in profile application a 32-bit getpid gives %q and ends with %#x, want SIGSYS", out, status)
	}
}

// TestProgramsRun runs ordinary programs, as far as the host has them, in both profiles.
func TestProgramsRun(t *testing.T) {
	for _, c := range []struct{ name, want, run string }{
		{"sh", "6", `echo 1 2 3 | (read a b c; echo $((a + b + c)))`},
		{"tar", "notes", `d=$(mktemp -d); echo x >$d/notes; cp -a $d/notes $d/copy; mv $d/copy $d/moved; tar -C $d -cf - notes | tar -tf -; rm -r $d`},
		{"perl", "42", `exec perl -e 'pipe R, W; if (!fork) { print W 42; exit } wait; close W; print <R>'`},
		{"python3", "ok", `exec python3 -c '
import asyncio, concurrent.futures, os, socket, subprocess, sys, tempfile, threading, time
t = threading.Thread(target=time.time); t.start(); t.join()
subprocess.check_call(["true"])
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
s = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(s.getsockname()); c.close(); s.close()
with concurrent.futures.ThreadPoolExecutor(2) as p: assert list(p.map(abs, [-1, 2])) == [1, 2]
r, w = os.pipe()
if os.fork() == 0: os.write(w, b"y"); os._exit(0)
assert os.read(r, 1) == b"y" and os.wait()[1] == 0
async def main():
    p = await asyncio.create_subprocess_exec("echo", "hello", stdout=-1)
    assert (await p.communicate())[0] == b"hello\n"
asyncio.run(main())
f = os.memfd_create("x"); os.copy_file_range; os.sched_getaffinity(0); socket.if_nameindex()
tempfile.TemporaryFile().close()
print("ok")'`},
	} {
		if _, err := exec.LookPath(c.name); err != nil {
			t.Logf("%s is not installed here", c.name)
			continue
		}
		for _, profile := range []string{seccomp.Application, seccomp.System} {
			out, status := send(t, errand{Profile: profile, Run: []string{"/bin/sh", "-c", c.run}})
			if status != 0 || strings.TrimSpace(out) != c.want {
				t.Errorf("%s in profile %s ended with %#x and wrote %q, want %q", c.name, profile, status, out, c.want)
			}
		}
	}
}
