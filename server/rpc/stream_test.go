package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/rpc"
)

// console opens the console of web and reads the first answer.
func (d *daemon) console(ctx context.Context, open *davitv1.ConsoleOpen) davitv1.ConsoleService_OpenConsoleClient {
	d.t.Helper()
	open.Domain = byName("web")
	stream, err := d.consoles.OpenConsole(ctx)
	if err == nil {
		err = stream.Send(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Open{Open: open}})
	}
	if err != nil {
		d.t.Fatalf("open console: %v", err)
	}
	r, err := stream.Recv()
	if err != nil || r.GetOpened().GetDevice() != "console0" {
		d.t.Fatalf("open console: %v, %v", r, err)
	}
	return stream
}

func typing(text string) *davitv1.OpenConsoleRequest {
	return &davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Input{Input: []byte(text)}}
}

// read collects output until it holds a text; offsets must be without a gap.
func read(t *testing.T, stream davitv1.ConsoleService_OpenConsoleClient, until string) string {
	t.Helper()
	var got bytes.Buffer
	next := uint64(0)
	for !strings.Contains(got.String(), until) {
		r, err := stream.Recv()
		if err != nil {
			t.Fatalf("console ended after %q: %v", got.String(), err)
		}
		out := r.GetOutput()
		if out == nil {
			t.Fatalf("console: %v after %q", r, got.String())
		}
		if got.Len() > 0 && out.GetOffset() != next {
			t.Errorf("output at offset %d, want %d", out.GetOffset(), next)
		}
		if len(out.GetData()) > rpc.ChunkSize {
			t.Errorf("a message of %d bytes", len(out.GetData()))
		}
		got.Write(out.GetData())
		next = out.GetOffset() + uint64(len(out.GetData()))
	}
	return got.String()
}

func TestConsole(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.run("web", "echo ready; cat")
	first := d.console(t.Context(), &davitv1.ConsoleOpen{Start: &davitv1.ConsoleOpen_Scrollback{Scrollback: true}})
	read(t, first, "ready\r\n")
	if err := first.Send(typing("hello\n")); err != nil {
		t.Fatal(err)
	}
	read(t, first, "hello\r\n")
	if err := d.host.Write(uuidWeb, 0, bytes.Repeat([]byte("0123456789abcdef"), 3000)); err != nil {
		t.Fatal(err)
	}
	read(t, first, strings.Repeat("0123456789abcdef", 3000))
	resize := &davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Resize{Resize: &davitv1.TerminalSize{Rows: 50, Columns: 132}}}
	if err := first.Send(resize); err != nil {
		t.Fatal(err)
	}
	// Another takes it, and is told when the domain stops.
	second := d.console(t.Context(), &davitv1.ConsoleOpen{Force: true})
	if r, err := first.Recv(); r.GetClosed().GetReason() != davitv1.ConsoleCloseReason_CONSOLE_CLOSE_REASON_TAKEN {
		t.Errorf("taken: %v, %v", r, err)
	}
	if _, err := first.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last message: %v", err)
	}
	if _, err := d.domains.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: byName("web")}); err != nil {
		t.Fatal(err)
	}
	if r, err := second.Recv(); r.GetClosed().GetReason() != davitv1.ConsoleCloseReason_CONSOLE_CLOSE_REASON_STOPPED {
		t.Errorf("stopped: %v, %v", r, err)
	}
}

// What a caller of a console does wrong ends the call with the reason.
func TestConsoleRefuses(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.run("web", "cat")
	open := &davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Open{Open: &davitv1.ConsoleOpen{Domain: byName("web")}}}
	reading := &davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Open{Open: &davitv1.ConsoleOpen{Domain: byName("web"), ReadOnly: true}}}
	for name, test := range map[string]struct {
		say  []*davitv1.OpenConsoleRequest
		code codes.Code
	}{
		"nothing":           {nil, codes.InvalidArgument},
		"empty":             {[]*davitv1.OpenConsoleRequest{{}}, codes.InvalidArgument},
		"input before open": {[]*davitv1.OpenConsoleRequest{typing("x")}, codes.InvalidArgument},
		"open twice":        {[]*davitv1.OpenConsoleRequest{open, open}, codes.InvalidArgument},
		"empty later":       {[]*davitv1.OpenConsoleRequest{open, {}}, codes.InvalidArgument},
		"too much":          {[]*davitv1.OpenConsoleRequest{open, typing(strings.Repeat("x", rpc.ChunkSize+1))}, codes.InvalidArgument},
		"size 0": {[]*davitv1.OpenConsoleRequest{open, {
			Action: &davitv1.OpenConsoleRequest_Resize{Resize: &davitv1.TerminalSize{}},
		}}, codes.InvalidArgument},
		"read-only": {[]*davitv1.OpenConsoleRequest{reading, typing("x")}, codes.FailedPrecondition},
		"no console": {[]*davitv1.OpenConsoleRequest{{Action: &davitv1.OpenConsoleRequest_Open{
			Open: &davitv1.ConsoleOpen{Domain: byName("web"), Device: "console9"},
		}}}, codes.NotFound},
	} {
		stream, err := d.consoles.OpenConsole(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range test.say {
			if err = stream.Send(q); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		if len(test.say) == 0 {
			if err = stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
		}
		for err = nil; err == nil; {
			_, err = stream.Recv()
		}
		if status.Code(err) != test.code {
			t.Errorf("%s: %v, want %v", name, err, test.code)
		}
	}
}

// A client that vanishes in the middle of a console or a command, or stops reading, leaves nothing behind, and the
// domain does not notice.
func TestVanishingClients(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.run("web", "cat")
	d.console(t.Context(), &davitv1.ConsoleOpen{}) // the connection, and what it has once, is made
	base := settled(t, 0)
	for i := range 20 {
		ctx, vanish := context.WithCancel(t.Context())
		d.console(ctx, &davitv1.ConsoleOpen{Force: true})
		if err := d.host.Write(uuidWeb, 0, bytes.Repeat([]byte("x"), 60<<10)); err != nil { // nobody reads it
			t.Fatal(err)
		}
		exec, err := d.consoles.Exec(ctx)
		if err != nil {
			t.Fatal(err)
		}
		argv := [][]string{{"sleep", "infinity"}, {"cat"}}[i%2]
		if err := exec.Send(command(argv...)); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.Recv(); err != nil {
			t.Fatal(err)
		}
		vanish()
	}
	if got := settled(t, base); got > base {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", got, base, buf[:runtime.Stack(buf, true)])
	}
	r, err := d.domains.ListProcesses(t.Context(), &davitv1.ListProcessesRequest{Domain: byName("web")})
	if err != nil || len(r.GetProcesses()) != 1 {
		t.Errorf("processes: %v, %v: commands without a caller are left", r, err)
	}
	again := d.console(t.Context(), &davitv1.ConsoleOpen{})
	if err := again.Send(typing("alive\n")); err != nil {
		t.Fatal(err)
	}
	read(t, again, "alive")
}

// settled is the number of goroutines once it is as low as it was or, where that is not known, does not fall any more.
func settled(t *testing.T, base int) int {
	t.Helper()
	n, since := runtime.NumGoroutine(), time.Now()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && n > base && (base > 0 || time.Since(since) < time.Second); {
		time.Sleep(10 * time.Millisecond)
		if now := runtime.NumGoroutine(); now < n {
			n, since = now, time.Now()
		}
	}
	return n
}

func command(argv ...string) *davitv1.ExecRequest {
	return &davitv1.ExecRequest{Action: &davitv1.ExecRequest_Start{Start: &davitv1.ExecStart{
		Domain: byName("web"), Argv: argv, Stdin: true,
	}}}
}

// outcome is all that a command said.
type outcome struct {
	id             string
	stdout, stderr string
	exit           *davitv1.Exit
	closed         bool
}

// follow reads a command to its end.
func follow(t *testing.T, stream davitv1.ConsoleService_ExecClient) (o outcome, err error) {
	t.Helper()
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err != nil {
			return o, err
		}
		if o.closed {
			t.Errorf("%v after the last", r)
		}
		switch e := r.GetEvent().(type) {
		case *davitv1.ExecResponse_Started:
			o.id = e.Started.GetExecId()
		case *davitv1.ExecResponse_Stdout:
			o.stdout += string(e.Stdout)
		case *davitv1.ExecResponse_Stderr:
			o.stderr += string(e.Stderr)
		case *davitv1.ExecResponse_Exit:
			o.exit = e.Exit
		case *davitv1.ExecResponse_Closed:
			o.closed = true
		}
	}
}

func TestExec(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.run("web", "sleep infinity")
	run := func(say ...*davitv1.ExecRequest) (outcome, error) {
		stream, err := d.consoles.Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range say {
			if err := stream.Send(q); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		return follow(t, stream)
	}
	stdin := func(text string) *davitv1.ExecRequest {
		return &davitv1.ExecRequest{Action: &davitv1.ExecRequest_Stdin{Stdin: []byte(text)}}
	}
	over := &davitv1.ExecRequest{Action: &davitv1.ExecRequest_StdinClose{StdinClose: true}}
	signal := func(name string) *davitv1.ExecRequest {
		return &davitv1.ExecRequest{Action: &davitv1.ExecRequest_Signal{Signal: name}}
	}
	script, err := run(command("sh", "-c", "echo out; echo err >&2; exit 3"))
	if err != nil || script.stdout != "out\n" || script.stderr != "err\n" || script.exit.GetCode() != 3 || !script.closed || script.id == "" {
		t.Errorf("script: %+v, %v", script, err)
	}
	if o, err := run(command("cat"), stdin("one\n"), stdin("two\n"), over); err != nil || o.stdout != "one\ntwo\n" || o.exit.GetCode() != 0 {
		t.Errorf("cat: %+v, %v", o, err)
	}
	if o, err := run(command("sleep", "infinity"), signal("SIGTERM")); err != nil || o.exit.GetSignal() != 15 {
		t.Errorf("signal: %+v, %v", o, err)
	}
	attach := &davitv1.ExecRequest{Action: &davitv1.ExecRequest_Attach{Attach: &davitv1.ExecAttach{Domain: byName("web"), ExecId: script.id}}}
	if o, err := run(attach); err != nil || o.stdout != "out\n" || o.exit.GetCode() != 3 {
		t.Errorf("attach: %+v, %v", o, err)
	}
	for name, test := range map[string]struct {
		say  []*davitv1.ExecRequest
		code codes.Code
	}{
		"no command":   {[]*davitv1.ExecRequest{command()}, codes.InvalidArgument},
		"not found":    {[]*davitv1.ExecRequest{command("no-such-program")}, codes.NotFound},
		"stdin first":  {[]*davitv1.ExecRequest{stdin("x")}, codes.InvalidArgument},
		"too much":     {[]*davitv1.ExecRequest{command("cat"), stdin(strings.Repeat("x", rpc.ChunkSize+1))}, codes.InvalidArgument},
		"start twice":  {[]*davitv1.ExecRequest{command("cat"), command("cat")}, codes.InvalidArgument},
		"wrong signal": {[]*davitv1.ExecRequest{command("cat"), signal("SIGNOTHING")}, codes.InvalidArgument},
		"no such id": {[]*davitv1.ExecRequest{{Action: &davitv1.ExecRequest_Attach{
			Attach: &davitv1.ExecAttach{Domain: byName("web"), ExecId: "none"},
		}}}, codes.NotFound},
	} {
		if o, err := run(test.say...); status.Code(err) != test.code {
			t.Errorf("%s: %+v, %v, want %v", name, o, err, test.code)
		}
	}
}

// next is the next item of a watch: an event's words, or "at N".
func next(t *testing.T, stream davitv1.EventService_WatchEventsClient) string {
	t.Helper()
	r, err := stream.Recv()
	if err != nil {
		return status.Code(err).String() + " " + reason(err).String()
	}
	if p := r.GetPosition(); p != nil {
		return fmt.Sprintf("at %d", p.GetSequence())
	}
	if b := r.GetBatch(); b != nil {
		var all []string
		for _, ev := range b.GetEvents() {
			all = append(all, describe(ev))
		}
		return "[" + strings.Join(all, " + ") + "]"
	}
	return describe(r.GetEvent())
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t)
		d.start()
		defer func() { d.stop() }()
		expect := func(stream davitv1.EventService_WatchEventsClient, want ...string) {
			t.Helper()
			for _, w := range want {
				if got := next(t, stream); got != w {
					t.Errorf("watch: %q, want %q", got, w)
				}
			}
		}
		told := func(stream davitv1.EventService_WatchEventsClient, want ...string) { // between heartbeats
			t.Helper()
			for _, w := range want {
				got := next(t, stream)
				for strings.HasPrefix(got, "at ") {
					got = next(t, stream)
				}
				if got != w {
					t.Errorf("watch: %q, want %q", got, w)
				}
			}
		}
		watch := func(q *davitv1.WatchEventsRequest) davitv1.EventService_WatchEventsClient {
			stream, err := d.events.WatchEvents(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return stream
		}
		now := watch(&davitv1.WatchEventsRequest{HeartbeatInterval: durationpb.New(time.Second)})
		expect(now, "at 0", "at 0")
		begun := time.Now()
		expect(now, "at 0")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("a heartbeat after %v", took)
		}
		d.run("web", "trap 'exit 0' TERM; sleep infinity & wait")
		told(now, "web: Started Booted")
		ooms := watch(&davitv1.WatchEventsRequest{Kinds: []davitv1.EventKind{davitv1.EventKind_EVENT_KIND_OOM}})
		others := watch(&davitv1.WatchEventsRequest{
			Uuids: []string{"99999999-9999-4999-8999-999999999999"}, HeartbeatInterval: durationpb.New(time.Second),
			Start: &davitv1.WatchEventsRequest_Oldest{Oldest: true},
		})
		expect(ooms, "at 1")
		expect(others, "at 0", "at 1") // the position moves although nothing passes
		if _, err := d.domains.ShutdownDomain(t.Context(), &davitv1.ShutdownDomainRequest{Domain: byName("web")}); err != nil {
			t.Fatal(err)
		}
		told(now, "web: Shutdown Finished after host request", "web: Stopped Shutdown (code 0)")
		expect(ooms, "at 3")
		r, err := d.events.GetEventPosition(t.Context(), &davitv1.GetEventPositionRequest{})
		if err != nil || r.GetNewest().GetSequence() != 3 || r.GetOldest().GetSequence() != 1 {
			t.Fatalf("position: %v, %v", r, err)
		}
		at := &davitv1.EventPosition{Epoch: r.GetNewest().GetEpoch(), Sequence: 1}
		after := watch(&davitv1.WatchEventsRequest{Start: &davitv1.WatchEventsRequest_After{After: at}})
		expect(after, "at 1", "web: Shutdown Finished after host request", "web: Stopped Shutdown (code 0)", "at 3")
		batched := watch(&davitv1.WatchEventsRequest{Start: &davitv1.WatchEventsRequest_Oldest{Oldest: true}, Batch: 2})
		begun = time.Now()
		expect(batched, "at 0", "[web: Started Booted + web: Shutdown Finished after host request]", "[web: Stopped Shutdown (code 0)]")
		if took := time.Since(begun); took != 4*time.Millisecond {
			t.Errorf("an event that comes after others is told after %v", took)
		}
		expect(batched, "at 3")
		expect(watch(&davitv1.WatchEventsRequest{Batch: 257}), "InvalidArgument ERROR_REASON_REQUEST_INVALID")
		gone := &davitv1.EventPosition{Epoch: "another", Sequence: 1}
		expect(watch(&davitv1.WatchEventsRequest{Start: &davitv1.WatchEventsRequest_After{After: gone}}),
			"OutOfRange ERROR_REASON_EVENT_HISTORY_TRUNCATED")
		expect(watch(&davitv1.WatchEventsRequest{HeartbeatInterval: durationpb.New(time.Millisecond)}),
			"InvalidArgument ERROR_REASON_REQUEST_INVALID")
		expect(watch(&davitv1.WatchEventsRequest{Kinds: []davitv1.EventKind{0}}),
			"InvalidArgument ERROR_REASON_REQUEST_INVALID")
		expect(watch(&davitv1.WatchEventsRequest{Uuids: []string{"web"}}), "InvalidArgument ERROR_REASON_REQUEST_INVALID")
		d.stop()
		told(now, "Unavailable ERROR_REASON_SHUTTING_DOWN")
		d.start()
		again := watch(&davitv1.WatchEventsRequest{Start: &davitv1.WatchEventsRequest_After{After: at}})
		expect(again, "at 1", "web: Shutdown Finished after host request", "web: Stopped Shutdown (code 0)")
	})
}
