package native_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// lines is a guest that writes numbered lines without end, once it is told to, and ends with code 3 when it is asked to. It pauses, so that its
// log is not turned over.
const lines = "trap 'exit 3' TERM; echo up; read x; n=0; while :; do n=$((n+1)); echo line $n; [ $((n%20)) != 0 ] || sleep 0.01; done"

// runsOn checks that a domain whose monitor was killed runs, with the init that it had, and that another monitor has it. Asking is what
// makes sure of that.
func (h *host) runsOn(t *testing.T, i driver.Instance, init uint32, before int) {
	t.Helper()
	st, err := i.Status(t.Context())
	if err != nil || !st.Running || st.InitPID != init {
		t.Fatalf("status %+v, %v, want init %d running", st, err, init)
	}
	if now := h.monitorPID(t, i.Ref().UUID); now == before {
		t.Errorf("monitor %d is said to live", now)
	}
	if got := output(t, i, "echo", "inside"); got != "inside\n" {
		t.Errorf("a command says %q", got)
	}
}

// endsWith asks a domain to end, and checks that its events are those of one undisturbed run with that exit code.
func endsWith(t *testing.T, i driver.Instance, code uint32) {
	t.Helper()
	shutdown(t, i)
	told(t, i, code)
}

// told checks that the events are a start, if it is still kept, and one end.
func told(t *testing.T, i driver.Instance, code uint32) {
	t.Helper()
	all := events(t, i)
	last := len(all) - 1
	if stopped, ok := all[last].Kind.(driver.Stopped); !ok || stopped.Err != nil {
		t.Errorf("stopped %+v, want no fault", all[last])
	}
	x, ok := all[last-1].Kind.(driver.Exited)
	if !ok || x.Exit.GetCode() != code || x.Exit.GetUnknown() || x.Cause != driver.CausePoweroff || x.Restart || all[last-1].Sequence != 2 {
		t.Errorf("exited %+v, want code %d as event 2", all[last-1], code)
	}
	if _, ok := all[0].Kind.(driver.Started); !ok || last != 2 || all[0].Sequence != 1 {
		t.Errorf("events %+v, want a start, an exit, and the end", all)
	}
	if err := i.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
}

func initOf(tb testing.TB, i driver.Instance) uint32 { tb.Helper(); return uint32(initPID(tb, i)) }

// The domain runs on, three monitors in a row, and its end is told once and exactly.
func TestMonitorKilled(t *testing.T) {
	h := newHost(t, "fa000003")
	d := closing(t, h.open(t))
	restart := func(def *davitv1.Domain) {
		def.OnCrash = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	}
	spec := h.spec(idle, restart)
	i := start(t, d, spec)
	init := initOf(t, i)
	for range 3 {
		monitor := h.monitorPID(t, spec.UUID)
		slay(t, monitor)
		h.runsOn(t, i, init, monitor)
	}
	endsWith(t, i, 3)
	h.empty(t)
}

// The reader of events has it adopted, without anybody who asks; nothing is told but what happened.
func TestMonitorKilledUnderReader(t *testing.T) {
	h := newHost(t, "fa000004")
	d := closing(t, h.open(t))
	spec := h.spec(idle)
	i := start(t, d, spec)
	ch, err := i.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if ev := <-ch; ev.Sequence != 1 {
		t.Errorf("first event is %+v", ev)
	}
	if err = i.Acknowledge(t.Context(), 1); err != nil {
		t.Error(err)
	}
	monitor := h.monitorPID(t, spec.UUID)
	slay(t, monitor)
	await(t, "another monitor", func() bool { return h.listens(spec.UUID) })
	init := initOf(t, i)
	h.runsOn(t, i, init, monitor)
	shutdown(t, i)
	x, ok := (<-ch).Kind.(driver.Exited)
	if !ok || x.Exit.GetCode() != 3 || x.Cause != driver.CausePoweroff {
		t.Errorf("exited %+v, want code 3", x)
	}
	if stopped, ok := (<-ch).Kind.(driver.Stopped); !ok || stopped.Err != nil {
		t.Errorf("stopped: %+v", stopped)
	}
	kill(t, i)
	h.empty(t)
}

// listens tells whether a monitor answers.
func (h *host) listens(uuid string) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	folder, err := os.Open(filepath.Join(h.options.StateDir, uuid))
	if err != nil {
		return false
	}
	defer func() { _ = folder.Close() }()
	return unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(int(folder.Fd())) + "/monitor.sock"}) == nil
}

// await waits until something is so.
func await(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("it took too long: %s", what)
		}
	}
}

// Monitor and davitd die together; the next davitd has the domain adopted, and so does the one after it.
func TestMonitorKilledWhileAway(t *testing.T) {
	h := newHost(t, "fa000005")
	d := h.open(t)
	spec := h.spec(idle)
	i := start(t, d, spec)
	init := initOf(t, i)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		monitor := h.monitorPID(t, spec.UUID)
		slay(t, monitor)
		d = h.open(t)
		var err error
		if i, err = d.Recover(t.Context(), spec); err != nil {
			t.Fatalf("recover: %v", err)
		}
		h.runsOn(t, i, init, monitor)
	}
	closing(t, d)
	endsWith(t, i, 3)
	h.empty(t)
}

// An init that ends while neither monitor nor davitd is there is told exactly, by its policy.
func TestEndsWhileAllButKeeperAreAway(t *testing.T) {
	h := newHost(t, "fa000013")
	d := h.open(t)
	spec := h.spec(idle)
	i := start(t, d, spec)
	init := initPID(t, i)
	booted(t, i, 0) // it has a console
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	slay(t, h.monitorPID(t, spec.UUID))
	fd, err := unix.PidfdOpen(init, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	await(t, "init ends", func() bool { // once the shell has its trap
		_ = unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0)
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10)
		return n > 0
	})
	d = closing(t, h.open(t))
	if i, err = d.Recover(t.Context(), spec); err != nil {
		t.Fatalf("recover: %v", err)
	}
	told(t, i, 3)
	h.empty(t)
}

// A domain whose init ended while neither monitor nor davitd was there boots again by its policy, twice, within the limits that it had.
func TestBootsAgainAfterAdoption(t *testing.T) {
	h := newHost(t, "fa00001d")
	d := h.open(t)
	spec := h.spec(idle, func(def *davitv1.Domain) {
		def.OnCrash = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
		def.Cputune = &davitv1.CpuTune{Shares: 512, Period: 100000, Quota: 50000}
	})
	i := start(t, d, spec)
	quotas := func() (all []string) {
		for _, folder := range h.groups(t, spec.UUID) {
			for _, name := range []string{"cpu.cfs_quota_us", "cpu.max"} {
				if text, err := os.ReadFile(filepath.Join(folder, name)); err == nil {
					all = append(all, string(text))
				}
			}
		}
		return all
	}
	want := quotas()
	for n := range uint32(2) {
		init := initPID(t, i)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		slay(t, h.monitorPID(t, spec.UUID))
		slay(t, init)
		d = h.open(t)
		var err error
		if i, err = d.Recover(t.Context(), spec); err != nil {
			t.Fatalf("recover: %v", err)
		}
		await(t, "it boots again", func() bool {
			st, err := i.Status(t.Context())
			return err == nil && st.Running && st.Restarts == n+1 && st.InitPID != 0
		})
	}
	closing(t, d)
	if got := quotas(); !slices.Equal(got, want) {
		t.Errorf("its quota is %q, want %q", got, want)
	}
	if got := output(t, i, "echo", "inside"); got != "inside\n" {
		t.Errorf("a command says %q", got)
	}
	kill(t, i)
	h.empty(t)
}

// A guest that writes all the time goes on at offsets behind those that were read; its log goes on too, and says what happened.
func TestMonitorKilledDuringOutput(t *testing.T) {
	h := newHost(t, "fa000014")
	h.options.LogDir = filepath.Join(t.TempDir(), "log")
	d := closing(t, h.open(t))
	spec := h.spec(lines)
	i := start(t, d, spec)
	init := initOf(t, i)
	from := booted(t, i, 0, "up")
	writer, err := i.OpenConsole(t.Context(), driver.ConsoleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err = writer.Send([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	from = booted(t, i, from, "line ")
	_ = writer.Close()
	for range 2 {
		monitor := h.monitorPID(t, spec.UUID)
		slay(t, monitor)
		h.runsOn(t, i, init, monitor)
		next := booted(t, i, from, "line ")
		if next <= from {
			t.Errorf("the console goes on to %d, want it behind %d", next, from)
		}
		reader, err := i.OpenConsole(t.Context(), driver.ConsoleOptions{ReadOnly: true, Scrollback: true})
		if err != nil {
			t.Fatal(err)
		}
		if oldest := reader.Opened().Offset; oldest < from {
			t.Errorf("what is kept begins at %d, which was read before: %d", oldest, from)
		}
		_ = reader.Close()
		from = next
	}
	endsWith(t, i, 3)
	text := ""
	names, _ := filepath.Glob(filepath.Join(h.options.LogDir, spec.UUID, "console.log*"))
	for _, name := range slices.Backward(names) { // the oldest first
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(part)
	}
	if n := strings.Count(text, "another monitor took over: the one before was killed, and output may be missing"); n != 2 {
		t.Errorf("the log tells of %d monitors that took over, want 2", n)
	}
	if !strings.Contains(text[len(text)-min(len(text), 200):], "exited with code 3") {
		t.Errorf("the log ends with %q", text[len(text)-min(len(text), 200):])
	}
	h.empty(t)
}

// A command that ran is lost with the monitor, and says so; others run.
func TestMonitorKilledDuringExec(t *testing.T) {
	h := newHost(t, "fa000015")
	d := closing(t, h.open(t))
	spec := h.spec(idle)
	i := start(t, d, spec)
	init := initOf(t, i)
	id := uuid.NewString()
	s, err := i.Exec(t.Context(), driver.ExecOptions{ID: id, Argv: []string{"sh", "-c", "echo in; exec sleep infinity"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if o, received := s.Receive(); received != nil || string(o.Data) != "in\n" {
		t.Fatalf("the command says %q, %v", o.Data, received)
	}
	monitor := h.monitorPID(t, spec.UUID)
	slay(t, monitor)
	var e *domain.Error
	if _, err = s.Receive(); !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST {
		t.Errorf("the command ends with %v, want MONITOR_LOST", err)
	}
	h.runsOn(t, i, init, monitor)
	if _, err = i.Exec(t.Context(), driver.ExecOptions{ID: id, Attach: true}); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("attach to a command that was lost: %v, want NOT_FOUND", err)
	}
	tty, err := i.Exec(t.Context(), driver.ExecOptions{ID: uuid.NewString(), Argv: []string{"tty"}, TTY: true, Rows: 24, Columns: 80})
	if err != nil {
		t.Fatalf("a command with a terminal: %v", err)
	}
	said := ""
	for {
		o, err := tty.Receive()
		if err != nil {
			break
		}
		said += string(o.Data)
	}
	if !strings.HasPrefix(said, "/dev/pts/") {
		t.Errorf("its terminal is %q", said)
	}
	_ = tty.Close()
	endsWith(t, i, 3)
	h.empty(t)
}

// What the guest was asked to do is known to the monitor that takes over: a reboot in place of the end that was asked for ends the domain.
func TestMonitorKilledDuringStop(t *testing.T) {
	h := newHost(t, "fa000016")
	d := closing(t, h.open(t))
	spec := h.spec("trap 'read x </dev/console; exec /guest/reboot -f' TERM; echo up; while :; do sleep 1000 & wait $!; done")
	i := start(t, d, spec)
	init := initOf(t, i)
	booted(t, i, 0, "up")
	if err := i.Shutdown(t.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, false); err != nil {
		t.Fatal(err)
	}
	monitor := h.monitorPID(t, spec.UUID)
	slay(t, monitor)
	h.runsOn(t, i, init, monitor)
	c, err := i.OpenConsole(t.Context(), driver.ConsoleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err = c.Send([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	all := events(t, i)
	x, ok := all[len(all)-2].Kind.(driver.Exited)
	if !ok || x.Restart || x.Exit.GetSignal() != uint32(unix.SIGHUP) || x.Cause != driver.CauseReboot {
		t.Errorf("exited %+v, want a reboot that nothing follows", all[len(all)-2])
	}
	if err := i.Release(t.Context()); err != nil {
		t.Error(err)
	}
	h.empty(t)
}

// A domain is destroyed whatever becomes of its monitor meanwhile, and no other is made.
func TestMonitorKilledDuringDestroy(t *testing.T) {
	h := newHost(t, "fa000017")
	d := closing(t, h.open(t))
	crash := func(def *davitv1.Domain) { def.OnCrash = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART }
	for range 3 {
		spec := h.spec(idle, crash)
		i := start(t, d, spec)
		slay(t, h.monitorPID(t, spec.UUID))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = i.Status(context.Background()) // it may begin an adoption; either answer is right
		}()
		kill(t, i)
		<-done
		h.empty(t)
	}
}

// A guest reboots under the monitor that took over, and that restart is the first.
func TestRebootAfterAdoption(t *testing.T) {
	h := newHost(t, "fa000018")
	d := closing(t, h.open(t))
	spec := h.spec(rebooter)
	i := start(t, d, spec)
	init := initOf(t, i)
	from := booted(t, i, 0, "up")
	monitor := h.monitorPID(t, spec.UUID)
	slay(t, monitor)
	h.runsOn(t, i, init, monitor)
	for n := range uint32(2) {
		if err := i.Shutdown(t.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); err != nil {
			t.Fatalf("reboot: %v", err)
		}
		from = booted(t, i, from, "up")
		await(t, "the restart is counted", func() bool {
			st, err := i.Status(t.Context())
			return err == nil && st.Restarts == n+1
		})
		monitor = h.monitorPID(t, spec.UUID) // and again, after a restart
		slay(t, monitor)
		h.runsOn(t, i, initOf(t, i), monitor)
	}
	if err := i.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sequences []uint64
	for _, ev := range events(t, i) {
		if ev.Sequence != 0 {
			sequences = append(sequences, ev.Sequence)
		}
	}
	if len(sequences) != 6 || sequences[0] != 1 || sequences[5] != 6 {
		t.Errorf("events are numbered %v, want 1 to 6", sequences)
	}
	if err := i.Release(t.Context()); err != nil {
		t.Error(err)
	}
	h.empty(t)
}

// What a domain holds open, loop devices above all, outlives its monitor; devices come and go under the next one, and stay over a reboot.
func TestDevicesAfterAdoption(t *testing.T) {
	h := newHost(t, "fa000019")
	dir := t.TempDir()
	needLoop(t, dir)
	image := rawImage(t, filepath.Join(dir, "a.img"), "words", 1<<20)
	other := rawImage(t, filepath.Join(dir, "b.img"), "other", 1<<20)
	d := closing(t, h.open(t))
	spec := h.spec(rebooter, func(def *davitv1.Domain) { file(image, "sda")(def.Devices) })
	i := start(t, d, spec)
	init := initOf(t, i)
	from := booted(t, i, 0, "up")
	one := [][2]string{{"head -c 5 /dev/sda", "words"}}
	both := append(one, [2]string{"head -c 5 /dev/sdb", "other"}, [2]string{"ls /mnt", "a.img"})
	full := plus(spec.Definition, file(other, "sdb"), mounted(&davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: dir, TargetDir: "/mnt",
	}))
	killMonitor := func() {
		t.Helper()
		monitor := h.monitorPID(t, spec.UUID)
		slay(t, monitor)
		h.runsOn(t, i, init, monitor)
	}
	killMonitor()
	ask(t, "adopted", i, one)
	if err := i.Update(t.Context(), full); err != nil {
		t.Fatalf("attach: %v", err)
	}
	ask(t, "attached", i, both)
	killMonitor()
	ask(t, "adopted with more", i, both)
	if err := i.Shutdown(t.Context(), davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL, true); err != nil {
		t.Fatalf("reboot: %v", err)
	}
	booted(t, i, from, "up")
	ask(t, "after a reboot", i, both)
	init = initOf(t, i)
	killMonitor()
	if err := i.Update(t.Context(), spec.Definition); err != nil {
		t.Fatalf("detach: %v", err)
	}
	ask(t, "detached", i, append(one, [2]string{"ls /dev/sdb", noNode}, [2]string{"ls /mnt/a.img", noNode}))
	await(t, "the image is free", func() bool { return len(loopsOf(dir)) == 1 })
	kill(t, i)
	h.empty(t)
}

// hangs stops a process, which is then killed with others: what the others did is not answered.
func hangs(tb testing.TB, pid int) {
	tb.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
}

// Another keeper takes the place of one that was killed by itself, the monitors register with it, and a monitor that is killed then leaves a
// domain with its console. How its init ends is told as far as the kernel tells it: the keeper is not its parent.
func TestMonitorKilledAfterKeeper(t *testing.T) {
	h := newHost(t, "fa00001a")
	d := closing(t, h.open(t))
	spec := h.spec(idle)
	i := start(t, d, spec)
	init := initOf(t, i)
	slay(t, h.keeperPID(t))
	await(t, "the monitor registers again", func() bool { return h.isKept(spec.UUID) })
	monitor := h.monitorPID(t, spec.UUID)
	slay(t, monitor)
	h.runsOn(t, i, init, monitor)
	c, err := i.OpenConsole(t.Context(), driver.ConsoleOptions{})
	if err != nil {
		t.Errorf("console: %v", err)
	} else {
		_ = c.Close()
	}
	endsOrUnknown(t, i)
	h.empty(t)
}

// endsOrUnknown asks a domain to end whose init has no parent of ours: the code is told, or that it is not known.
func endsOrUnknown(t *testing.T, i driver.Instance) {
	t.Helper()
	shutdown(t, i)
	all := events(t, i)
	x, ok := all[len(all)-2].Kind.(driver.Exited)
	if !ok || x.Restart || !x.Exit.GetUnknown() && x.Exit.GetCode() != 3 {
		t.Errorf("exited %+v, want code 3, or unknown", all[len(all)-2])
	}
	if err := i.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
}

// Keeper and monitor die together, and with them all that knew of the console: the domain runs on, says so, and has one after its next boot.
func TestKeeperAndMonitorKilled(t *testing.T) {
	for name, away := range map[string]bool{"davitd lives": false, "davitd too": true} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "fa00001b")
			d := h.open(t)
			spec := h.spec("trap '' HUP; trap 'exit 3' TERM; echo up; sleep infinity & wait", func(def *davitv1.Domain) {
				def.OnCrash = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
			})
			i := start(t, d, spec)
			init := initOf(t, i)
			booted(t, i, 0, "up")
			if away {
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			monitor := h.monitorPID(t, spec.UUID)
			keeper := h.keeperPID(t)
			hangs(t, monitor)
			slay(t, keeper)
			slay(t, monitor)
			if away {
				d = h.open(t)
				var err error
				if i, err = d.Recover(t.Context(), spec); err != nil {
					t.Fatalf("recover: %v", err)
				}
			}
			closing(t, d)
			h.runsOn(t, i, init, monitor)
			if _, err := i.OpenConsole(t.Context(), driver.ConsoleOptions{}); !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), "lost") {
				t.Errorf("open a console that is lost: %v", err)
			}
			// Its next boot has a console again.
			fd, err := unix.PidfdOpen(int(init), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Close(fd) }()
			if err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
				t.Fatal(err)
			}
			await(t, "the domain has ended or boots again", func() bool {
				st, err := i.Status(t.Context())
				return err == nil && (!st.Running || st.Restarts == 1)
			})
			if st, _ := i.Status(t.Context()); st.Running { // it is known that it was killed
				booted(t, i, 0, "up")
			}
			kill(t, i)
			h.empty(t)
		})
	}
}

// isKept tells whether the keeper has a domain's console.
func (h *host) isKept(uuid string) bool {
	kept, err := h.withdraw(uuid)
	if err != nil {
		return false
	}
	defer kept.Close()
	return len(kept.Consoles) == 1
}

// withdraw asks the keeper for what it has of a domain.
func (h *host) withdraw(uuid string) (*client.Deposit, error) {
	folder, err := os.Open(h.options.RunDir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	k, err := client.DialKeeper(context.Background(), folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = k.Close() }()
	return k.Withdraw(context.Background(), uuid)
}

// A domain for which no monitor can be had runs on, says so, and can be destroyed.
func TestUnattended(t *testing.T) {
	h := newHost(t, "fa00001c")
	d := closing(t, h.open(t))
	spec := h.spec(idle)
	i := start(t, d, spec)
	init := initOf(t, i)
	plan := filepath.Join(h.options.StateDir, spec.UUID, "plan")
	if err := os.WriteFile(plan, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	slay(t, h.monitorPID(t, spec.UUID))
	for range 2 {
		if st, err := i.Status(t.Context()); err != nil || !st.Running || st.InitPID != init {
			t.Errorf("status %+v, %v, want init %d running", st, err, init)
		}
	}
	_, err := i.OpenConsole(t.Context(), driver.ConsoleOptions{})
	var e *domain.Error
	if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST {
		t.Errorf("open console: %v, want MONITOR_LOST", err)
	}
	kill(t, i)
	h.empty(t)
}
