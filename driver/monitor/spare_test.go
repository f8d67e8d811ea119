package monitor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// unnamed is how ps shows a monitor that has no domain yet.
const unnamed = "davit-monitor\x00spare monitor, not of any domain yet\x00"

// spares are the keeper's children that have no domain yet.
func (h *house) spares(tb testing.TB) []int {
	tb.Helper()
	return sparesOf(tb, int(h.keeper.Hello().GetPid()))
}

func sparesOf(tb testing.TB, keeper int) []int {
	tb.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		tb.Fatal(err)
	}
	var pids []int
	for _, name := range stats {
		stat, _ := os.ReadFile(name) // it may be gone
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if len(fields) > 1 && fields[1] == strconv.Itoa(keeper) && strings.Contains(string(cmdline), unnamed) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// awaitSpares waits until there are as many as there will be.
func (h *house) awaitSpares(tb testing.TB) []int {
	tb.Helper()
	var pids []int
	await(tb, "the spares", func() bool { pids = h.spares(tb); return len(pids) == 3 })
	return pids
}

// After the first domain there are spares, and the next domain gets one, which is then in every respect a monitor of its
// own: it runs containers, has the domain's arguments and writes to the domain's log.
func TestSpare(t *testing.T) {
	h := newHouse(t, self(t))
	first := h.spawn(t, uuid)
	spares := h.awaitSpares(t)
	first.end()

	common := h.log
	h.log = openLog(t, filepath.Join(t.TempDir(), "log"))
	d := h.spawn(t, uuid)
	own := h.log.Name()
	h.log = common
	if !slices.Contains(spares, d.pid) {
		t.Errorf("monitor %d is none of the spares %v", d.pid, spares)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.pid))
	if want := "davit-monitor\x00" + uuid + "\x00" + generation + "\x00"; err != nil || string(cmdline) != want {
		t.Errorf("command line is %q, %v, want %q", cmdline, err, want)
	}
	if hello := d.Hello(); hello.GetUuid() != uuid || hello.GetGeneration() != generation {
		t.Errorf("it says that it is of %q, %q", hello.GetUuid(), hello.GetGeneration())
	}
	log, err := os.ReadFile(own)
	if err != nil || !strings.Contains(string(log), uuid) {
		t.Errorf("its log is %q, %v", log, err)
	}
	d.start("exit 7", nil)
	events := d.events(1)
	if got := d.next(events); got != "2 exited code 7 poweroff destroy 0s" {
		t.Errorf("event %q", got)
	}
	h.awaitSpares(t) // it is replaced
}

// Spares that were killed are in nobody's way, and are replaced.
func TestSpareKilled(t *testing.T) {
	h := newHouse(t, self(t))
	h.spawn(t, uuid).end()
	killed := h.awaitSpares(t)
	for _, pid := range killed {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	d := h.spawn(t, uuid) // whether or not the keeper has heard of the deaths
	if slices.Contains(killed, d.pid) {
		t.Errorf("monitor %d was killed", d.pid)
	}
	d.end()
	for _, pid := range h.awaitSpares(t) {
		if slices.Contains(killed, pid) {
			t.Errorf("spare %d was killed", pid)
		}
	}
}

// After an upgrade no domain gets a monitor of the program before.
func TestSpareOfAnotherProgram(t *testing.T) {
	h := newHouse(t, self(t))
	h.spawn(t, uuid).end()
	old := h.awaitSpares(t)
	before := h.program
	defer func() { _ = before.Close() }()
	h.program = h.seal(t, self(t))
	d := h.spawn(t, uuid)
	if slices.Contains(old, d.pid) {
		t.Errorf("monitor %d runs the program before", d.pid)
	}
	d.end()
	for _, pid := range h.awaitSpares(t) {
		if slices.Contains(old, pid) {
			t.Errorf("spare %d runs the program before", pid)
		}
	}
}

// The spares go with the keeper, however it goes.
func TestSparesGoWithTheKeeper(t *testing.T) {
	h := newHouse(t, self(t))
	h.spawn(t, uuid).end()
	spares := h.awaitSpares(t)
	if err := syscall.Kill(int(h.keeper.Hello().GetPid()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.keeper.Gone(h.ctx)
	_ = h.keeper.Close()
	for _, pid := range spares {
		await(t, "the spares go", func() bool {
			cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return err != nil || !strings.Contains(string(cmdline), unnamed)
		})
	}
	h.startKeeper(t)
}
