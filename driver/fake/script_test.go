package fake_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// started gives a driver with one domain.
func started(t *testing.T, change ...func(*driver.Spec)) (*fake.Driver, driver.Spec, driver.Instance) {
	t.Helper()
	d := fake.New(fake.Options{})
	s := spec("/sbin/init")
	for _, c := range change {
		c(&s)
	}
	i, err := d.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return d, s, i
}

func TestFailNextStart(t *testing.T) {
	d := fake.New(fake.Options{})
	first, second := errors.New("first"), errors.New("second")
	d.FailNextStart(first)
	d.FailNextStart(second)
	for _, want := range []error{first, second, nil} {
		i, err := d.Start(t.Context(), spec("/sbin/init"))
		if !errors.Is(err, want) {
			t.Errorf("start: %v, want %v", err, want)
		}
		if (i == nil) != (want != nil) || d.Made() != map[bool]int{true: 1}[want == nil] {
			t.Errorf("start that is to fail with %v made %d containers", want, d.Made())
		}
	}
}

// Each way in which init can end is told as it is on a real host.
func TestEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*fake.Driver) error
		want []string
	}{
		"exit":     {func(d *fake.Driver) error { return d.Exit(uuid, 7) }, []string{"2 exited &{7} 1 restart=false"}},
		"crash":    {func(d *fake.Driver) error { return d.Crash(uuid, syscall.SIGSEGV) }, []string{"2 exited &{11} 3 restart=false"}},
		"poweroff": {func(d *fake.Driver) error { return d.Poweroff(uuid) }, []string{"2 exited &{2} 1 restart=false"}},
		"lost":     {func(d *fake.Driver) error { return d.Lose(uuid) }, []string{"2 exited &{true} 4 restart=false"}},
		"oom": {
			func(d *fake.Driver) error { return d.OOM(uuid, true) },
			[]string{"0 driver.OOM", "2 exited &{9} 3 restart=false"},
		},
	} {
		d, _, i := started(t)
		if err := test.end(d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := append(append([]string{"1 driver.Started"}, test.want...), "0 driver.Stopped")
		if diff := cmp.Diff(want, words(t.Context(), t, i, 0, 9)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if d.Running() != 0 || test.end(d) == nil {
			t.Errorf("%s: it runs", name)
		}
	}
}

// A host that boots leaves no trace of its domains.
func TestVanish(t *testing.T) {
	d, s, i := started(t)
	if err := d.Vanish(uuid); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Recover(t.Context(), s); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("recover: %v, want NOT_FOUND", err)
	}
	if st, err := i.Status(t.Context()); err != nil || st.Running {
		t.Errorf("status %+v, %v, want it stopped", st, err)
	}
}

// OOM kills are told in one count to who comes late, after the events that were before them.
func TestOOMOrder(t *testing.T) {
	d, _, i := started(t)
	for range 2 {
		if err := d.OOM(uuid, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Exit(uuid, 0); err != nil {
		t.Fatal(err)
	}
	want := []string{"1 driver.Started", "0 driver.OOM", "2 exited &{0} 1 restart=false", "0 driver.Stopped"}
	if diff := cmp.Diff(want, words(t.Context(), t, i, 0, 9)); diff != "" {
		t.Error(diff)
	}
	if st, err := i.Status(t.Context()); err != nil || st.OOMKills != 2 {
		t.Errorf("status %+v, %v, want two OOM kills", st, err)
	}
}

// A console keeps its newest bytes, and their offsets never change.
func TestScrollback(t *testing.T) {
	d := fake.New(fake.Options{Scrollback: 8})
	i, err := d.Start(t.Context(), spec("/sbin/init"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(uuid, 0, []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	for _, o := range []driver.ConsoleOptions{
		{ReadOnly: true, Scrollback: true}, {ReadOnly: true, Offset: new(uint64(1))}, {ReadOnly: true, Offset: new(uint64(2))},
	} {
		c, err := i.OpenConsole(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Receive()
		if err != nil || string(out.Data) != "23456789" || out.Offset != 2 {
			t.Errorf("read %q at %d, %v, want what is kept, at 2", out.Data, out.Offset, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A daemon that goes away takes its readers with it, and nothing else.
func TestCloseKeepsContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s, i := started(t)
		ch, err := i.Events(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		c, err := i.OpenConsole(t.Context(), driver.ConsoleOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err = d.Close(); err != nil {
			t.Fatal(err)
		}
		if _, open := <-ch; open {
			t.Error("the events go on")
		}
		if _, err = c.Receive(); err == nil {
			t.Error("the console goes on")
		}
		again, err := d.Recover(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := again.Status(t.Context()); err != nil || !st.Running {
			t.Errorf("status %+v, %v, want it running", st, err)
		}
	})
}

// A frozen container does nothing, however much time goes by, and does it when it is thawed.
func TestFrozenInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := fake.New(fake.Options{})
		s := spec("/bin/sh", "-c", "sleep 10; exit 5")
		s.Paused = true
		i, err := d.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if d.Running() != 1 {
			t.Error("it ended while it was frozen")
		}
		if err := i.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		want := []string{"1 driver.Started", "2 exited &{5} 1 restart=false", "0 driver.Stopped"}
		if diff := cmp.Diff(want, words(t.Context(), t, i, 0, 9)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPlanAndCheck(t *testing.T) {
	d := fake.New(fake.Options{})
	s := spec("/bin/sh", "-c", "true")
	text, err := d.Plan(t.Context(), s.Definition, false)
	if want := `run ["/bin/sh" "-c" "true"]` + "\n"; text != want || err != nil {
		t.Errorf("plan %q, %v, want %q", text, err, want)
	}
	s.Definition.Devices.Filesystem = []*davitv1.Filesystem{{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: "/nonexistent/a", TargetDir: "/a",
	}}
	if w, err := d.Check(t.Context(), s.Definition); err != nil || len(w) != 1 || w[0].GetField() != "devices.filesystem[0].source_dir" {
		t.Errorf("check: %v, %v, want a warning of the folder", w, err)
	}
	s.Definition.Os.Init = "/nonexistent/init"
	if w, err := d.Check(t.Context(), s.Definition); !errors.Is(err, domain.ErrFailedPrecondition) || len(w) != 1 {
		t.Errorf("check: %v, %v, want FAILED_PRECONDITION and the warning", w, err)
	}
}

// A command waits for a caller that does not read, and goes on when that reads, or goes away.
func TestCommandWaitsForCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, i := started(t)
		line := strings.Repeat("x", 999)
		run := func() driver.Stream {
			t.Helper()
			x, err := i.Exec(t.Context(), driver.ExecOptions{
				ID: "many", Argv: []string{"sh", "-c", strings.Repeat("echo $LINE; ", 200)}, Env: []string{"LINE=" + line}, Detach: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		runs := func() bool {
			list, err := i.Processes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(list) == 2
		}
		x := run()
		time.Sleep(time.Hour)
		if !runs() {
			t.Error("it did not wait")
		}
		total := 0
		for o, err := x.Receive(); err == nil; o, err = x.Receive() {
			if total != int(o.Offset) && o.Exit == nil {
				t.Fatalf("output at %d follows that to %d", o.Offset, total)
			}
			total += len(o.Data)
		}
		if total != 200_000 || runs() {
			t.Errorf("%d bytes, want 200000", total)
		}
		time.Sleep(11 * time.Minute) // its name is free again
		x = run()
		if !runs() {
			t.Error("it did not wait")
		}
		if err := x.Close(); err != nil || runs() {
			t.Errorf("close: %v; it waits for nobody", err)
		}
	})
}
