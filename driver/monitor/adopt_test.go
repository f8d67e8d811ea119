package monitor_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// orphan kills the monitor of a domain and waits until the keeper has buried it.
func (d *domain) orphan() {
	d.t.Helper()
	kill(d.t, d.pidfd)
	_ = d.pidfd.Close()
	d.house.awaitMonitors(d.t, func(uuids []string) bool { return len(uuids) == 0 })
}

// adopt has another monitor take over.
func (d *domain) adopt(plan *monitorv1.Plan, logs client.Logs, known *client.Deposit) error {
	d.t.Helper()
	spawned, err := d.house.keeper.Spawn(d.house.ctx, client.Spawn{
		UUID: d.uuid, Generation: generation, Program: d.house.program, Folder: d.folder, Log: d.house.log,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.pid, d.pidfd = spawned.PID, spawned.Pidfd
	if err = d.Renew(d.house.ctx, d.folder); err != nil {
		d.t.Fatal(err)
	}
	return d.Adopt(d.house.ctx, plan, client.Cgroups{}, logs, known)
}

func (d *domain) mustAdopt(plan *monitorv1.Plan) {
	d.t.Helper()
	if err := d.adopt(plan, client.Logs{}, nil); err != nil {
		d.t.Fatalf("adopt: %v", err)
	}
}

// press types a line at a console.
func press(tb testing.TB, console *client.Stream) {
	tb.Helper()
	if err := console.Send([]byte("\n")); err != nil {
		tb.Fatal(err)
	}
}

// A monitor is killed twice: the init runs on, its console is where it was, with offsets that go on; commands run, and the end is told
// once, exactly.
func TestAdopt(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	const script = "stty -echo; echo zero; for i in one two three; do read x; echo $i; done; exit 5"
	started := d.start(script, nil)
	console := d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST})
	readUntil(t, console, "zero\r\n")
	offset := uint64(len("zero\r\n"))
	for _, word := range []string{"one\r\n", "two\r\n"} {
		d.orphan()
		if _, err := console.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the console of a monitor that was killed ends with %v", err)
		}
		d.mustAdopt(shell(script, nil))
		console = d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST})
		if got := console.Opened().GetOffset(); got != offset {
			t.Errorf("the console goes on at %d, want %d", got, offset)
		}
		press(t, console)
		readUntil(t, console, word)
		offset += uint64(len(word))
		state, pidfd, err := d.State(h.ctx)
		if err != nil || int(state.GetPid()) != started.PID || state.GetPhase() != monitorv1.Phase_PHASE_RUNNING || pidfd == nil {
			t.Fatalf("state is %v, %v", state, err)
		}
		_ = pidfd.Close()
		if got := finish(d.exec(&monitorv1.Exec{Id: strings.TrimSpace(word)}, "/bin/sh", "-c", "echo hello; exit 3")); got.stdout != "hello\n" || got.exit != "code 3" {
			t.Errorf("command: %+v", got)
		}
	}
	watch := d.events(0)
	press(t, console)
	for _, want := range []string{"1 started", "2 exited code 5 poweroff destroy 0s"} {
		if got := d.next(watch); got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	}
}

// Policy, restarts and the numbers of events go on; what nobody has acknowledged is told.
func TestAdoptRestarts(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	policy := &monitorv1.Policy{OnPoweroff: monitorv1.Action_ACTION_RESTART}
	const script = "stty -echo; echo up; read x; exit 4"
	d.start(script, policy)
	boot := func(follow *client.Stream) {
		t.Helper()
		readUntil(t, follow, "up\r\n")
		press(t, follow)
	}
	console := d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST, Follow: true})
	boot(console)
	readUntil(t, console, "up\r\n")
	watch := d.events(2)
	if got := d.next(watch); got != "3 restarted 1" {
		t.Errorf("event %q", got)
	}
	d.orphan()
	d.mustAdopt(shell(script, policy))
	console = d.console(&monitorv1.OpenConsole{Follow: true})
	press(t, console)
	readUntil(t, console, "up\r\n")
	watch = d.events(0)
	for _, want := range []string{
		"1 started", "2 exited code 4 poweroff restart 0s", "3 restarted 1", "4 exited code 4 poweroff restart 0s", "5 restarted 2",
	} {
		if got := d.next(watch); got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	}
	if err := watch.Acknowledge(5); err != nil {
		t.Fatal(err)
	}
	await(t, "events are acknowledged", func() bool {
		state, pidfd, err := d.State(h.ctx)
		if pidfd != nil {
			_ = pidfd.Close()
		}
		return err == nil && state.GetAcknowledged() == 5
	})
	if err := d.Disarm(h.ctx); err != nil {
		t.Fatal(err)
	}
	press(t, console)
	if got := d.next(watch); got != "6 exited code 4 poweroff destroy 0s" {
		t.Errorf("event %q", got)
	}
}

// An init that ends while it has no monitor is told by the one that adopts it, and started again if the policy says so.
func TestAdoptAfterTheEnd(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	policy := &monitorv1.Policy{OnCrash: monitorv1.Action_ACTION_RESTART}
	const script = "echo up; read x"
	started := d.start(script, policy)
	d.orphan()
	kill(t, started.Pidfd)
	d.mustAdopt(shell(script, policy))
	watch := d.events(1)
	for _, want := range []string{"2 exited signal 9 crash restart 0s", "3 restarted 1"} {
		if got := d.next(watch); got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	}
}

// What an init was asked to do is still known, however many monitors are killed: its reboot is the end that was asked for.
func TestAdoptKeepsTheIntent(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	policy := &monitorv1.Policy{OnReboot: monitorv1.Action_ACTION_RESTART}
	const script = "trap 'trap - HUP; kill -HUP $$' TERM; echo up; while :; do read x; done"
	started := d.start(script, policy)
	readUntil(t, d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST}), "up\r\n")
	if err := d.Intend(h.ctx, monitorv1.Intent_INTENT_POWEROFF, started.PID); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second is told by the first
		d.orphan()
		d.mustAdopt(shell(script, policy))
	}
	if err := d.Signal(h.ctx, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := d.next(d.events(1)); got != "2 exited signal 1 reboot destroy 0s" {
		t.Errorf("event %q", got)
	}
}

// A keeper that is killed after an adoption is replaced, and the exit is known as far as the kernel knows it.
func TestAdoptUnderAnotherKeeper(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	const script = "stty -echo; echo up; read x; exit 5"
	d.start(script, nil)
	d.orphan()
	d.mustAdopt(shell(script, nil))
	if err := syscall.Kill(int(h.keeper.Hello().GetPid()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.keeper.Gone(h.ctx)
	_ = h.keeper.Close()
	h.startKeeper(t)
	await(t, "the adopter registers again", func() bool {
		kept, err := h.keeper.Withdraw(h.ctx, uuid)
		if err != nil {
			return false
		}
		kept.Close()
		return true
	})
	press(t, d.console(&monitorv1.OpenConsole{}))
	got := d.next(d.events(1))
	if got != "2 exited code 5 poweroff destroy 0s" && got != "2 exited unknown unspecified destroy 0s" {
		t.Errorf("event %q", got)
	}
}

// Where nobody has kept anything, the init is adopted by what is known of it: it has no console until its next boot, and says so.
func TestAdoptWhatIsLost(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	policy := &monitorv1.Policy{OnCrash: monitorv1.Action_ACTION_RESTART}
	const script = "trap '' HUP; echo up; sleep 600 & wait"
	started := d.start(script, policy)
	readUntil(t, d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST}), "up\r\n")
	if err := h.keeper.Forget(h.ctx, uuid); err != nil {
		t.Fatal(err)
	}
	d.orphan()
	if err := d.adopt(shell(script, policy), client.Logs{}, nil); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND {
		t.Fatalf("adopted what nobody knows: %v, want not found", err)
	}
	known := &client.Deposit{InitPID: started.PID, Pidfd: started.Pidfd, Acknowledged: 1}
	if err := d.Adopt(h.ctx, shell(script, policy), client.Cgroups{}, client.Logs{}, known); err != nil {
		t.Fatal(err)
	}
	_, err := d.OpenConsole(h.ctx, &monitorv1.OpenConsole{})
	if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE || !strings.Contains(err.Error(), "lost") {
		t.Errorf("opened a console that was lost: %v", err)
	}
	if err := d.Signal(h.ctx, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	watch := d.events(1)
	for _, want := range []string{"2 exited signal 9 crash restart 0s", "3 restarted 1"} {
		if got := d.next(watch); got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	}
	readUntil(t, d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST}), "up\r\n")
}

// A monitor adopts once, and not what it has started itself.
func TestAdoptRefused(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	d.start("read x", nil)
	err := d.Adopt(context.Background(), shell("read x", nil), client.Cgroups{}, client.Logs{}, nil)
	if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("adopted what runs: %v, want state", err)
	}
}
