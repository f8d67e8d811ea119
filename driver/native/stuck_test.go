package native_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/internal/testenv"
)

// undying keeps a process from dying when it is killed, as a disk that does not answer would: its tracer is told of its end before it is over,
// and lets it wait. It gives what lets it die. If this process ends the kernel does so too.
func undying(tb testing.TB, pid int) (release func()) {
	tb.Helper()
	seized, let, done := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the tracer is a thread
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, unix.PTRACE_O_TRACEEXIT, 0, 0)
		if errno != 0 {
			seized <- fmt.Errorf("seize process %d: %w", pid, errno)
			return
		}
		close(seized)
		<-let
		for { // it stops within the kernel's own time, if it was killed
			_, _, errno = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, 0, 0, 0)
			if errno == 0 || unix.Kill(pid, 0) != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := <-seized; err != nil {
		tb.Fatal(err)
	}
	released := false
	release = func() {
		if !released {
			released = true
			close(let)
			<-done
		}
	}
	tb.Cleanup(release)
	return release
}

// childOf waits for a child of a process that runs a program.
func childOf(tb testing.TB, pid int, name string) int {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		for field := range strings.FieldsSeq(string(text)) {
			comm, _ := os.ReadFile(filepath.Join("/proc", field, "comm"))
			if strings.TrimSpace(string(comm)) == name {
				child, _ := strconv.Atoi(field)
				return child
			}
		}
	}
	tb.Fatalf("process %d has no child %q", pid, name)
	return 0
}

// wantStuck checks the error of an end that a process keeps from coming.
func wantStuck(tb testing.TB, err error, pid int, command string) {
	tb.Helper()
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || !errors.Is(err, driver.ErrStuck) {
		tb.Fatalf("%v, want it stuck", err)
	}
	if e.Detail["pid"] != strconv.Itoa(pid) || e.Detail["command"] != command || e.Detail["process_state"] != "t" ||
		!strings.Contains(err.Error(), fmt.Sprintf("process %d (%q)", pid, command)) {
		tb.Errorf("%v with %v; want process %d, %q", err, e.Detail, pid, command)
	}
}

// REL-08: a process of the guest cannot die. Whoever destroys the domain is told so, with the process, and may ask again; the domain counts as
// running; others are not concerned, nor is a davitd that starts meanwhile. When the process dies the domain ends, which is told once.
func TestProcessCannotDie(t *testing.T) {
	for name, whose := range map[string]bool{"of the guest": false, "init": true} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "fa140001")
			d := h.open(t)
			d.StuckHook(200 * time.Millisecond)
			spec := h.spec(obeys)
			i := start(t, d, spec)
			ctx, cancel := aWhile()
			defer cancel()
			st, err := i.Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			pid, command := int(st.InitPID), "sh"
			if !whose {
				pid, command = childOf(t, pid, "sleep"), "sleep"
			}
			release := undying(t, pid)
			for range 2 {
				wantStuck(t, i.Kill(ctx), pid, command)
			}
			if st, err = i.Status(ctx); err != nil || !st.Running {
				t.Errorf("status is %+v, %v", st, err)
			}
			if err = i.Release(ctx); !errors.Is(err, domain.ErrFailedPrecondition) {
				t.Errorf("release: %v, want it refused", err)
			}
			kill(t, start(t, d, h.spec(idle)))

			if err = d.Close(); err != nil {
				t.Error(err)
			}
			d = closing(t, h.open(t))
			d.StuckHook(200 * time.Millisecond)
			if i, err = d.Recover(ctx, spec); err != nil {
				t.Fatalf("recover: %v", err)
			}
			if err = d.Sweep(ctx, []driver.Ref{spec.Ref}); err != nil {
				t.Errorf("sweep: %v", err)
			}
			wantStuck(t, i.Kill(ctx), pid, command)
			kill(t, start(t, d, h.spec(idle)))

			release()
			if exits := exitsOf(events(t, i)); len(exits) != 1 || exits[0].Exit.GetSignal() != uint32(unix.SIGKILL) || exits[0].Restart {
				t.Errorf("told is %+v, want one end by SIGKILL", exits)
			}
			kill(t, i)
			h.empty(t)
		})
	}
}

// What is left of a start that was cut off, and cannot die either, holds up nothing, and is swept when it has.
func TestSweepOfWhatCannotDie(t *testing.T) {
	h := newHost(t, "fa140002")
	d := h.open(t)
	spec := h.spec(obeys)
	i := start(t, d, spec)
	ctx, cancel := aWhile()
	defer cancel()
	st, err := i.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pid := childOf(t, int(st.InitPID), "sleep")
	release := undying(t, pid)
	if err = d.Close(); err != nil {
		t.Error(err)
	}
	d = closing(t, h.open(t))
	d.StuckHook(200 * time.Millisecond)
	wantStuck(t, d.Sweep(ctx, nil), pid, "sleep")
	kill(t, start(t, d, h.spec(idle)))
	release()
	if err = d.Sweep(context.Background(), nil); err != nil {
		t.Errorf("sweep: %v", err)
	}
	h.empty(t)
}

// memberOf waits for a process of cgroups that runs a program.
func memberOf(tb testing.TB, folders []string, name string) int {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, folder := range folders {
			for _, procs := range []string{"cgroup.procs", "init/cgroup.procs"} {
				text, _ := os.ReadFile(filepath.Join(folder, procs))
				for field := range strings.FieldsSeq(string(text)) {
					comm, _ := os.ReadFile(filepath.Join("/proc", field, "comm"))
					if strings.TrimSpace(string(comm)) == name {
						pid, _ := strconv.Atoi(field)
						return pid
					}
				}
			}
		}
	}
	tb.Fatalf("no process of %q is %q", folders, name)
	return 0
}

// A start that fails beside a process that cannot die gives nothing away that it has: the domain's host ids, its record and its folder stay
// until it has died, and then go by themselves.
func TestFailedStartCannotDie(t *testing.T) {
	h := newHost(t, "fa140003")
	d := closing(t, h.open(t))
	d.StuckHook(200 * time.Millisecond)
	spec := h.spec(obeys)
	state := filepath.Join(h.options.StateDir, spec.UUID)
	var pid int
	var release func()
	d.OnStep(func(name string) error {
		if name != "complete record" {
			return nil
		}
		pid = memberOf(t, h.groups(t, spec.UUID), "sleep")
		release = undying(t, pid)
		return errors.New("no more")
	})
	ctx, cancel := aWhile()
	defer cancel()
	_, err := d.Start(ctx, spec)
	d.OnStep(nil)
	if release == nil {
		t.Fatal(err)
	}
	if !errors.Is(err, driver.ErrStuck) || !strings.Contains(err.Error(), fmt.Sprintf("process %d (%q)", pid, "sleep")) {
		t.Errorf("%v, want process %d told, which is stuck", err, pid)
	}
	if _, err = os.Stat(state); err != nil {
		t.Error(err)
	}
	h.claims(t, 1)
	if _, err = d.Start(ctx, spec); err == nil || !strings.Contains(err.Error(), "was not released") {
		t.Errorf("start again: %v, want it refused", err)
	}
	kill(t, start(t, d, h.spec(idle)))
	release()
	for end := time.Now().Add(testenv.Scale(time.Minute)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err = os.Stat(state); errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err == nil {
		t.Error("its state is there for ever")
	}
	kill(t, start(t, d, spec))
	h.empty(t)
}
