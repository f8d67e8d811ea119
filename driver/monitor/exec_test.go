package monitor_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/session"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// running is a domain whose init waits.
func running(tb testing.TB) *domain {
	tb.Helper()
	h := newHouse(tb, self(tb))
	d := h.spawn(tb, uuid)
	d.start("read x", nil)
	return d
}

// A command's output comes on two streams, its exit is exact, and the end comes last.
func TestExec(t *testing.T) {
	d := running(t)
	for script, want := range map[string]outcome{
		"echo out; echo err >&2; exit 3": {stdout: "out\n", stderr: "err\n", exit: "code 3"},
		"exit 0":                         {exit: "code 0"},
		"exit 255":                       {exit: "code 255"},
		"kill -TERM $$":                  {exit: "signal 15"},
		"kill -KILL $$":                  {exit: "signal 9"},
		"cat":                            {exit: "code 0"}, // there is no input, and it is at its end at once
	} {
		stream := d.exec(&monitorv1.Exec{Id: "x"}, "/bin/sh", "-c", script)
		if pid := stream.Opened().GetPid(); pid == 0 || stream.Opened().GetName() != "x" {
			t.Errorf("%q: opened %v", script, stream.Opened())
		}
		if got := finish(stream); got != want {
			t.Errorf("%q: %+v, want %+v", script, got, want)
		}
	}
	if _, err := d.Exec(d.house.ctx, &monitorv1.Exec{
		Id: "x", Process: &monitorv1.Process{Argv: []string{"/no/such"}},
	}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no such program: %v", err)
	}
	for name, exec := range map[string]*monitorv1.Exec{
		"no name":    {Process: &monitorv1.Process{Argv: []string{"true"}}},
		"no command": {Id: "x", Process: &monitorv1.Process{}},
		"too large":  {Id: "x", Process: &monitorv1.Process{Argv: []string{"true"}}, Tty: true, Rows: 65536},
	} {
		if _, err := d.Exec(d.house.ctx, exec); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

// A command beside init has what init has, and its own variables in the place of those of the same name.
func TestExecBeside(t *testing.T) {
	d := nativeHouse(t).spawn(t, uuid)
	plan := guestPlan(newRoot(t), nil, "/bin/guest", "pause")
	plan.Init.Env = []string{"PATH=/bin", "A=init", "B=init"}
	plan.Init.Capabilities, plan.Init.NoNewPrivs = 1<<unix.CAP_KILL, true
	started, err := d.Start(d.house.ctx, plan, client.Cgroups{}, client.Logs{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = started.Pidfd.Close() }()
	words := []string{"/bin/guest", "env", "--", "id", "--", "cwd", "--", "status", "NoNewPrivs", "CapBnd"}
	got := finish(d.exec(&monitorv1.Exec{Id: "x", Beside: true, Process: &monitorv1.Process{
		Argv: words, Env: []string{"B=own", "C=own"}, Cwd: "/bin", User: "+7", Group: "+8", Console: 1,
	}}))
	for _, want := range []string{
		"env PATH=/bin\nenv A=init\nenv B=own\nenv C=own\n", "cwd /bin\n", "CapBnd 0000000000000020\n", "NoNewPrivs 1\n",
	} {
		if !strings.Contains(got.stdout, want) || got.err != nil || got.exit != "code 0" {
			t.Errorf("it says %+v, not %q", got, want)
		}
	}
}

// A connection serves requests again when the command that it was a stream of has ended, whatever was sent to that meanwhile.
func TestExecAgain(t *testing.T) {
	d := running(t)
	for i := range 20 {
		stream := d.exec(&monitorv1.Exec{Id: "x", Stdin: true}, "/bin/sh", "-c", "echo out; exit 3")
		if got := finish(stream); got.stdout != "out\n" || got.exit != "code 3" || got.err != nil {
			t.Fatalf("%d: %+v", i, got)
		}
		if err := stream.Resize(1, 1); err != nil { // it is refused while the command runs
			t.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("send after the end: %v, want closed", err)
		}
		state, pidfd, err := d.State(d.house.ctx)
		if err != nil || state.GetPhase() != monitorv1.Phase_PHASE_RUNNING {
			t.Fatalf("%d: %v, %v", i, state, err)
		}
		_ = pidfd.Close()
	}
	sockets := 0
	for _, what := range descriptorsOf(t, d.pid) {
		if strings.HasPrefix(what, "socket:") {
			sockets++
		}
	}
	if sockets > 10 {
		t.Errorf("the monitor has %d sockets", sockets)
	}
}

// Standard input arrives, whatever its size, and ends when it is ended; a command that does not read it does not mind.
func TestExecInput(t *testing.T) {
	d := running(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	stream := d.exec(&monitorv1.Exec{Id: "x", Stdin: true}, "/bin/sh", "-c", "cat")
	go func() {
		if err := stream.Send(data); err != nil {
			t.Error(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	}()
	if got := finish(stream); got.stdout != string(data) || got.exit != "code 0" || got.err != nil {
		t.Errorf("%d bytes of %d came back, %q, %v", len(got.stdout), len(data), got.exit, got.err)
	}
	stream = d.exec(&monitorv1.Exec{Id: "y", Stdin: true}, "/bin/sh", "-c", "exec <&-; read x; exit 4")
	_ = stream.Send(data)
	if got := finish(stream); got.exit != "code 4" {
		t.Errorf("who reads nothing ended with %+v", got)
	}
}

// With a terminal there is one stream, of the size that was asked for, which can change; the end of input is a character.
func TestExecTerminal(t *testing.T) {
	d := running(t)
	stream := d.exec(&monitorv1.Exec{Id: "x", Tty: true, Rows: 33, Columns: 101},
		"/bin/sh", "-c", "stty size; read x; stty size; test -t 0 && test -t 1 && test -t 2 && cat; exit 6")
	readUntil(t, stream, "33 101\r\n")
	if err := stream.Resize(44, 99); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	readUntil(t, stream, "44 99\r\n")
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if got := finish(stream); got.exit != "code 6" || got.stderr != "" {
		t.Errorf("ended with %+v", got)
	}
}

// A signal goes to the command.
func TestExecSignal(t *testing.T) {
	d := running(t)
	stream := d.exec(&monitorv1.Exec{Id: "x"}, "/bin/sh", "-c", "trap 'echo usr1; exit 8' USR1; echo up; while :; do sleep 0.01; done")
	readUntil(t, stream, "up\n")
	if err := stream.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if got := finish(stream); got.stdout != "usr1\n" || got.exit != "code 8" {
		t.Errorf("ended with %+v", got)
	}
	stream = d.exec(&monitorv1.Exec{Id: "y"}, "/bin/sh", "-c", "sleep 60")
	if err := stream.Signal(99); err != nil {
		t.Fatal(err)
	}
	if got := finish(stream); wire.KindOf(got.err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
		t.Errorf("signal 99: %+v, want invalid", got)
	}
}

// A session that was made to stay runs on without a caller; whoever attaches reads the last of its output, and how it
// ended, once and again.
func TestDetach(t *testing.T) {
	d := running(t)
	stream := d.exec(&monitorv1.Exec{Id: "x", Detach: true, Stdin: true}, "/bin/sh", "-c",
		"echo up; read x; i=0; while test $i -lt 20000; do echo line $i; i=$((i+1)); done; exit 7")
	readUntil(t, stream, "up\n")
	if _, err := d.Exec(d.house.ctx, &monitorv1.Exec{Id: "x"}); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_BUSY {
		t.Errorf("attach while another is: %v, want busy", err)
	}
	if _, err := d.Exec(d.house.ctx, &monitorv1.Exec{
		Id: "x", Process: &monitorv1.Process{Argv: []string{"true"}},
	}); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_BUSY {
		t.Errorf("second session of a name: %v, want busy", err)
	}
	if err := stream.Send([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	_ = stream.Close()
	attach := func() *client.Stream {
		var again *client.Stream
		await(t, "attach", func() (ok bool) { // the monitor learns in its own time that the other is gone
			var err error
			again, err = d.Exec(d.house.ctx, &monitorv1.Exec{Id: "x"})
			return err == nil
		})
		return again
	}
	for range 2 {
		again := attach()
		offset := again.Opened().GetOffset()
		got := finish(again)
		if got.exit != "code 7" || !strings.HasSuffix(got.stdout, "line 19998\nline 19999\n") || got.err != nil {
			t.Errorf("attached: %q, %v, and %d bytes that end with %q", got.exit, got.err, len(got.stdout), tail(got.stdout))
		}
		if offset == 0 && len(got.stdout) < session.Kept/2 {
			t.Errorf("%d bytes were kept from the beginning on", len(got.stdout))
		}
		_ = again.Close()
	}
	if _, err := d.Exec(d.house.ctx, &monitorv1.Exec{Id: "z"}); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND {
		t.Errorf("attach to nothing: %v, want not found", err)
	}
}

func tail(s string) string { return s[max(0, len(s)-40):] }

// A session that was not made to stay ends with its caller: killed without a terminal, hung up with one.
func TestCallerGone(t *testing.T) {
	d := running(t)
	for _, tty := range []bool{false, true} {
		// The command tells a second one how it ended, through its exit.
		stream := d.exec(&monitorv1.Exec{Id: "x", Tty: tty}, "/bin/sh", "-c", "echo up; exec sleep 100")
		readUntil(t, stream, "p\n"[:0]+map[bool]string{false: "up\n", true: "up\r\n"}[tty])
		pid := int(stream.Opened().GetPid())
		_ = stream.Close()
		await(t, "the command ends", func() bool { return syscall.Kill(pid, 0) != nil })
	}
}

// A caller that goes away while the command does not read its input is noticed all the same.
func TestCallerGoneWhileInputWaits(t *testing.T) {
	d := running(t)
	stream := d.exec(&monitorv1.Exec{Id: "x", Stdin: true}, "/bin/sh", "-c", "exec sleep 100")
	sent := make(chan error, 1)
	go func() { sent <- stream.Send(make([]byte, 8<<20)) }()
	time.Sleep(50 * time.Millisecond) // so that it is likely to wait; the law holds either way
	pid := int(stream.Opened().GetPid())
	_ = stream.Close()
	if err := <-sent; err == nil {
		t.Error("all of it was sent to a command that reads nothing")
	}
	await(t, "the command ends", func() bool { return syscall.Kill(pid, 0) != nil })
}

// A caller that does not read makes the command wait, and loses nothing.
func TestBackPressure(t *testing.T) {
	d := running(t)
	stream := d.exec(&monitorv1.Exec{Id: "x"}, "/bin/sh", "-c",
		"head -c 8388608 /dev/zero; echo wrote >&2; exit 0")
	time.Sleep(100 * time.Millisecond) // the command would be done if it did not wait
	got := finish(stream)
	if len(got.stdout) != 8<<20 || got.stderr != "wrote\n" || got.exit != "code 0" {
		t.Errorf("%d bytes, %q, %q", len(got.stdout), got.stderr, got.exit)
	}
}

// What a command leaves running with its output open does not hold up the end, and does not die of it.
func TestLeftBehind(t *testing.T) {
	d := running(t)
	file := d.folder.Name() + "/survived"
	// It waits for what follows the command's end, and says something all the same in a minute.
	got := finish(d.exec(&monitorv1.Exec{Id: "x"}, "/bin/sh", "-c",
		fmt.Sprintf("(for i in $(seq 600); do [ -e %[1]s.now ] && break; sleep .1; done; echo late; echo late; touch %[1]s) & echo now; exit 2", file)))
	if got.stdout != "now\n" || got.exit != "code 2" {
		t.Errorf("ended with %+v", got)
	}
	if err := os.WriteFile(file+".now", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "what was left behind goes on", func() bool { return exists(file) })
}

func exists(path string) bool { return syscall.Access(path, 0) == nil }

// 64 commands at once each end with their own code.
func TestManyExecs(t *testing.T) {
	d := running(t)
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			stream, err := d.Exec(d.house.ctx, &monitorv1.Exec{
				Id: fmt.Sprint(i), Stdin: true,
				Process: &monitorv1.Process{Argv: []string{"/bin/sh", "-c", fmt.Sprintf("read x; echo $x; exit %d", i)}},
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = stream.Close() }()
			if err := stream.Send(fmt.Appendln(nil, "word", i)); err != nil {
				t.Error(err)
			}
			want := outcome{stdout: fmt.Sprintln("word", i), exit: fmt.Sprint("code ", i)}
			if got := finish(stream); got != want {
				t.Errorf("command %d: %+v, want %+v", i, got, want)
			}
		})
	}
	group.Wait()
}

// There is a limit to sessions, and those that have ended make room.
func TestSessionLimit(t *testing.T) {
	d := running(t)
	var streams []*client.Stream
	for i := range session.Limit {
		streams = append(streams, d.exec(&monitorv1.Exec{Id: fmt.Sprint(i), Detach: true, Stdin: true}, "/bin/cat"))
	}
	more := &monitorv1.Exec{Id: "more", Process: &monitorv1.Process{Argv: []string{"/bin/cat"}}}
	if _, err := d.Exec(d.house.ctx, more); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_EXHAUSTED {
		t.Errorf("one more: %v, want exhausted", err)
	}
	if err := streams[0].CloseSend(); err != nil {
		t.Fatal(err)
	}
	if got := finish(streams[0]); got.exit != "code 0" {
		t.Errorf("ended with %+v", got)
	}
	if got := finish(d.exec(&monitorv1.Exec{Id: "more"}, "/bin/cat")); got.exit != "code 0" {
		t.Errorf("one more after one ended: %+v", got)
	}
	for _, stream := range streams[1:] {
		if err := stream.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		finish(stream)
	}
}
