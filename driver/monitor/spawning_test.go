package monitor_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// begin asks for a monitor and waits for nothing.
func (h *house) begin(tb testing.TB, generation string) (*client.Spawning, *os.File) {
	tb.Helper()
	folder := openFolder(tb, tb.TempDir())
	s, err := h.keeper.Begin(h.ctx, client.Spawn{UUID: uuid, Generation: generation, Program: h.program, Folder: folder, Log: h.log})
	if err != nil {
		tb.Fatal(err)
	}
	return s, folder
}

// runs asks a monitor that is being started to run a command, and gives the domain that it is of then, and its events.
func (h *house) runs(tb testing.TB, s *client.Spawning, folder *os.File, script string) (*domain, *client.Watch) {
	tb.Helper()
	started, watch, err := s.Start(h.ctx, shell(script, nil), client.Cgroups{}, client.Logs{})
	if err != nil {
		tb.Fatal(err)
	}
	_ = started.Pidfd.Close()
	spawned, err := s.Spawned(h.ctx)
	if err != nil {
		tb.Fatal(err)
	}
	d := &domain{Monitor: s.Monitor(), t: tb, house: h, uuid: uuid, folder: folder, pid: spawned.PID, pidfd: spawned.Pidfd}
	tb.Cleanup(d.end)
	if hello := d.Hello(); hello.GetUuid() != uuid || int(hello.GetPid()) != spawned.PID {
		tb.Errorf("monitor says that it is %d of %q, the keeper that it is %d", hello.GetPid(), hello.GetUuid(), spawned.PID)
	}
	return d, watch
}

// A start is asked for before there is a monitor, of a new one as of a spare; the connection becomes a watch, and whoever comes later
// finds the monitor by its socket.
func TestStartBeforeTheMonitor(t *testing.T) {
	h := newHouse(t, self(t))
	for _, want := range []string{"new", "spare"} {
		t.Run(want, func(t *testing.T) {
			var spares []int
			if want == "spare" {
				spares = h.awaitSpares(t)
			}
			s, folder := h.begin(t, generation)
			d, watch := h.runs(t, s, folder, "exit 7")
			if isSpare := len(spares) > 0; isSpare != (want == "spare") {
				t.Fatalf("there are the spares %v", spares)
			}
			for _, want := range []string{"started", "exited"} {
				event, err := watch.Next(h.ctx)
				if err != nil {
					t.Fatal(err)
				}
				if event.GetStarted() == nil && want == "started" || event.GetExited().GetExit().GetCode() != 7 && want == "exited" {
					t.Errorf("event %v, want it %s", event, want)
				}
				if err = watch.Acknowledge(event.GetSequence()); err != nil {
					t.Error(err)
				}
			}
			other, err := client.Dial(h.ctx, folder)
			if err != nil {
				t.Fatal(err)
			}
			if state, _, err := other.State(h.ctx); err != nil || state.GetPhase() != monitorv1.Phase_PHASE_ENDED {
				t.Errorf("state is %v, %v", state, err)
			}
			_, _ = watch.Close(), other.Close()
			d.end()
		})
	}
}

// Spares that were killed have read nothing: another monitor is given what was asked.
func TestStartOfSparesThatWereKilled(t *testing.T) {
	h := newHouse(t, self(t))
	h.spawn(t, uuid).end()
	spares := h.awaitSpares(t)
	keeper := int(h.keeper.Hello().GetPid())
	stop(t, keeper) // it does not hear of the deaths before it is asked
	s, folder := h.begin(t, generation)
	for _, pid := range spares {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(keeper, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d, watch := h.runs(t, s, folder, "exit 7")
	if event, err := watch.Next(h.ctx); err != nil || event.GetStarted() == nil {
		t.Errorf("event %v, %v, want it started", event, err)
	}
	_ = watch.Close()
	d.end()
}

// stop holds a process.
func stop(tb testing.TB, pid int) {
	tb.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
	await(tb, "the process stands still", func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		_, after, _ := strings.Cut(string(stat), ") ")
		return err == nil && strings.HasPrefix(after, "T")
	})
}

// Why there is no monitor is what the keeper says, whatever was asked of it.
func TestStartOfAMonitorThatFails(t *testing.T) {
	h := newHouse(t, self(t))
	s, _ := h.begin(t, "generation-that-fails")
	_, _, err := s.Start(h.ctx, shell("exit 7", nil), client.Cgroups{}, client.Logs{})
	if err == nil || !strings.Contains(err.Error(), "no reason") {
		t.Errorf("start: %v, want it to tell that the monitor failed for no reason", err)
	}
	s.Close(h.ctx)
	_ = s.Monitor().Close()

	d := h.spawn(t, uuid)
	s, _ = h.begin(t, generation)
	if _, _, err = s.Start(h.ctx, shell("exit 7", nil), client.Cgroups{}, client.Logs{}); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_BUSY {
		t.Errorf("start of a second monitor: %v, want busy", err)
	}
	s.Close(h.ctx)
	_ = s.Monitor().Close()
	d.end()
}

// A keeper that is killed before it has read what it was asked leaves no monitor, and says so.
func TestStartOfAKeeperThatIsKilled(t *testing.T) {
	h := newHouse(t, self(t))
	keeper := int(h.keeper.Hello().GetPid())
	stop(t, keeper)
	s, _ := h.begin(t, generation)
	if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Start(h.ctx, shell("exit 7", nil), client.Cgroups{}, client.Logs{})
	if !errors.Is(err, client.ErrUnheard) {
		t.Errorf("start: %v, want that nobody has heard it", err)
	}
	s.Close(h.ctx)
	_ = s.Monitor().Close()
	_ = h.keeper.Close()
	h.startKeeper(t)
	s, folder := h.begin(t, generation)
	d, watch := h.runs(t, s, folder, "exit 7")
	_ = watch.Close()
	d.end()
}

// Who was killed before the keeper has read what he asked gets nothing: nobody would know of it.
func TestStartOfWhoHasGone(t *testing.T) {
	h := newHouse(t, self(t))
	keeper := int(h.keeper.Hello().GetPid())
	stop(t, keeper)
	s, _ := h.begin(t, generation)
	s.HangUp()
	if err := syscall.Kill(keeper, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Spawned(h.ctx); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("spawned: %v, want it refused", err)
	}
	_ = s.Monitor().Close()
	h.awaitMonitors(t, func(uuids []string) bool { return len(uuids) == 0 })
}
