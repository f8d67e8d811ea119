package native_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const idle = "trap 'exit 3' TERM; sleep infinity & wait"

// spec makes a spec for a shell script on the host's root. It is a system: guests of these tests reboot, mount, and try things.
func (h *host) spec(script string, change ...func(*davitv1.Domain)) driver.Spec {
	id := uuid.NewString()
	def := &davitv1.Domain{
		Type: davitv1.DomainType_DOMAIN_TYPE_LXC, Name: "test-" + id[:8], Uuid: id, MemoryKib: 128 << 10,
		Os:      &davitv1.Os{Type: "exe", Init: "/bin/sh", Initarg: []string{"-c", script}},
		Devices: &davitv1.Devices{Console: []*davitv1.Console{{}}},
		Profile: &davitv1.Profile{Name: davitv1.ProfileName_PROFILE_NAME_SYSTEM},
	}
	h.complete(def)
	for _, c := range change {
		c(def)
	}
	return driver.Spec{Ref: driver.Ref{UUID: id, Generation: uuid.NewString()}, Definition: def}
}

// closing closes the driver at the end of the test. What a test that failed left running is ended.
func closing(tb testing.TB, d *native.Driver) *native.Driver {
	tb.Helper()
	tb.Cleanup(func() {
		if tb.Failed() {
			_ = d.Sweep(context.Background(), nil)
		}
		if err := d.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return d
}

func start(tb testing.TB, d *native.Driver, spec driver.Spec) driver.Instance {
	tb.Helper()
	i, err := d.Start(tb.Context(), spec)
	if err != nil {
		tb.Fatalf("start: %v", err)
	}
	return i
}

// empty checks that nothing is left of any start in the folders of the host, once the domains are undefined: until then each keeps
// the host ids that it was allotted.
func (h *host) empty(tb testing.TB) {
	tb.Helper()
	if err := native.Undefine(h.options.Pool); err != nil {
		tb.Error(err)
	}
	h.claims(tb, 0)
	if left, _ := filepath.Glob(filepath.Join(h.options.StateDir, "*")); len(left) > 0 {
		tb.Errorf("state is left: %q", left)
	}
}

// claims checks how many domains have host ids.
func (h *host) claims(tb testing.TB, want int) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(h.options.Pool.Dir, "ranges.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		tb.Error(err)
	}
	if n := strings.Count(string(text), `"uuid"`); n != want {
		tb.Errorf("%d claims of host ids, want %d", n, want)
	}
}

// events collects events to the last.
func events(tb testing.TB, i driver.Instance) []driver.Event {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(time.Minute))
	defer cancel()
	ch, err := i.Events(ctx, 0)
	if err != nil {
		tb.Fatalf("events: %v", err)
	}
	var all []driver.Event
	for ev := range ch {
		all = append(all, ev)
	}
	if len(all) == 0 {
		tb.Fatal("no events")
	}
	if _, ok := all[len(all)-1].Kind.(driver.Stopped); !ok {
		tb.Fatalf("the last of %+v is not Stopped", all)
	}
	return all
}

// Whichever step fails, the error names it and nothing is left.
func TestEachStepFails(t *testing.T) {
	h := newHost(t, "fa000001")
	d := closing(t, h.open(t))
	for _, step := range native.Steps {
		d.OnStep(func(operation string) error {
			if operation == step {
				return unix.EIO
			}
			return nil
		})
		spec := h.spec(idle, keptOverlay(t.TempDir()))
		_, err := d.Start(t.Context(), spec)
		var e *domain.Error
		if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_START_FAILED ||
			e.Detail["operation"] != step || e.Detail["errno"] != "EIO" {
			t.Errorf("start that fails at %q: %v", step, err)
		}
		h.claims(t, 0)
		h.empty(t)
		if left, _ := filepath.Glob(filepath.Join(h.options.UpperDir, "*")); len(left) > 0 {
			t.Errorf("start that fails at %q leaves %q", step, left)
		}
	}
	d.OnStep(nil)
	kill(t, start(t, d, h.spec(idle)))
}

// keptOverlay adds a filesystem whose changes are kept.
func keptOverlay(lower string) func(*davitv1.Domain) {
	return func(def *davitv1.Domain) {
		def.Devices.Filesystem = append(def.Devices.Filesystem, &davitv1.Filesystem{
			Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: lower, TargetDir: "/srv",
			OverlayUpper: davitv1.OverlayUpper_OVERLAY_UPPER_KEEP,
		})
	}
}

// Whichever operation of the plan fails, on the host's side or the guest's, the error names it and nothing is left.
func TestEachOperationFails(t *testing.T) {
	h := newHost(t, "fa000002")
	d := closing(t, h.open(t))
	outside := &monitorv1.Operation{Step: &monitorv1.Operation_Bind{
		Bind: &monitorv1.Bind{Source: "/nonexistent", Target: "/mnt"},
	}}
	inside := &monitorv1.Operation{Step: &monitorv1.Operation_InnerBind{
		InnerBind: &monitorv1.InnerBind{Source: "/nonexistent", Target: "/mnt"},
	}}
	for _, broken := range []*monitorv1.Operation{outside, inside} {
		for at, last := 1, 2; at < last; at++ {
			d.PlanHook(func(p *monitorv1.Plan) {
				last = len(p.GetOperations())
				ops := append([]*monitorv1.Operation(nil), p.GetOperations()[:at]...)
				p.Operations = append(append(ops, broken), p.GetOperations()[at:]...)
			})
			_, err := d.Start(t.Context(), h.spec(idle))
			var e *domain.Error
			if !errors.As(err, &e) || e.Detail["step"] != strconv.Itoa(at+1) || e.Detail["errno"] != "ENOENT" {
				t.Errorf("start that fails at operation %d: %v", at+1, err)
			}
			h.empty(t)
		}
	}
}

// monitorPID asks the monitor of a domain for its process id.
func (h *host) monitorPID(tb testing.TB, uuid string) int {
	tb.Helper()
	folder, err := os.Open(filepath.Join(h.options.StateDir, uuid))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	m, err := client.Dial(tb.Context(), folder)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	return int(m.Hello().GetPid())
}

// keeperPID asks the keeper.
func (h *host) keeperPID(tb testing.TB) int {
	tb.Helper()
	folder, err := os.Open(h.options.RunDir)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	k, err := client.DialKeeper(tb.Context(), folder)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	return int(k.Hello().GetPid())
}

// slay kills a process of ours and waits until it is dead.
func slay(tb testing.TB, pid int) {
	tb.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		tb.Fatal(err)
	}
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10000); err != nil {
		tb.Fatal(err)
	}
}

// lost checks what is told of a domain whose monitor was killed: that init was ended by us, exactly how, and why.
func lost(tb testing.TB, i driver.Instance) {
	tb.Helper()
	all := events(tb, i)
	stopped, _ := all[len(all)-1].Kind.(driver.Stopped)
	var e *domain.Error
	if !errors.As(stopped.Err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST {
		tb.Errorf("stopped: %v, want MONITOR_LOST", stopped.Err)
	}
	x, ok := all[len(all)-2].Kind.(driver.Exited)
	if !ok || x.Cause != driver.CauseLost || x.Exit.GetSignal() != uint32(syscall.SIGKILL) || x.Restart {
		tb.Errorf("exited %+v, want signal 9, cause lost, no restart", all[len(all)-2])
	}
	if st, err := i.Status(tb.Context()); err != nil || st.Running {
		tb.Errorf("status %+v, %v, want it stopped", st, err)
	}
	if err := i.Release(tb.Context()); err != nil {
		tb.Errorf("release: %v", err)
	}
}

// Without a keeper the domains run on, are told about exactly, and others start.
func TestKeeperKilled(t *testing.T) {
	h := newHost(t, "fa000006")
	d := closing(t, h.open(t))
	first := start(t, d, h.spec(idle))
	slay(t, h.keeperPID(t))
	second := start(t, d, h.spec(idle))
	for _, i := range []driver.Instance{first, second} {
		shutdown(t, i)
		all := events(t, i)
		if x, ok := all[1].Kind.(driver.Exited); !ok || x.Exit.GetCode() != 3 || x.Cause != driver.CausePoweroff {
			t.Errorf("exited %+v, want code 3", all[1])
		}
		if err := i.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	h.empty(t)
}

// The end of a domain needs no keeper.
func TestKeeperKilledBeforeTheEnd(t *testing.T) {
	h := newHost(t, "fa00000b")
	d := closing(t, h.open(t))
	i := start(t, d, h.spec(idle))
	slay(t, h.keeperPID(t))
	if err := i.Kill(t.Context()); err != nil {
		t.Fatalf("kill: %v", err)
	}
	if err := i.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	h.empty(t)
	second := start(t, d, h.spec(idle))
	if err := errors.Join(second.Kill(t.Context()), second.Release(t.Context())); err != nil {
		t.Errorf("end of a domain of the next keeper: %v", err)
	}
	h.empty(t)
}

// shutdown asks until the shell has its traps.
func shutdown(tb testing.TB, i driver.Instance) {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; {
		err := i.Shutdown(tb.Context(), 0, false)
		if err == nil {
			return
		}
		if !errors.Is(err, domain.ErrFailedPrecondition) || time.Now().After(end) {
			tb.Fatalf("shutdown: %v", err)
		}
	}
}

// A container that forks without end is ended within two seconds.
func TestForkBomb(t *testing.T) {
	h := newHost(t, "fa000007")
	d := closing(t, h.open(t))
	testenv.Within(t, 2*time.Second, func() time.Duration {
		i := start(t, d, h.spec("/guest/bomb & sleep infinity", func(def *davitv1.Domain) { def.PidsLimit = 256 }))
		for {
			st, err := i.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if st.GetPids() > 200 || st.GetPids() == 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		begun := time.Now()
		kill(t, i)
		return time.Since(begun)
	})
	h.empty(t)
}

// Two davitds share a host and its ids; the sweep of one does not touch the other's.
func TestTwoInstances(t *testing.T) {
	one, two := newHost(t, "fa000008"), newHost(t, "fa000009")
	two.options.Pool.Dir = one.options.Pool.Dir
	d1, d2 := closing(t, one.open(t)), closing(t, two.open(t))
	i1, i2 := start(t, d1, one.spec(idle)), start(t, d2, two.spec(idle))
	if err := d1.Sweep(t.Context(), []driver.Ref{i1.Ref()}); err != nil {
		t.Error(err)
	}
	if err := d2.Sweep(t.Context(), []driver.Ref{i2.Ref()}); err != nil {
		t.Error(err)
	}
	for _, i := range []driver.Instance{i1, i2} {
		if st, err := i.Status(t.Context()); err != nil || !st.Running {
			t.Errorf("status %+v, %v, want it running", st, err)
		}
	}
	one.claims(t, 2)
	kill(t, i1)
	kill(t, i2)
	one.empty(t)
}

// A domain whose monitor hangs can be ended.
func TestMonitorHangs(t *testing.T) {
	h := newHost(t, "fa00000c")
	for _, away := range []bool{false, true} {
		d := h.open(t)
		spec := h.spec(idle)
		i := start(t, d, spec)
		monitor := h.monitorPID(t, spec.UUID)
		if away {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = h.open(t)
			var err error
			if i, err = d.Recover(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Kill(monitor, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := i.Kill(t.Context()); err != nil {
			t.Errorf("kill: %v", err)
		}
		lost(t, i)
		h.empty(t)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
