package launch_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// start launches a plan for a test that joins it.
func start(tb testing.TB, plan *monitorv1.Plan) *launch.Guest {
	tb.Helper()
	guest, err := launch.Launch(plan, launch.Descriptors{})
	if err != nil {
		tb.Fatalf("launch: %v", err)
	}
	tb.Cleanup(func() { end(guest) })
	return guest
}

// command is a process of a test.
func command(words ...string) *monitorv1.Process {
	return &monitorv1.Process{Argv: append([]string{"guest"}, words...), Env: []string{"PATH=/sbin:/bin"}, Capabilities: allCapabilities}
}

// join runs a command without a terminal and gives its standard output.
func join(tb testing.TB, guest *launch.Guest, p *monitorv1.Process) (output, launch.Exit) {
	tb.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	process, err := launch.Join(guest.Target(launch.Descriptors{}), p, launch.Stdio{Stdin: null, Stdout: in, Stderr: in})
	_ = in.Close()
	if err != nil {
		tb.Fatalf("join: %v", err)
	}
	defer func() { _ = process.Close() }()
	data, err := io.ReadAll(out)
	if err != nil {
		tb.Fatal(err)
	}
	exit, err := process.Wait()
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), exit
}

func TestCommandIsInAllOfTheContainer(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		guest := start(t, plan("pause"))
		p := command("id", "--", "args", "x y", "--", "env", "--", "cwd", "--", "umask", "--", "cat", "/proc/sys/kernel/hostname", "--",
			"status", "NoNewPrivs", "CapEff", "CapBnd", "CapInh", "SigIgn", "SigBlk", "--", "exit", "9")
		p.NoNewPrivs, p.Capabilities, p.Env = true, 1<<unix.CAP_KILL, append(p.Env, "A=b c")
		out, exit := join(t, guest, p)
		if exit != (launch.Exit{Code: 9}) {
			t.Errorf("%v", exit)
		}
		out.compare(t, "args", `["guest" "id" "--" "args" "x y" "--" "env" "--" "cwd" "--" "umask" "--" "cat" "/proc/sys/kernel/hostname" "--" "status" "NoNewPrivs" "CapEff" "CapBnd" "CapInh" "SigIgn" "SigBlk" "--" "exit" "9"]`)
		out.compare(t, "env", "PATH=/sbin:/bin", "A=b c")
		out.compare(t, "cwd", "/")
		out.compare(t, "umask", "022")
		out.compare(t, "cat", `/proc/sys/kernel/hostname "guest-host\n"`)
		out.compare(t, "status", "SigBlk 0000000000000000", "SigIgn 0000000000000000", "CapInh 0000000000000000",
			"CapEff 0000000000000020", "CapBnd 0000000000000020", "NoNewPrivs 1")
		sameNamespaces(t, guest)
	})
}

// sameNamespaces compares the namespaces of a command with init's.
func sameNamespaces(t *testing.T, guest *launch.Guest) {
	t.Helper()
	process, err := launch.Join(guest.Target(launch.Descriptors{}), command("pause"), nullFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		a, err1 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", guest.PID, name))
		b, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", process.PID, name))
		if err = errors.Join(err1, err2); err != nil || a != b {
			t.Errorf("init has %s, the command %s (%v)", a, b, err)
		}
	}
	parent, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process.PID))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(parent), ") ")
	if fields := strings.Fields(rest); fields[1] != strconv.Itoa(os.Getpid()) || fields[3] == fields[1] {
		t.Errorf("the command's parent and session: %q", fields[:4])
	}
	if err := process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if exit, err := process.Wait(); err != nil || exit != (launch.Exit{Signal: unix.SIGTERM}) {
		t.Errorf("%v, %v", exit, err)
	}
	_ = process.Close()
}

func TestCommandStartsAtHome(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		root := plan().Operations[0].GetRootBind().GetSource()
		script(t, root+"/etc/passwd", "root:x:0:0::/bin:/bin/sh\nlost:x:5:5::/no/such:/bin/sh\nfile:x:6:6::/bin/guest:/bin/sh\n")
		guest := start(t, plan("pause"))
		for user, want := range map[string]string{"": "/bin", "root": "/bin", "lost": "/", "file": "/"} {
			p := command("cwd")
			p.User = user
			out, _ := join(t, guest, p)
			out.compare(t, "cwd", want)
		}
		p := command("cwd")
		p.Cwd = "/etc"
		out, _ := join(t, guest, p)
		out.compare(t, "cwd", "/etc")
	})
}

func TestCommandWithATerminal(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		guest := start(t, plan("pause"))
		terminal, err := guest.OpenTerminal(24, 80)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = terminal.Master.Close() }()
		p := command("tty", "--", "fds", "--", "id", "--", "ls", "/dev/pts", "--", "read", "--", "exit", "6")
		p.User = "33"
		process, err := launch.Join(guest.Target(launch.Descriptors{}), p, launch.Stdio{TTY: terminal.Slave})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = process.Close() }()
		if err = terminal.Slave.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err = terminal.Master.WriteString("typed\n"); err != nil {
			t.Fatal(err)
		}
		out := readConsole(terminal.Master)
		exit, err := process.Wait()
		if err != nil || exit.Code != 6 {
			t.Errorf("%v, %v", exit, err)
		}
		if tty := out.with("tty"); len(tty) != 1 || !strings.HasPrefix(tty[0], "136 mode 020620 owner 33:5 session ") {
			t.Errorf("%q", tty)
		}
		out.compare(t, "fd", "0 /dev/pts/2", "1 /dev/pts/2", "2 /dev/pts/2")
		out.compare(t, "read", `"typed"`)
		out.compare(t, "error:")
	})
}

func TestCommandThatCannotRun(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		root := plan().Operations[0].GetRootBind().GetSource()
		script(t, root+"/bin/garbage", "x")
		guest := start(t, plan("pause"))
		target := guest.Target(launch.Descriptors{})
		const missing, cannot = monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND, monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE
		for name, kind := range map[string]monitorv1.ErrorKind{
			"no-such": missing, "/no/such": missing, "garbage": cannot, "/bin": cannot, "/proc/1/exe": cannot, "/proc/self/exe": missing,
		} {
			p := command()
			p.Argv[0] = name
			var e *launch.Error
			if process, err := launch.Join(target, p, nullFiles(t)); !errors.As(err, &e) || e.Kind != kind || e.Object != name {
				t.Errorf("%s: %v, %v", name, process, err)
			}
		}
		for what, p := range map[string]*monitorv1.Process{
			"user":      {Argv: []string{"guest"}, User: "nobody"},
			"group":     {Argv: []string{"guest"}, Group: "nobodies"},
			"number":    {Argv: []string{"guest"}, User: "0x10"},
			"directory": {Argv: []string{"guest"}, Cwd: "/no/such"},
			"file":      {Argv: []string{"guest"}, Cwd: "/bin/guest"},
			"way out":   {Argv: []string{"guest"}, Cwd: "/proc/1/cwd"},
			"both":      {Argv: []string{"./guest"}, Cwd: "/no/such"},
			"relative":  {Argv: []string{"guest"}, Cwd: "bin"},
			"program":   {},
			"NUL":       {Argv: []string{"guest", "a\x00b"}},
		} {
			process, err := launch.Join(target, p, nullFiles(t))
			if err == nil {
				end(&launch.Guest{PID: process.PID, Pidfd: process.Pidfd})
				t.Errorf("a command with a wrong %s runs", what)
				continue
			}
			var e *launch.Error
			if !errors.As(err, &e) || e.Kind != monitorv1.ErrorKind_ERROR_KIND_INVALID {
				t.Errorf("a command with a wrong %s: %v, want it to be invalid", what, err)
			}
			if named := p.User + p.Group + p.Cwd; named != "" && !strings.Contains(err.Error(), strconv.Quote(named)) {
				t.Errorf("a command with a wrong %s: %v, want it to name %q", what, err, named)
			}
		}
		if _, err := launch.Join(target, command("id"), launch.Stdio{}); err == nil {
			t.Error("a command without standard files runs")
		}
	})
}

func TestNoCommandJoinsAnInitThatIsGone(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	guest, err := launch.Launch(newPlan(newRoot(t), "exit", "0"), launch.Descriptors{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = guest.Close() }()
	if _, err := guest.Wait(); err != nil {
		t.Fatal(err)
	}
	target := guest.Target(launch.Descriptors{})
	for _, when := range []string{"it was reaped", "its descriptors are closed"} {
		var e *launch.Error
		_, err := launch.Join(target, command("id"), nullFiles(t))
		if !errors.As(err, &e) || e.Kind != monitorv1.ErrorKind_ERROR_KIND_STATE {
			t.Errorf("when %s: %v, want that it has ended", when, err)
		}
		_ = guest.Close()
	}
	if terminal, err := guest.OpenTerminal(24, 80); err == nil {
		_ = terminal.Close()
		t.Error("a terminal of it was opened")
	}
}

// A container that ends while commands join it: each command runs or is told so, and none goes by the number of a
// descriptor that is another's by then.
func TestJoinWhileItEnds(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	for range 10 {
		guest := start(t, newPlan(root, "pause"))
		target := guest.Target(launch.Descriptors{})
		var joining sync.WaitGroup
		for range 2 {
			joining.Go(func() {
				for {
					process, err := launch.Join(target, command("exit", "0"), nullFiles(t))
					if err != nil {
						var e *launch.Error
						if !errors.As(err, &e) || e.Kind != monitorv1.ErrorKind_ERROR_KIND_STATE {
							t.Errorf("%v, want that it has ended", err)
						}
						return
					}
					if _, err := process.Wait(); err != nil {
						t.Error(err)
					}
					_ = process.Close()
				}
			})
		}
		if err := guest.Signal(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		if _, err := guest.Wait(); err != nil {
			t.Error(err)
		}
		_ = guest.Close()
		joining.Wait()
	}
}

// ESC-02: a container cannot look into what joins it. Its init tries all the time. Without a user namespace it must not have
// CAP_SYS_PTRACE for that, which then is the host's.
func TestJoinPtrace(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("spy")
		if !p.Namespaces.User {
			p.Init.Capabilities &^= 1 << unix.CAP_SYS_PTRACE
		}
		guest := start(t, p)
		for range 30 {
			process, err := launch.Join(guest.Target(launch.Descriptors{}), command("exit", "0"), nullFiles(t))
			if err != nil {
				t.Fatal(err)
			}
			if exit, err := process.Wait(); err != nil || exit.Code != 0 {
				t.Errorf("%v, %v", exit, err)
			}
			_ = process.Close()
		}
		_ = guest.Signal(unix.SIGKILL)
		// What the spy saw stands on its console, line by line; the guest itself, once it runs, is fair game.
		found := make([]byte, 1<<16)
		n, _ := guest.Consoles[0].Read(found)
		for line := range strings.SplitSeq(string(found[:n]), "\n") {
			if strings.HasPrefix(line, "spied") {
				t.Errorf("the container saw %s", line)
			}
		}
		if !strings.Contains(string(found[:n]), "spying") {
			t.Errorf("the spy said %q", found[:n])
		}
	})
}
