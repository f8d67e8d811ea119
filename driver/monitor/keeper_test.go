package monitor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// kill kills a process by its pidfd and waits until it is dead.
func kill(tb testing.TB, pidfd *os.File) {
	tb.Helper()
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0); err != nil {
		tb.Fatal(err)
	}
	waitDead(tb, pidfd)
}

func (h *house) waitOrphan(tb testing.TB, pid int) string {
	tb.Helper()
	exit, err := h.keeper.WaitOrphan(h.ctx, uuid, pid)
	if err != nil {
		tb.Fatalf("wait for orphan: %v", err)
	}
	return sayExit(exit)
}

// The exit of an init whose monitor was killed is exact, whenever the monitor died.
func TestOrphan(t *testing.T) {
	h := newHouse(t, self(t))
	for name, test := range map[string]struct {
		script string
		want   string
		run    func(d *domain, started *client.Started)
	}{
		"init ends after its monitor": {"read x; exit 42", "code 42", func(d *domain, _ *client.Started) {
			kill(t, d.pidfd)
			kept, err := h.keeper.Withdraw(h.ctx, uuid)
			if err != nil || len(kept.Consoles) != 1 {
				t.Fatalf("withdrew %+v, %v", kept, err)
			}
			defer kept.Close()
			if _, err := kept.Consoles[0].WriteString("\n"); err != nil {
				t.Fatal(err)
			}
		}},
		"init is killed after its monitor": {"read x", "signal 9", func(d *domain, started *client.Started) {
			kill(t, d.pidfd)
			kill(t, started.Pidfd)
		}},
		"init ends and its monitor dies before it sees that": {"read x; exit 7", "code 7", func(d *domain, started *client.Started) {
			console := d.console(&monitorv1.OpenConsole{})
			if err := syscall.Kill(d.pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			kept, err := h.keeper.Withdraw(h.ctx, uuid)
			if err != nil {
				t.Fatal(err)
			}
			defer kept.Close()
			if _, err := kept.Consoles[0].WriteString("\n"); err != nil {
				t.Fatal(err)
			}
			waitDead(t, started.Pidfd)
			kill(t, d.pidfd)
			_ = console.Close()
		}},
	} {
		d := h.spawn(t, uuid)
		started := d.start(test.script, nil)
		answer := make(chan string, 1)
		go func() { answer <- h.waitOrphan(t, started.PID) }() // who asks early waits
		test.run(d, started)
		if got := <-answer; got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if got := h.waitOrphan(t, started.PID); got != test.want {
			t.Errorf("%s: asked again: %q, want %q", name, got, test.want)
		}
		if _, err := client.Dial(h.ctx, d.folder); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: dialled a dead monitor: %v, want ECONNREFUSED", name, err)
		}
		d.end()
		_, err := h.keeper.WaitOrphan(h.ctx, uuid, started.PID)
		if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND {
			t.Errorf("%s: asked for what was forgotten: %v, want not found", name, err)
		}
	}
}

// A monitor that saw init end and died before davitd asked: the keeper knows from it, on all kernels.
func TestSeenAndDied(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	started := d.start("exit 9", nil)
	watch := d.events(1)
	d.next(watch)
	kill(t, d.pidfd)
	if got := h.waitOrphan(t, started.PID); got != "code 9" {
		t.Errorf("exit is %q, want code 9", got)
	}
}

// Monitors outlive their keeper. The next one is given everything again, and can tell exits as far as the kernel can.
func TestKeeperDies(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	started := d.start("read x; exit 5", nil)
	keeperPid := int(h.keeper.Hello().GetPid())
	if err := syscall.Kill(keeperPid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.keeper.Gone(h.ctx)
	_ = h.keeper.Close()
	h.startKeeper(t)
	if pid := int(h.keeper.Hello().GetPid()); pid == keeperPid {
		t.Fatalf("the keeper is still %d", pid)
	}
	await(t, "the monitor registers again", func() bool {
		kept, err := h.keeper.Withdraw(h.ctx, uuid)
		if err != nil {
			return false
		}
		kept.Close()
		return len(kept.Consoles) == 1
	})
	if err := h.keeper.Quit(h.ctx); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("keeper quits while an init runs: %v, want state", err)
	}
	answer := make(chan string, 1)
	go func() { answer <- h.waitOrphan(t, started.PID) }()
	console := d.console(&monitorv1.OpenConsole{})
	if err := console.Send([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got != "code 5" && got != "unknown" {
		t.Errorf("exit is %q", got)
	}
	if got := d.next(d.events(1)); got != "2 exited code 5 poweroff destroy 0s" {
		t.Errorf("event %q", got)
	}
}

// A caller that goes away stops waiting for an orphan, and the keeper has nothing left of it.
func TestWaitOrphanCancelled(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	started := d.start("read x", nil)
	h.awaitSpares(t)
	before := openDescriptors(t, int(h.keeper.Hello().GetPid()))
	for range 10 {
		ctx, cancel := context.WithTimeout(h.ctx, 5*time.Millisecond)
		if _, err := h.keeper.WaitOrphan(ctx, uuid, started.PID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait ended with %v", err)
		}
		cancel()
	}
	await(t, "the keeper lets go of its callers", func() bool {
		return openDescriptors(t, int(h.keeper.Hello().GetPid())) <= before+1 // one connection of ours may be kept
	})
}

func openDescriptors(tb testing.TB, pid int) int {
	tb.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		tb.Skipf("needs to look at the descriptors of process %d: %v", pid, err)
	}
	return len(entries)
}

// Many come and go, and the keeper has no more descriptors than before.
func TestNoLeaks(t *testing.T) {
	h := newHouse(t, self(t))
	pid := int(h.keeper.Hello().GetPid())
	before := 0
	for i := range 12 {
		d := h.spawn(t, uuid)
		d.start("exit 0", nil)
		d.next(d.events(1))
		d.end()
		if i == 1 {
			h.awaitSpares(t)
			before = openDescriptors(t, pid)
		}
	}
	h.awaitSpares(t)
	await(t, "the keeper lets go", func() bool { return openDescriptors(t, pid) <= before })
}

// However many start a keeper at once, there is one.
func TestOneKeeper(t *testing.T) {
	h := newHouse(t, self(t))
	folder := openFolder(t, t.TempDir())
	var group sync.WaitGroup
	keepers := make([]*client.Keeper, 8)
	for i := range keepers {
		group.Go(func() {
			var err error
			keepers[i], err = client.StartKeeper(h.ctx, client.KeeperOptions{Folder: folder, Program: h.program, Log: h.log})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	for _, k := range keepers {
		if k.Hello().GetPid() != keepers[0].Hello().GetPid() {
			t.Errorf("keepers %d and %d", k.Hello().GetPid(), keepers[0].Hello().GetPid())
		}
		if k != keepers[0] {
			_ = k.Close()
		}
	}
	if err := keepers[0].Quit(h.ctx); err != nil {
		t.Error(err)
	}
	_ = keepers[0].Close()
}

// Spawning says what is wrong and leaves nothing; a domain has one monitor; a keeper with monitors stays.
func TestSpawnRefused(t *testing.T) {
	h := newHouse(t, self(t))
	spawn := client.Spawn{UUID: uuid, Generation: generation, Program: h.program, Folder: h.run, Log: h.log}
	notProgram := spawn
	notProgram.Program = openLog(t, filepath.Join(t.TempDir(), "text"))
	failing := spawn
	failing.Generation = "generation-that-fails"
	unnamed := spawn
	unnamed.UUID = ""
	for name, test := range map[string]struct {
		spawn client.Spawn
		want  string
	}{
		"no program": {notProgram, "permission denied"},
		"no start":   {failing, "no reason"},
		"no name":    {unnamed, "it needs a uuid"},
	} {
		if _, err := h.keeper.Spawn(h.ctx, test.spawn); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	h.awaitMonitors(t, func(uuids []string) bool { return len(uuids) == 0 })
	d := h.spawn(t, uuid)
	if _, err := h.keeper.Spawn(h.ctx, spawn); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_BUSY {
		t.Errorf("second monitor: %v, want busy", err)
	}
	if err := h.keeper.Quit(h.ctx); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("keeper quits: %v, want state", err)
	}
	_, err := h.keeper.Withdraw(h.ctx, "nobody")
	if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND {
		t.Errorf("withdrew what nobody gave: %v, want not found", err)
	}
	monitors, err := h.keeper.Monitors(h.ctx)
	if err != nil || len(monitors) != 1 || monitors[0].GetUuid() != uuid || int(monitors[0].GetPid()) != d.pid ||
		monitors[0].GetGeneration() != generation {
		t.Errorf("monitors are %v, %v", monitors, err)
	}
}

// ps shows what a monitor is and whose; it runs from memory, in a session of its own, with nothing of ours but what it
// was given.
func TestProcess(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	proc := filepath.Join("/proc", strconv.Itoa(d.pid))
	cmdline, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if want := "davit-monitor\x00" + uuid + "\x00" + generation + "\x00"; err != nil || string(cmdline) != want {
		t.Errorf("command line is %q, %v, want %q", cmdline, err, want)
	}
	if exe, readErr := os.Readlink(filepath.Join(proc, "exe")); readErr != nil || !strings.HasPrefix(exe, "/memfd:davit-monitor") {
		t.Errorf("program is %q, %v", exe, readErr)
	}
	if session, sidErr := unix.Getsid(d.pid); sidErr != nil || session != d.pid {
		t.Errorf("session is %d, %v", session, sidErr)
	}
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if err != nil || fields[1] != strconv.Itoa(int(h.keeper.Hello().GetPid())) {
		t.Errorf("parent is %q, %v, want the keeper", fields[1], err)
	}
}
