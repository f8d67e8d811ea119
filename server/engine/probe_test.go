package engine_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A domain that is defined and created by another text runs by that text, and is what it was when it stops.
func TestCreateOfDefined(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, "<title>stored</title>")
		r, err := h.CreateDomain(h.t.Context(), &davitv1.CreateDomainRequest{Source: xml("web", uuidWeb, "<title>live</title>"), Paused: true})
		if err != nil || r.GetDomain().GetTitle() != "live" || !r.GetDomain().GetPersistent() {
			t.Fatalf("create: %v, %v", r, err)
		}
		if got := h.condition("web"); got != "paused (user)" {
			t.Errorf("it is %s", got)
		}
		if _, err := h.DestroyDomain(h.t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		if info := h.get("web"); info.GetTitle() != "stored" {
			t.Errorf("stopped: %v", info)
		}
		want := []string{"web: Defined Added", "web: Started Booted", "web: Suspended Paused", "web: Stopped Destroyed"}
		if diff := cmp.Diff(want, h.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// A dry run tells what a start would do, and does nothing.
func TestDryRun(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		plan := func(name string) (*davitv1.StartDomainResponse, error) {
			return h.StartDomain(h.t.Context(), &davitv1.StartDomainRequest{Domain: byName(name), DryRun: true})
		}
		first, err := plan("web")
		if err != nil || !strings.Contains(first.GetPlan(), "/sbin/init") {
			t.Fatalf("plan: %v, %v", first, err)
		}
		h.boot("web") // what runs can be planned, too
		second, err := plan("web")
		if err != nil || second.GetPlan() != first.GetPlan() {
			t.Errorf("plan again: %v, %v", second, err)
		}
		if _, err := plan("mail"); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("plan of nothing: %v", err)
		}
		if h.host.Made() != 1 || len(h.told()) != 2 {
			t.Errorf("%d containers, events %q", h.host.Made(), h.told())
		}
	})
}

// Signals go to a process of the domain, by its id there.
func TestSignalProcess(t *testing.T) {
	bubble(t, func(h *house) {
		h.CreateDomainOf("web", "trap 'exit 5' USR1; sleep infinity")
		signal := func(pid uint32, name string) error {
			_, err := h.SignalProcess(h.t.Context(), &davitv1.SignalProcessRequest{Domain: byName("web"), GuestPid: pid, Signal: name})
			return err
		}
		for _, bad := range []error{signal(0, "TERM"), signal(1, "SIGNONSENSE"), signal(1, ""), signal(1, "65")} {
			if !errors.Is(bad, domain.ErrInvalid) {
				t.Errorf("signal: %v, want INVALID_ARGUMENT", bad)
			}
		}
		if err := signal(4711, "TERM"); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("signal to no process: %v", err)
		}
		if err := signal(1, "usr1"); err != nil {
			t.Errorf("signal: %v", err)
		}
		if synctest.Wait(); h.condition("web") != "absent" {
			t.Errorf("it is %s", h.condition("web"))
		}
		told := h.told()
		if told[len(told)-1] != "web: Stopped Shutdown" {
			t.Errorf("events %q", told)
		}
	})
}

// A command needs a domain that can run it, and what it is told is checked before it is tried.
func TestExecRefuses(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb)
		run := func(change func(*davitv1.ExecStart)) error {
			q := &davitv1.ExecStart{Domain: byName("web"), Argv: []string{"true"}}
			change(q)
			s, err := h.Exec(h.t.Context(), q)
			if err == nil {
				for err == nil {
					_, err = s.Receive()
				}
				if errors.Is(err, io.EOF) {
					err = s.Close()
				}
			}
			return err
		}
		plain := func(*davitv1.ExecStart) {}
		if err := run(plain); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("in what does not run: %v", err)
		}
		h.boot("web")
		if err := run(plain); err != nil {
			t.Errorf("run: %v", err)
		}
		for name, change := range map[string]func(*davitv1.ExecStart){
			"no argv":    func(q *davitv1.ExecStart) { q.Argv = nil },
			"empty argv": func(q *davitv1.ExecStart) { q.Argv = []string{""} },
			"NUL":        func(q *davitv1.ExecStart) { q.Argv = []string{"a\x00b"} },
			"env":        func(q *davitv1.ExecStart) { q.Env = []string{"NOTHING"} },
			"env name":   func(q *davitv1.ExecStart) { q.Env = []string{"=x"} },
			"cwd":        func(q *davitv1.ExecStart) { q.Cwd = "tmp" },
			"size":       func(q *davitv1.ExecStart) { q.Size = &davitv1.TerminalSize{Rows: 70000, Columns: 1} },
			"too long":   func(q *davitv1.ExecStart) { q.Argv = []string{"a", strings.Repeat("x", 128<<10)} },
		} {
			if err := run(change); !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%s: %v, want INVALID_ARGUMENT", name, err)
			}
		}
		if _, err := h.SuspendDomain(h.t.Context(), &davitv1.SuspendDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		if err := run(plain); !errors.Is(err, domain.ErrFailedPrecondition) {
			t.Errorf("in what is frozen: %v", err)
		}
	})
}

// What nobody can store for long is not lost: the driver keeps it until the disk has room.
func TestLongOutage(t *testing.T) {
	bubble(t, func(h *house) {
		h.define("web", uuidWeb, "<on_crash>restart</on_crash>")
		h.boot("web")
		outage := make([]error, 200)
		for i := range outage {
			outage[i] = full
		}
		h.faults.fail("Append", outage...)
		for range 100 {
			if err := h.host.Crash(uuidWeb, 11); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		if told := h.told(); len(told) != 202 {
			t.Errorf("%d events, want 202", len(told))
		}
		if got := h.condition("web"); got != "running (crashed)" {
			t.Errorf("it is %s", got)
		}
	})
}
