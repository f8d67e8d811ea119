package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A domain's life: it is made, says something, is seen to run, ends, is told of, and the monitor goes when it is told to.
func TestLife(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	if hello := d.Hello(); hello.GetUuid() != uuid || hello.GetGeneration() != generation || int(hello.GetPid()) != d.pid {
		t.Errorf("the monitor says it is %v", hello)
	}
	if state, pidfd, err := d.State(h.ctx); err != nil || state.GetPhase() != monitorv1.Phase_PHASE_NEW || pidfd != nil {
		t.Errorf("before the start: %v, %v, %v", state, pidfd, err)
	}
	watch := d.events(0)
	started := d.start("echo hello; read line; echo got $line; exit 3", nil)
	if started.PID <= 0 || started.Duration <= 0 {
		t.Errorf("started: %+v", started)
	}
	if got := d.next(watch); got != "1 started" {
		t.Errorf("event %q", got)
	}
	stream := d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST})
	if stream.Opened().GetName() != "console0" {
		t.Errorf("opened %v", stream.Opened())
	}
	readUntil(t, stream, "hello\r\n")
	state, pidfd, err := d.State(h.ctx)
	if err != nil || state.GetPhase() != monitorv1.Phase_PHASE_RUNNING || int(state.GetPid()) != started.PID || pidfd == nil {
		t.Errorf("while it runs: %v, %v, %v", state, pidfd, err)
	}
	_ = pidfd.Close()
	if err = d.Quit(h.ctx, false); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("quitting while it runs: %v, want state", err)
	}
	if err = stream.Send([]byte("you\n")); err != nil {
		t.Fatal(err)
	}
	if got := finish(stream); !strings.HasSuffix(got.stdout, "got you\r\n") || got.err != nil || got.taken {
		t.Errorf("console ended with %+v", got)
	}
	if got := d.next(watch); got != "2 exited code 3 poweroff destroy 0s" {
		t.Errorf("event %q", got)
	}
	if err = watch.Acknowledge(2); err != nil {
		t.Fatal(err)
	}
	await(t, "acknowledgement", func() bool {
		state, _, err = d.State(h.ctx)
		return err == nil && state.GetAcknowledged() == 2
	})
	if state.GetPhase() != monitorv1.Phase_PHASE_ENDED || sayExit(state.GetExit()) != "code 3" || state.GetPid() != 0 {
		t.Errorf("at the end: %v", state)
	}
	_, err = d.Start(h.ctx, shell("exit 0", nil), client.Cgroups{}, client.Logs{})
	if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("starting again: %v, want state", err)
	}
	if err := d.Quit(h.ctx, false); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Next(h.ctx); !errors.Is(err, io.EOF) {
		t.Errorf("watch ended with %v, want EOF", err)
	}
	waitDead(t, d.pidfd)
	if entries, err := os.ReadDir(d.folder.Name()); err != nil || len(entries) != 0 {
		t.Errorf("left in the state folder: %v, %v", entries, err)
	}
}

// What happened while davitd was away is told when it is back, exactly.
func TestAway(t *testing.T) {
	h := newHouse(t, self(t))
	for script, want := range map[string]string{
		"read x; exit 0":         "2 exited code 0 poweroff destroy 0s",
		"read x; exit 42":        "2 exited code 42 poweroff destroy 0s",
		"read x; kill -KILL $$":  "2 exited signal 9 crash destroy 0s",
		"read x; kill -SEGV $$":  "2 exited signal 11 crash destroy 0s",
		"read x; kill -INT $$; ": "2 exited signal 2 poweroff destroy 0s",
	} {
		d := h.spawn(t, uuid)
		started := d.start(script, nil)
		stream := d.console(&monitorv1.OpenConsole{})
		if err := stream.Send([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		_, _ = stream.Close(), d.Close()
		waitDead(t, started.Pidfd)
		var err error
		if d.Monitor, err = client.Dial(h.ctx, d.folder); err != nil {
			t.Fatal(err)
		}
		watch := d.events(0)
		if got := []string{d.next(watch), d.next(watch)}; got[0] != "1 started" || got[1] != want {
			t.Errorf("%q: events %q, want the last to be %q", script, got, want)
		}
		d.end()
	}
}

// The policy is the monitor's to apply: a container that reboots is there again, with its console.
func TestRestart(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	stream := make(chan outcome, 1)
	d.start("echo up; read line; kill -HUP $$", &monitorv1.Policy{OnReboot: monitorv1.Action_ACTION_RESTART})
	watch := d.events(1)
	console := d.console(&monitorv1.OpenConsole{
		Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST, Follow: true, ReadOnly: true,
	})
	go func() { stream <- finish(console) }()
	for i := range 3 {
		writer := d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST})
		if err := writer.Send([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		finish(writer)
		exited, restarted := d.next(watch), d.next(watch)
		if !strings.Contains(exited, "exited signal 1 reboot restart") || !strings.HasSuffix(restarted, fmt.Sprint("restarted ", i+1)) {
			t.Errorf("events %q and %q", exited, restarted)
		}
	}
	if state, pidfd, err := d.State(h.ctx); err != nil || state.GetRestarts() != 3 {
		t.Errorf("state %v, %v", state, err)
	} else {
		_ = pidfd.Close()
	}
	if err := d.Disarm(h.ctx); err != nil {
		t.Fatal(err)
	}
	last := d.console(&monitorv1.OpenConsole{})
	if err := last.Send([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if got := d.next(watch); !strings.Contains(got, "exited signal 1 reboot destroy") {
		t.Errorf("event %q", got)
	}
	if got := <-stream; strings.Count(got.stdout, "up") != 4 || got.err != nil {
		t.Errorf("who followed the console saw %+v", got)
	}
	if err := d.Signal(h.ctx, syscall.SIGTERM); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("signal to nobody: %v, want state", err)
	}
}

// A start that fails says why and is the end; the monitor can be told to quit.
func TestStartFails(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	plan := shell("exit 0", nil)
	plan.Init.Argv = []string{"/no/such/program"}
	if _, err := d.Start(h.ctx, plan, client.Cgroups{}, client.Logs{}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("start: %v, want ENOENT", err)
	}
	if state, _, err := d.State(h.ctx); err != nil || state.GetPhase() != monitorv1.Phase_PHASE_ENDED {
		t.Errorf("state %v, %v", state, err)
	}
	if err := d.Quit(h.ctx, false); err != nil {
		t.Error(err)
	}
}

// A domain has one watch: a second ends the first, and acknowledging what did not happen ends it too.
func TestOneWatch(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	d.start("read x", nil)
	first, second := d.events(0), d.events(0)
	if got := d.next(second); got != "1 started" {
		t.Errorf("event %q", got)
	}
	for {
		if _, err := first.Next(h.ctx); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("first watch ended with %v, want EOF", err)
			}
			break
		}
	}
	if err := second.Acknowledge(2); err != nil {
		t.Fatal(err)
	}
	if event, err := second.Next(h.ctx); err == nil {
		t.Errorf("watch goes on with %v", event)
	}
	ctx, cancel := context.WithTimeout(h.ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := d.events(1).Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("next of a context that ended: %v", err)
	}
}

// Signals do not end a monitor, and nothing that comes on its socket does.
func TestUnmoved(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	d.start("read x", nil)
	for _, signal := range []syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGQUIT, syscall.SIGUSR1,
	} {
		if err := syscall.Kill(d.pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := wire.Dial(d.folder, client.MonitorSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Greet(&monitorv1.Hello{}); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(testenv.Scale(patience))); err != nil {
		t.Fatal(err)
	}
	log := monitorv1.DescriptorKind_DESCRIPTOR_KIND_LOG
	for name, test := range map[string]struct {
		request *monitorv1.MonitorRequest
		files   []*os.File
	}{
		"nothing":     {&monitorv1.MonitorRequest{}, nil},
		"descriptors": {&monitorv1.MonitorRequest{Descriptors: []monitorv1.DescriptorKind{log}}, []*os.File{h.log}},
		"no plan":     {&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Start{}}, nil},
		"no signal":   {&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Signal{}}, nil},
		"runlevel 9": {&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Initctl{
			Initctl: &monitorv1.Initctl{Runlevel: 9},
		}}, nil},
	} {
		if err := conn.Send(test.request, test.files...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		response := new(monitorv1.MonitorResponse)
		if _, err := conn.Receive(response); err != nil || response.GetError() == nil {
			t.Errorf("%s: answered %v, %v, want an error", name, response, err)
		}
	}
	for name, open := range map[string]*monitorv1.OpenConsole{"no such console": {Alias: "console9"}} {
		if _, err := d.OpenConsole(h.ctx, open); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND {
			t.Errorf("%s: %v, want not found", name, err)
		}
	}
	if state, pidfd, err := d.State(h.ctx); err != nil || state.GetPhase() != monitorv1.Phase_PHASE_RUNNING {
		t.Errorf("state %v, %v", state, err)
	} else {
		_ = pidfd.Close()
	}
}

// A console is taken by force; who had it is told.
func TestTaken(t *testing.T) {
	h := newHouse(t, self(t))
	d := h.spawn(t, uuid)
	d.start("read x; echo read $x; read y", nil)
	first := d.console(&monitorv1.OpenConsole{})
	if _, err := d.OpenConsole(h.ctx, &monitorv1.OpenConsole{}); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_BUSY {
		t.Errorf("second writer: %v, want busy", err)
	}
	second := d.console(&monitorv1.OpenConsole{Force: true})
	if got := finish(first); !got.taken || got.err != nil {
		t.Errorf("first writer saw %+v, want taken", got)
	}
	if err := second.Send([]byte("mine\n")); err != nil {
		t.Fatal(err)
	}
	readUntil(t, second, "read mine\r\n")
	if err := second.Resize(70000&0xffff, 80); err != nil {
		t.Error(err)
	}
	reader := d.console(&monitorv1.OpenConsole{ReadOnly: true})
	if err := reader.Send([]byte("x")); err != nil {
		t.Error(err)
	}
	if got := finish(reader); wire.KindOf(got.err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
		t.Errorf("a reader that wrote saw %+v, want invalid", got)
	}
}

// Whoever reads a console or a command hears of its end also from a monitor that ends the container and quits.
func TestStreamsEndBeforeTheMonitorQuits(t *testing.T) {
	for round := range 20 {
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			h := newHouse(t, self(t))
			d := h.spawn(t, uuid)
			d.start("echo hello; read line", nil)
			console := d.console(&monitorv1.OpenConsole{Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST})
			readUntil(t, console, "hello\r\n")
			if err := d.Quit(h.ctx, true); err != nil {
				t.Fatal(err)
			}
			if got := finish(console); got.err != nil {
				t.Fatalf("the console ended with %+v", got)
			}
		})
	}
}
