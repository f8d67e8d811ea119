package native_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// output runs a command in a domain and gives what it wrote.
func output(tb testing.TB, i driver.Instance, argv ...string) string {
	tb.Helper()
	s, err := i.Exec(tb.Context(), driver.ExecOptions{ID: uuid.NewString(), Argv: argv})
	if err != nil {
		tb.Fatalf("exec %q: %v", argv, err)
	}
	defer func() { _ = s.Close() }()
	var all bytes.Buffer
	for {
		o, err := s.Receive()
		if err != nil {
			return all.String()
		}
		all.Write(o.Data)
		all.Write(o.Stderr)
	}
}

// An init that the OOM killer kills is told as such; a process beside it is an event only.
func TestOOM(t *testing.T) {
	h := newHost(t, "11fe0001")
	d := closing(t, h.open(t))
	small := func(def *davitv1.Domain) { def.MemoryKib = 32 << 10 }
	i := start(t, d, h.spec("exec /guest/eat", small))
	all := events(t, i)
	var kills uint64
	for _, ev := range all {
		switch k := ev.Kind.(type) {
		case driver.OOM:
			kills = k.Count
		case driver.Exited:
			if !k.Exit.GetOomKilled() || k.Exit.GetSignal() != uint32(syscall.SIGKILL) || k.Cause != driver.CauseCrash {
				t.Errorf("exited %+v, want an OOM kill", k)
			}
			if kills == 0 {
				t.Error("the exit comes before the OOM kill")
			}
		}
	}
	kill(t, i)

	i = start(t, d, h.spec("while :; do /guest/eat; sleep infinity; done", small))
	ch, err := i.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	select {
	case ev := <-ch:
		if k, ok := ev.Kind.(driver.OOM); !ok || k.Count == 0 || ev.Sequence != 0 {
			t.Errorf("event %+v, want an OOM kill", ev)
		}
	case <-time.After(testenv.Scale(time.Minute)):
		t.Fatal("no event")
	}
	st, err := i.Status(t.Context())
	if err != nil || !st.Running || st.OOMKills == 0 {
		t.Errorf("status %+v, %v, want it running with OOM kills", st, err)
	}
	kill(t, i)
}

// Limits are what the definition says.
func TestLimitsHold(t *testing.T) {
	h := newHost(t, "11fe0002")
	d := closing(t, h.open(t))
	i := start(t, d, h.spec(idle, func(def *davitv1.Domain) {
		def.MemoryKib, def.PidsLimit = 64<<10, 33
		def.Cputune = &davitv1.CpuTune{Shares: 512, Period: 50000, Quota: 25000}
		def.Vcpu = &davitv1.Vcpu{Count: 1, Cpuset: "0"}
	}))
	st, err := i.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.GetMemoryLimitBytes() != 64<<20 || st.GetPidsLimit() != 33 {
		t.Errorf("limits %d bytes, %d processes", st.GetMemoryLimitBytes(), st.GetPidsLimit())
	}
	if got := output(t, i, "sh", "-c", "grep Cpus_allowed_list /proc/self/status"); !strings.HasSuffix(got, "\t0\n") {
		t.Errorf("processors %q", got)
	}
	kill(t, i)
}

// Changes of a kept overlay are there at the next start, and not on its source, until they are forgotten.
func TestKeptOverlay(t *testing.T) {
	h := newHost(t, "11fe0003")
	d := closing(t, h.open(t))
	lower := t.TempDir()
	if err := os.Chmod(lower, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lower, "base"), []byte("base\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(lower, 700000, 700000); err != nil {
		t.Fatal(err)
	}
	spec := h.spec(idle, keptOverlay(lower), mapped)
	for n, want := range []string{"base\n", "base\nkept\n"} {
		i := start(t, d, spec)
		if got := output(t, i, "sh", "-c", "cat /srv/*; echo kept > /srv/changed"); got != want {
			t.Errorf("start %d reads %q, want %q", n, got, want)
		}
		kill(t, i)
		spec.Generation = uuid.NewString()
	}
	if left, _ := os.ReadDir(lower); len(left) != 1 {
		t.Errorf("the source has %v", left)
	}
	if err := d.Forget(t.Context(), spec.UUID); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(h.options.UpperDir); len(left) != 0 {
		t.Errorf("after forget there is %v", left)
	}
}

// mapped gives a domain host ids of its own.
func mapped(def *davitv1.Domain) {
	r := []*davitv1.IdRange{{Start: new(uint32(0)), Target: new(uint32(700000)), Count: new(uint32(1000))}}
	def.Idmap = &davitv1.IdMap{Uid: r, Gid: r}
}

// Ids that a running domain has are refused to another, and free when it has ended.
func TestGivenIDs(t *testing.T) {
	h := newHost(t, "11fe0004")
	d := closing(t, h.open(t))
	first := start(t, d, h.spec(idle, mapped))
	if got := strings.Fields(output(t, first, "cat", "/proc/self/uid_map")); strings.Join(got, " ") != "0 700000 1000" {
		t.Errorf("map %q", got)
	}
	_, err := d.Start(t.Context(), h.spec(idle, mapped))
	var e *domain.Error
	if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY || e.Detail["owner"] != first.Ref().UUID {
		t.Errorf("start with the same ids: %v", err)
	}
	kill(t, first)
	kill(t, start(t, d, h.spec(idle, mapped)))
	h.empty(t)
}

// Destroy is quick.
func TestKillIsQuick(t *testing.T) {
	h := newHost(t, "11fe0005")
	d := closing(t, h.open(t))
	testenv.Within(t, 100*time.Millisecond, func() time.Duration {
		i := start(t, d, h.spec("trap '' TERM; sleep infinity"))
		begun := time.Now()
		if err := i.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begun)
		kill(t, i)
		return took
	})
}

// linkInit puts a link to a program of the host under the name init into /guest, and makes it the init.
func (h *host) linkInit(tb testing.TB, program string, args ...string) func(*davitv1.Domain) {
	tb.Helper()
	if _, err := os.Stat(program); err != nil {
		tb.Skipf("needs %s", program)
	}
	if err := os.Symlink(program, filepath.Join(h.guest, "init")); err != nil {
		tb.Fatal(err)
	}
	return func(def *davitv1.Domain) {
		def.MemoryKib = 512 << 10
		def.Os.Init, def.Os.Initarg = "/guest/init", args
	}
}

// booted reads the console from an offset until it had some texts, one after the other, and gives the offset of what
// follows.
func booted(tb testing.TB, i driver.Instance, from uint64, texts ...string) uint64 {
	tb.Helper()
	c, err := i.OpenConsole(tb.Context(), driver.ConsoleOptions{ReadOnly: true, Offset: &from, Follow: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	late := time.AfterFunc(testenv.Scale(time.Minute), func() { _ = c.Close() })
	defer late.Stop()
	var all []byte
	for _, text := range texts {
		for !bytes.Contains(all, []byte(text)) {
			o, err := c.Receive()
			if err != nil {
				tb.Fatalf("console ends with %q, want %q in it", all, text)
			}
			all = append(all, o.Data...)
			from = o.Offset + uint64(len(o.Data))
		}
		_, all, _ = bytes.Cut(all, []byte(text))
	}
	return from
}

// Each kind of init is asked in its own way, and does what it was asked.
func TestShutdownOfSystems(t *testing.T) {
	for name, system := range map[string]struct {
		program string
		says    []string
	}{
		"busybox": {"/usr/bin/busybox", []string{"press Enter"}},
		"systemd": {"/lib/systemd/systemd", []string{"Welcome to", "Reached target"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "11fe0006")
			d := closing(t, h.open(t))
			i := start(t, d, h.spec("", h.linkInit(t, system.program)))
			from := booted(t, i, 0, system.says...)
			ch, err := i.Events(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			next := func() driver.EventKind {
				t.Helper()
				select {
				case ev := <-ch:
					return ev.Kind
				case <-time.After(testenv.Scale(time.Minute)):
					t.Fatal("no event within a minute")
				}
				return nil
			}
			next()
			if err := i.Shutdown(t.Context(), 0, true); err != nil {
				t.Fatalf("reboot: %v", err)
			}
			if x, ok := next().(driver.Exited); !ok || x.Cause != driver.CauseReboot || !x.Restart {
				t.Errorf("exited %+v, want a reboot", x)
			}
			if r, ok := next().(driver.Restarted); !ok || r.Count != 1 {
				t.Errorf("restarted %+v", r)
			}
			booted(t, i, from, system.says...)
			if err := i.Shutdown(t.Context(), 0, false); err != nil {
				t.Fatalf("shutdown: %v", err)
			}
			if x, ok := next().(driver.Exited); !ok || x.Cause != driver.CausePoweroff || x.Restart {
				t.Errorf("exited %+v, want a power-off", x)
			}
			if _, ok := next().(driver.Stopped); !ok {
				t.Error("not stopped")
			}
			kill(t, i)
		})
	}
}

// A check tells what a start could not do, and what it would leave out, without doing anything.
func TestCheck(t *testing.T) {
	h := newHost(t, "11fe0007")
	d := closing(t, h.open(t))
	def := h.spec(idle).Definition
	def.Devices.Filesystem[0].SourceDir = "/nonexistent/data"
	def.Devices.Filesystem = append(def.Devices.Filesystem, &davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: "/", TargetDir: "/", Readonly: true,
	})
	def.Devices.Interface = []*davitv1.Interface{{Type: davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, SourceBridge: "br0"}}
	warnings, err := d.Check(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, w := range warnings {
		paths = append(paths, w.GetXmlPath())
	}
	if got := strings.Join(paths, " "); !strings.Contains(got, "/domain/devices/interface") ||
		!strings.HasSuffix(got, "/domain/devices/filesystem[1]/source/@dir /domain/devices/filesystem[2]/readonly") {
		t.Errorf("warnings for %q", got)
	}
	def.Partition = "/machine/../other"
	if _, err := d.Check(t.Context(), def); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), "/domain/resource/partition") {
		t.Errorf("check: %v, want the partition refused", err)
	}
	h.empty(t)
}

// What a definition gets wrong about its init is told with what would be right.
func TestAdviceOnInit(t *testing.T) {
	h := newHost(t, "11fe0008")
	d := closing(t, h.open(t))
	for init, want := range map[string]string{
		"/nonexistent/init": "no such file or directory; <init> must be a program in the domain's root",
		"/etc/passwd":       "permission denied; <init> must be executable",
	} {
		_, err := d.Start(t.Context(), h.spec("", func(def *davitv1.Domain) { def.Os.Init, def.Os.Initarg = init, nil }))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start of %q: %v, want %q", init, err, want)
		}
	}
	_, err := d.Start(t.Context(), h.spec("", func(def *davitv1.Domain) { def.Os.Inituser = "no-such-user" }))
	if err == nil || !strings.Contains(err.Error(), "no-such-user") || !strings.Contains(err.Error(), "; <inituser>") {
		t.Errorf("start as nobody known: %v", err)
	}
	h.empty(t)
}

// What a caller of exec gets wrong is told as that, and by name: as an invalid request, or as the program that is not there
// or cannot be run.
func TestExecErrors(t *testing.T) {
	h := newHost(t, "11fe0009")
	d := closing(t, h.open(t))
	i := start(t, d, h.spec(idle))
	defer kill(t, i)
	for _, test := range []struct {
		options driver.ExecOptions
		code    codes.Code
		names   string
	}{
		{driver.ExecOptions{Argv: []string{"true"}, User: "nosuch"}, codes.InvalidArgument, `look up user "nosuch"`},
		{driver.ExecOptions{Argv: []string{"true"}, User: "0:nosuch"}, codes.InvalidArgument, `look up group "nosuch"`},
		{driver.ExecOptions{Argv: []string{"true"}, User: "4000000000"}, codes.InvalidArgument, `"4000000000"`},
		{driver.ExecOptions{Argv: []string{"true"}, User: "4000000000", TTY: true}, codes.InvalidArgument, `"4000000000"`},
		{driver.ExecOptions{Argv: []string{"true"}, Cwd: "/nonexistent"}, codes.InvalidArgument, `"/nonexistent"`},
		{driver.ExecOptions{Argv: []string{"true"}, Cwd: "/etc/passwd"}, codes.InvalidArgument, `"/etc/passwd"`},
		{driver.ExecOptions{Argv: []string{"true"}, Cwd: "etc"}, codes.InvalidArgument, `"etc"`},
		{driver.ExecOptions{Argv: []string{"no-such-program"}}, codes.NotFound, `"no-such-program"`},
		{driver.ExecOptions{Argv: []string{"/etc/passwd"}}, codes.FailedPrecondition, `"/etc/passwd"`},
	} {
		test.options.ID = uuid.NewString()
		_, err := i.Exec(t.Context(), test.options)
		e, ok := errors.AsType[*domain.Error](err)
		if !ok || e.Code != test.code || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%+v: %v, want %v that says %s", test.options, err, test.code, test.names)
		}
	}
}

// What is acknowledged when the watch has just ended is no error: the next watch begins with it.
func TestAcknowledgeAfterTheWatch(t *testing.T) {
	h := newHost(t, "11fe000a")
	d := closing(t, h.open(t))
	i := start(t, d, h.spec(idle))
	defer kill(t, i)
	ctx, cancel := context.WithCancel(t.Context())
	events, err := i.Events(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	first := <-events
	cancel()
	for range events { // until it is closed
	}
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		if err = i.Acknowledge(t.Context(), first.Sequence); err != nil {
			t.Fatal(err)
		}
	}
}
