package monitor_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor"
	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// devicePlan is a plan of a container with a user namespace or without, that reboots when it is told to.
func devicePlan(root string, userns bool) *monitorv1.Plan {
	plan := guestPlan(root, onReboot, "/bin/guest", "echo", "up", "--", "read", "--", "reboot", "restart")
	if userns {
		plan.Namespaces.User = true
		plan.UidMap = []*monitorv1.IdMapping{{Outside: 1_000_000, Count: 65536}}
		plan.GidMap = plan.UidMap
	}
	return plan
}

// withTun is a plan with one more device node.
func withTun(plan *monitorv1.Plan) (*monitorv1.Plan, *monitorv1.DeviceNode) {
	next := plain.Clone(plan)
	tun := &monitorv1.DeviceNode{Name: "net/tun", Major: 10, Minor: 200, Mode: 0o666}
	for _, op := range next.GetOperations() {
		if op.GetDev() != nil {
			op.GetDev().Nodes = append(op.GetDev().Nodes, tun)
		}
	}
	return next, tun
}

// guestSays is what a command in the container writes.
func (d *domain) guestSays(words ...string) string {
	d.t.Helper()
	stream, err := d.Exec(d.house.ctx, &monitorv1.Exec{
		Id: strings.Join(words, "-") + time.Now().String(), Process: &monitorv1.Process{
			Argv: append([]string{"/bin/guest"}, words...), Capabilities: 1<<41 - 1,
		},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	return finish(stream).stdout
}

// descriptorsOf are what a process has open, by what they lead to.
func descriptorsOf(tb testing.TB, pid int) []string {
	tb.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var list []string
	for _, entry := range entries {
		if target, err := os.Readlink(dir + "/" + entry.Name()); err == nil {
			list = append(list, target)
		}
	}
	slices.Sort(list)
	return list
}

func holds(tb testing.TB, pid int, name string) bool {
	tb.Helper()
	return slices.ContainsFunc(descriptorsOf(tb, pid), func(s string) bool { return strings.Contains(s, name) })
}

func heldFile(tb testing.TB, name string) *os.File {
	tb.Helper()
	file, err := os.CreateTemp(tb.TempDir(), name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = file.Close() })
	return file
}

// A change holds for the container that runs and for those that follow it; what is held is held over restarts, until a plan
// does not name it any more.
func TestNativeRevise(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	for _, userns := range []bool{false, true} {
		d := h.spawn(t, uuid)
		plan := devicePlan(root, userns)
		plan.Held = []string{"first"}
		first, second := heldFile(t, "first-held-"), heldFile(t, "second-held-")
		started, err := d.Start(h.ctx, plan, client.Cgroups{Held: []*os.File{first}}, client.Logs{})
		if err != nil {
			t.Fatal(err)
		}
		_ = started.Pidfd.Close()
		watch := d.events(1)
		follower := d.console(&monitorv1.OpenConsole{Follow: true, Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST})
		readUntil(t, follower, "up\r\n")

		next, tun := withTun(plan)
		bind := &monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: root, Target: "/hot/on", ReadOnly: true}}}
		next.Operations = append(next.Operations, bind)
		next.Held = []string{"second", "first"}
		change := &monitorv1.Revise{
			Plan: next, AddNodes: []*monitorv1.DeviceNode{tun}, AddMounts: []*monitorv1.Operation{bind}, Hold: []string{"second"},
		}
		if err := d.Revise(h.ctx, change, second); err != nil {
			t.Fatal(err)
		}
		check := func(when string) {
			t.Helper()
			said := d.guestSays("ls", "/dev/net", "--", "ls", "/hot/on/bin", "--", "fds")
			if !strings.Contains(said, "tun 020666 0:0 10:200") || !strings.Contains(said, "ls guest ") || strings.Contains(said, "held") {
				t.Errorf("%s: %q", when, said)
			}
			if !holds(t, d.pid, "first-held-") || !holds(t, d.pid, "second-held-") {
				t.Errorf("%s: the monitor has %q", when, descriptorsOf(t, d.pid))
			}
		}
		check("at once")
		// The same again is refused, and changes nothing.
		if err := d.Revise(h.ctx, change, second); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
			t.Errorf("%v", err)
		}
		if err := follower.Send([]byte("again\n")); err != nil {
			t.Fatal(err)
		}
		d.next(watch)
		d.next(watch)
		readUntil(t, follower, "up\r\n")
		check("after a restart")

		last := plain.Clone(plan)
		last.Held = nil
		if err := d.Revise(h.ctx, &monitorv1.Revise{Plan: last, RemoveNodes: []string{"net/tun"}, RemoveMounts: []string{"/hot/on"}}); err != nil {
			t.Fatal(err)
		}
		if said := d.guestSays("ls", "/dev", "--", "ls", "/hot/on"); strings.Contains(said, "ls net") || strings.Contains(said, "ls bin") {
			t.Errorf("%q", said)
		}
		if holds(t, d.pid, "-held-") {
			t.Errorf("the monitor has %q", descriptorsOf(t, d.pid))
		}
		d.end()
	}
}

// A hundred changes leave nothing in the monitor.
func TestNativeReviseLeavesNothing(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	plan := guestPlan(root, nil, "/bin/guest", "pause")
	started, err := d.Start(h.ctx, plan, client.Cgroups{}, client.Logs{})
	if err != nil {
		t.Fatal(err)
	}
	_ = started.Pidfd.Close()
	bind := &monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: root, Target: "/hot"}}}
	more, tun := withTun(plan)
	more.Operations, more.Held = append(more.Operations, bind), []string{"held"}
	file := heldFile(t, "held")
	cycle := func() {
		t.Helper()
		err := d.Revise(h.ctx, &monitorv1.Revise{
			Plan: more, AddNodes: []*monitorv1.DeviceNode{tun}, AddMounts: []*monitorv1.Operation{bind}, Hold: []string{"held"},
		}, file)
		if err == nil {
			err = d.Revise(h.ctx, &monitorv1.Revise{Plan: plan, RemoveNodes: []string{"net/tun"}, RemoveMounts: []string{"/hot"}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	before := descriptorsOf(t, d.pid)
	for range 100 {
		cycle()
	}
	await(t, "the monitor has no more open than before", func() bool { return len(descriptorsOf(t, d.pid)) <= len(before) })
	if said := d.guestSays("mounts"); strings.Contains(said, "/hot") {
		t.Errorf("%q", said)
	}
}

// The monitor is killed in the middle of changes: the container can be ended, and nothing is left.
func TestNativeReviseOfAMonitorThatIsKilled(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	for delay := range 5 {
		d := h.spawn(t, uuid)
		plan := guestPlan(root, nil, "/bin/guest", "pause")
		started, err := d.Start(h.ctx, plan, client.Cgroups{}, client.Logs{})
		if err != nil {
			t.Fatal(err)
		}
		source := t.TempDir()
		bind := &monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: source, Target: "/new/hot"}}}
		more := plain.Clone(plan)
		more.Operations = append(more.Operations, bind)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if d.Revise(h.ctx, &monitorv1.Revise{Plan: more, AddMounts: []*monitorv1.Operation{bind}}) != nil {
					return
				}
				if d.Revise(h.ctx, &monitorv1.Revise{Plan: plan, RemoveMounts: []string{"/new/hot"}}) != nil {
					return
				}
			}
		}()
		time.Sleep(time.Duration(delay) * 3 * time.Millisecond) // whenever that is, it is in the middle of something
		kill(t, d.pidfd)
		<-done
		if err := unix.PidfdSendSignal(int(started.Pidfd.Fd()), unix.SIGKILL, nil, 0); err != nil {
			t.Fatal(err)
		}
		if got := h.waitOrphan(t, started.PID); got != "signal 9" {
			t.Errorf("exit is %q", got)
		}
		_ = started.Pidfd.Close()
		d.end()
	}
}

// Between two boots only the plan changes, and the next boot is by the new one; before the first and after the last there is
// nothing to change.
func TestReviseBetweenBoots(t *testing.T) {
	newPlan := func() *monitorv1.Plan {
		return &monitorv1.Plan{
			Uuid: uuid, Name: "web", Policy: onReboot, Init: &monitorv1.Process{Argv: []string{"x"}},
			Operations: []*monitorv1.Operation{{Step: &monitorv1.Operation_RootBind{RootBind: &monitorv1.RootBind{Source: "/"}}}},
		}
	}
	booted := make(chan string, 8)
	s := &script{t: t, run: func(int) (time.Duration, *monitorv1.Exit, error) {
		return 0, &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: uint32(syscall.SIGHUP)}}, nil
	}}
	c := monitor.NewContainer(naming{s, booted}, nobody{}, nil)
	if err := c.Revise(&monitorv1.Revise{Plan: newPlan()}, nil); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("before the start: %v", err)
	}
	_, pidfd, err := c.Start(newPlan(), monitor.Cgroups{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = pidfd.Close()
	file := heldFile(t, "held")
	own, err := wire.Duplicate(file)
	if err != nil {
		t.Fatal(err)
	}
	next := newPlan()
	next.Held = []string{"a"}
	if err := c.Revise(&monitorv1.Revise{Plan: next, Hold: []string{"a"}}, []*os.File{own}); err != nil {
		t.Fatal(err)
	}
	for want := "web with 1"; ; {
		if got := <-booted; got == want {
			break
		} else if got != "web with 0" {
			t.Fatalf("booted %q", got)
		}
	}
	c.Kill()
	<-c.Ended()
	if _, err := own.Stat(); err == nil {
		t.Error("what was held is still open")
	}
	if err := c.Revise(&monitorv1.Revise{Plan: next}, nil); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_STATE {
		t.Errorf("after the end: %v", err)
	}
}

// naming is a launcher that tells which plan it is asked for, and how many files it is given to hold.
type naming struct {
	*script
	booted chan<- string
}

func (n naming) Launch(plan *monitorv1.Plan, cgroups monitor.Cgroups) (monitor.Guest, error) {
	select {
	case n.booted <- fmt.Sprintf("%s with %d", plan.GetName(), len(cgroups.Held)):
	default:
	}
	return n.script.Launch(plan, cgroups)
}

// What is to be held is what the names say.
func TestWhatIsHeldHasNames(t *testing.T) {
	plan := func(held ...string) *monitorv1.Plan {
		return &monitorv1.Plan{
			Uuid: uuid, Init: &monitorv1.Process{Argv: []string{"x"}}, Held: held,
			Operations: []*monitorv1.Operation{{Step: &monitorv1.Operation_RootBind{RootBind: &monitorv1.RootBind{Source: "/"}}}},
		}
	}
	files := func(n int) []*os.File {
		var list []*os.File
		for range n {
			own, err := wire.Duplicate(heldFile(t, "held"))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, own)
		}
		return list
	}
	s := &script{t: t, run: func(int) (time.Duration, *monitorv1.Exit, error) { return time.Hour, nil, nil }}
	c := monitor.NewContainer(s, nobody{}, nil)
	if _, _, err := c.Start(plan("a", "b"), monitor.Cgroups{Held: files(1)}, nil); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
		t.Errorf("%v", err)
	}
	_, pidfd, err := c.Start(plan("a", "b"), monitor.Cgroups{Held: files(2)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = pidfd.Close()
	for name, test := range map[string]struct {
		plan  *monitorv1.Plan
		hold  []string
		files int
	}{
		"a file too few":           {plan("a", "c"), []string{"c"}, 0},
		"a file too many":          {plan("a"), nil, 1},
		"a name that is held":      {plan("a", "b"), []string{"b"}, 1},
		"a name twice":             {plan("a", "c"), []string{"c", "c"}, 2},
		"a name without a file":    {plan("a", "c"), nil, 0},
		"a file that nobody wants": {plan("a"), []string{"c"}, 1},
	} {
		given := files(test.files)
		err := c.Revise(&monitorv1.Revise{Plan: test.plan, Hold: test.hold}, given)
		if wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_INVALID {
			t.Errorf("%s: %v", name, err)
		}
		for _, f := range given {
			if _, err := f.Stat(); err == nil {
				t.Errorf("%s: a file is still open", name)
			}
		}
	}
	c.Kill()
	<-c.Ended()
}
