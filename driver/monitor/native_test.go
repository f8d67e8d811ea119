package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/davitd/davit/driver/monitor/client"
	"github.com/davitd/davit/driver/monitor/wire"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// nativeHouse is a keeper of the real program, whose monitors make real containers.
func nativeHouse(tb testing.TB) *house {
	tb.Helper()
	testenv.Require(tb, testenv.Root)
	return newHouse(tb, testenv.Binary(tb, "davit-monitor"))
}

// newRoot makes a root folder that holds the guest program, and the flood.
func newRoot(tb testing.TB) string {
	tb.Helper()
	root := filepath.Join(tb.TempDir(), "root")
	for _, dir := range []string{"", "bin", "etc", "proc", "sys", "dev", "run"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	for _, pkg := range []string{"./internal/guest", "./driver/monitor/internal/flood"} {
		data, err := os.ReadFile(testenv.Build(tb, pkg))
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "bin", filepath.Base(pkg)), data, 0o755)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

// guestPlan is a plan of an ordinary container whose init is a program of the root.
func guestPlan(root string, policy *monitorv1.Policy, argv ...string) *monitorv1.Plan {
	return &monitorv1.Plan{
		Uuid: uuid, Name: "test", Policy: policy,
		Namespaces: &monitorv1.Namespaces{Ipc: true, Uts: true, Net: true},
		Operations: []*monitorv1.Operation{
			{Step: &monitorv1.Operation_RootBind{RootBind: &monitorv1.RootBind{Source: root}}},
			{Step: &monitorv1.Operation_KernelFilesystem{KernelFilesystem: &monitorv1.KernelFilesystem{
				Type: monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_PROC, Target: "/proc",
			}}},
			{Step: &monitorv1.Operation_Dev{Dev: &monitorv1.Dev{
				Nodes: []*monitorv1.DeviceNode{{Name: "null", Major: 1, Minor: 3, Mode: 0o666}},
				Links: []*monitorv1.Symlink{{Name: "ptmx", Target: "pts/ptmx"}}, MaxPtys: 1024,
			}}},
			{Step: &monitorv1.Operation_ConsoleBind{ConsoleBind: &monitorv1.ConsoleBind{Console: 0, Name: "console"}}},
		},
		Init:     &monitorv1.Process{Argv: argv, Env: []string{"PATH=/bin"}, Capabilities: 1<<41 - 1, Console: 1},
		Consoles: []*monitorv1.Console{{Alias: "console0"}},
	}
}

// mappedPlan is such a plan with a user namespace of its own.
func mappedPlan(root string, policy *monitorv1.Policy, argv ...string) *monitorv1.Plan {
	plan := guestPlan(root, policy, argv...)
	plan.Namespaces.User = true
	plan.UidMap = []*monitorv1.IdMapping{{Inside: 0, Outside: 10_000_000, Count: 65536}}
	plan.GidMap = plan.UidMap
	plan.Operations[0].GetRootBind().Mapped = true
	return plan
}

// launch makes a container whose init does what the guest's words say.
func (d *domain) launch(root string, policy *monitorv1.Policy, words ...string) *client.Started {
	d.t.Helper()
	started, err := d.Start(d.house.ctx, guestPlan(root, policy, append([]string{"/bin/guest"}, words...)...), client.Cgroups{}, client.Logs{})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = started.Pidfd.Close() })
	return started
}

// How a container ended while davitd was away is told exactly.
func TestNativeExit(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	for words, want := range map[string]string{
		"exit 0":          "2 exited code 0 poweroff destroy 0s",
		"exit 7":          "2 exited code 7 poweroff destroy 0s",
		"reboot poweroff": "2 exited signal 2 poweroff destroy 0s",
		"reboot restart":  "2 exited signal 1 reboot destroy 0s",
	} {
		d := h.spawn(t, uuid)
		started := d.launch(root, nil, strings.Fields("read -- "+words)...)
		console := d.console(&monitorv1.OpenConsole{})
		if err := console.Send([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		_, _ = console.Close(), d.Close()
		waitDead(t, started.Pidfd)
		var err error
		if d.Monitor, err = client.Dial(h.ctx, d.folder); err != nil {
			t.Fatal(err)
		}
		watch := d.events(1)
		if got := d.next(watch); got != want {
			t.Errorf("%q: event %q, want %q", words, got, want)
		}
		d.end()
	}
}

// A container that reboots is made again, with the same console; Kill is the end.
func TestNativeReboot(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	d.launch(root, onReboot, "echo", "up", "--", "read", "--", "reboot", "restart")
	watch := d.events(1)
	follower := d.console(&monitorv1.OpenConsole{
		Follow: true, Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST,
	})
	for i := range 3 {
		readUntil(t, follower, "up\r\n")
		if err := follower.Send([]byte("again\n")); err != nil {
			t.Fatal(err)
		}
		d.next(watch)
		if got := d.next(watch); !strings.HasSuffix(got, fmt.Sprint("restarted ", i+1)) {
			t.Errorf("event %q", got)
		}
	}
	readUntil(t, follower, "up\r\n")
	if err := d.Signal(h.ctx, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := d.next(watch); !strings.HasSuffix(got, "exited signal 9 crash destroy 0s") {
		t.Errorf("event %q", got)
	}
	if got := finish(follower); got.err != nil || got.taken {
		t.Errorf("the console ended with %+v", got)
	}
}

// namespaces are the numbers of those of a process which a spare makes ahead.
func namespaces(tb testing.TB, pid int) (numbers [3]string) {
	tb.Helper()
	for i, name := range []string{"user", "net", "ipc"} {
		var err error
		if numbers[i], err = os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name)); err != nil {
			tb.Fatal(err)
		}
	}
	return numbers
}

// keepNamespaces keeps those, so that no others get their numbers until they are released.
func keepNamespaces(tb testing.TB, pid int) (release func()) {
	tb.Helper()
	var kept []*os.File
	for _, name := range []string{"user", "net", "ipc"} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil {
			tb.Fatal(err)
		}
		kept = append(kept, file)
	}
	return func() { wire.CloseAll(kept) }
}

// namespacesHeld are those that a process has descriptors of, with how many of its descriptors are of the watch of settings.
func namespacesHeld(tb testing.TB, pid int) (held [3]string, watches int) {
	tb.Helper()
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		tb.Fatal(err)
	}
	for _, entry := range entries {
		to, _ := os.Readlink(filepath.Join(folder, entry.Name())) // it may be gone
		for i, kind := range []string{"user:", "net:", "ipc:"} {
			if strings.HasPrefix(to, kind) {
				held[i] = to
			}
		}
		if strings.Contains(to, "inotify") || strings.HasSuffix(to, "_map") || strings.HasPrefix(to, "/proc/sys/net") {
			watches++
		}
	}
	return held, watches
}

// A spare has namespaces ready, and its first container is in them and no other is: not that which follows a reboot. One that wants no
// user namespace has none of them. Then the monitor holds none of them any more.
func TestNativeAhead(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	h.spawn(t, uuid).end()
	for _, mapped := range []bool{true, false} {
		ready := make(map[int][3]string)
		for _, pid := range h.awaitSpares(t) {
			await(t, "the spare has namespaces", func() bool {
				ready[pid], _ = namespacesHeld(t, pid)
				return ready[pid][0] != "" && ready[pid][1] != "" && ready[pid][2] != ""
			})
		}
		d := h.spawn(t, uuid)
		made, was := ready[d.pid]
		if !was {
			t.Fatalf("monitor %d was none of the spares %v", d.pid, ready)
		}
		plan := guestPlan(root, onReboot, "/bin/guest", "read", "--", "reboot", "restart")
		if mapped {
			plan = mappedPlan(root, onReboot, "/bin/guest", "read", "--", "reboot", "restart")
		}
		started, err := d.Start(h.ctx, plan, client.Cgroups{}, client.Logs{})
		if err != nil {
			t.Fatal(err)
		}
		_ = started.Pidfd.Close()
		has := namespaces(t, started.PID)
		release := keepNamespaces(t, started.PID)
		if (has == made) != mapped || !mapped && (has[1] == made[1] || has[2] == made[2]) {
			t.Errorf("with a user namespace: %t: init is in %v, made ahead were %v", mapped, has, made)
		}
		await(t, "the monitor holds nothing of it", func() bool {
			held, watches := namespacesHeld(t, d.pid)
			return held == [3]string{} && watches == 0
		})
		watch := d.events(1)
		console := d.console(&monitorv1.OpenConsole{})
		if err = console.Send([]byte("again\n")); err != nil {
			t.Fatal(err)
		}
		d.next(watch)
		if got := d.next(watch); !strings.HasSuffix(got, "restarted 1") {
			t.Errorf("event %q", got)
		}
		state, pidfd, err := d.State(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		_ = pidfd.Close()
		again := namespaces(t, int(state.GetPid()))
		for i := range again {
			if (mapped || i > 0) && again[i] == has[i] {
				t.Errorf("after a reboot it is in %v, before it was in %v", again, has)
			}
		}
		release()
		if err := d.Signal(h.ctx, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		d.next(watch)
		_ = console.Close()
		d.end()
	}
}

// The monitor is killed: the container runs on, its console is where it was, and its exit is exact.
func TestNativeOrphan(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	started := d.launch(root, nil, "read", "--", "echo", "alive", "--", "exit", "42")
	kill(t, d.pidfd)
	kept, err := h.keeper.Withdraw(h.ctx, uuid)
	if err != nil || len(kept.Consoles) != 1 {
		t.Fatalf("withdrew %+v, %v", kept, err)
	}
	defer kept.Close()
	if _, err = kept.Consoles[0].WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	if got := h.waitOrphan(t, started.PID); got != "code 42" {
		t.Errorf("exit is %q, want code 42", got)
	}
	buffer := make([]byte, 1000)
	n, err := kept.Consoles[0].Read(buffer)
	if err != nil || !strings.Contains(string(buffer[:n]), "go") {
		t.Errorf("its console says %q, %v", buffer[:n], err)
	}
}

// 64 commands at once, with and without a terminal, each end with their own code; a program that is not there or cannot be
// run is told apart.
func TestNativeExec(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	d.launch(root, nil, "pause")
	many := 64
	if testenv.Scale(1) > 1 {
		many = 16 // an emulated machine makes one a second, and a greeting is not waited for that long
	}
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			tty := i%2 == 1
			stream, err := d.Exec(h.ctx, &monitorv1.Exec{
				Id: fmt.Sprint(i), Stdin: true, Tty: tty, Rows: 24, Columns: 80,
				Process: &monitorv1.Process{
					Argv: []string{"guest", "read", "--", "echo", "done", "--", "exit", fmt.Sprint(i)},
					Env:  []string{"PATH=/bin"}, Capabilities: 1<<41 - 1,
				},
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = stream.Close() }()
			if err := stream.Send(fmt.Appendln(nil, "word", i)); err != nil {
				t.Error(err)
			}
			got := finish(stream)
			if got.exit != fmt.Sprint("code ", i) || !strings.Contains(got.stdout, "done") || got.err != nil {
				t.Errorf("command %d: %+v", i, got)
			}
		})
	}
	group.Wait()
	if err := os.WriteFile(filepath.Join(root, "etc/text"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]monitorv1.ErrorKind{
		"/bin/nothing": monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND,
		"nothing":      monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND,
		"/etc/text":    monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE,
	} {
		_, err := d.Exec(h.ctx, &monitorv1.Exec{
			Id: "x", Process: &monitorv1.Process{Argv: []string{path}, Env: []string{"PATH=/bin"}},
		})
		if wire.KindOf(err) != want {
			t.Errorf("running %q: %v, want %v", path, err, want)
		}
	}
}

// A container that floods its console is not held up by a reader that does not read, and its monitor does
// not grow.
func TestNativeFlood(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	if _, err := d.Start(h.ctx, guestPlan(root, nil, "/bin/flood", "64"), client.Cgroups{}, client.Logs{}); err != nil {
		t.Fatal(err)
	}
	stalled := d.console(&monitorv1.OpenConsole{ReadOnly: true})
	if got := d.next(d.events(1)); got != "2 exited code 0 poweroff destroy 0s" {
		t.Errorf("event %q", got)
	}
	if peak := status(t, d.pid, "VmHWM:"); peak > 12<<10 {
		t.Errorf("the monitor had %d KiB at its peak", peak)
	}
	late := finish(d.console(&monitorv1.OpenConsole{ReadOnly: true, Start: monitorv1.ConsoleStart_CONSOLE_START_OLDEST}))
	if !strings.HasSuffix(late.stdout, "\r\nflooded\r\n") || len(late.stdout) != 64<<10 {
		t.Errorf("%d bytes are kept, and end with %q", len(late.stdout), tail(late.stdout))
	}
	if got := finish(stalled); !strings.HasSuffix(got.stdout, "\r\nflooded\r\n") || got.err != nil {
		t.Errorf("who did not read ends with %q, %v", tail(got.stdout), got.err)
	}
}

// status reads a number of a process's status.
func status(tb testing.TB, pid int, key string) (n int) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			if n, err = strconv.Atoi(strings.Fields(rest)[0]); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return n
}

// A monitor is killed at any instant of a start: what is left is an init that the keeper knows, or none, or one that dies
// with what holds it; never a monitor, a mount or a half-made container.
func TestNativeKilledWhileStarting(t *testing.T) {
	killWhileStarting(t, func(_ *house, root string) *monitorv1.Plan { return guestPlan(root, nil, "/bin/guest", "pause") })
}

// The same, with a monitor that has namespaces which it made when it was a spare.
func TestNativeKilledWhileStartingAhead(t *testing.T) {
	killWhileStarting(t, func(h *house, root string) *monitorv1.Plan {
		h.awaitSpares(t)
		return mappedPlan(root, nil, "/bin/guest", "pause")
	})
}

// killWhileStarting starts plans, and kills the monitor meanwhile.
func killWhileStarting(t *testing.T, plan func(h *house, root string) *monitorv1.Plan) {
	t.Helper()
	h, root := nativeHouse(t), newRoot(t)
	h.spawn(t, uuid).end()
	for i := range 25 {
		p := plan(h, root)
		d := h.spawn(t, uuid)
		go func() {
			started, err := d.Start(h.ctx, p, client.Cgroups{}, client.Logs{})
			if err == nil {
				_ = started.Pidfd.Close()
			}
		}()
		time.Sleep(time.Duration(i) * 400 * time.Microsecond) // the instant at which it is killed
		kill(t, d.pidfd)
		h.awaitMonitors(t, func(uuids []string) bool { return len(uuids) == 0 })
		// What davitd does by the domain's cgroup: everything that is left is killed.
		await(t, "the keeper has no children", func() bool {
			children := childrenOf(t, int(h.keeper.Hello().GetPid()))
			for _, child := range children {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
			return len(children) == 0
		})
		d.end()
	}
}

// childrenOf are the children of a process.
func childrenOf(tb testing.TB, pid int) (children []int) {
	tb.Helper()
	entries, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(entry)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			tb.Fatal(err)
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				tb.Fatal(err)
			}
			children = append(children, child)
		}
	}
	return children
}

// The container does not hold what is the monitor's: no descriptor of ours is in it, and it does not see the monitor.
func TestNativeNothingPassedOn(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	d := h.spawn(t, uuid)
	started := d.launch(root, nil, "read")
	// A program that has just begun may have a file open for a moment.
	await(t, "that init has no descriptor but the standard ones", func() bool {
		links, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", started.PID))
		return err == nil && len(links) == 3
	})
	stream := d.exec(&monitorv1.Exec{Id: "x", Process: &monitorv1.Process{
		Argv: []string{"/bin/guest", "fds"}, Env: []string{"PATH=/bin"}, Capabilities: 1<<41 - 1,
	}})
	if got := finish(stream); strings.Count(got.stdout, "fd ") != 3 || got.exit != "code 0" {
		t.Errorf("a command has %+v, want 3 descriptors", got)
	}
}

// maxPSS is the most memory of an idle monitor, in KiB, with its share of what it shares with the others.
const maxPSS = 1.2 * 1024

// Thirty monitors of idle containers, and what one of them costs.
func TestNativeMemory(t *testing.T) {
	h, root := nativeHouse(t), newRoot(t)
	const count = 30
	var domains []*domain
	for i := range count {
		d := h.spawn(t, fmt.Sprintf("%s%02d", uuid[:34], i))
		started, err := d.Start(h.ctx, guestPlan(root, nil, "/bin/guest", "pause"), client.Cgroups{}, client.Logs{Folder: openFolder(t, t.TempDir())})
		if err != nil {
			t.Fatal(err)
		}
		_ = started.Pidfd.Close()
		watch := d.events(0)
		d.next(watch)
		if err := watch.Acknowledge(1); err != nil {
			t.Fatal(err)
		}
		domains = append(domains, d)
	}
	time.Sleep(2 * time.Second) // idle is what they are after a while, or a while longer on a busy host
	total, threads := 0, 0
	defer func() {
		t.Logf("%d idle monitors: %d KiB PSS and %.1f threads each; the keeper: %d KiB PSS",
			count, total/count, float64(threads)/count, pss(t, int(h.keeper.Hello().GetPid())))
	}()
	await(t, fmt.Sprintf("a monitor comes to take %.0f KiB PSS at most, once it is idle", maxPSS), func() bool {
		total, threads = 0, 0
		for _, d := range domains {
			total += pss(t, d.pid)
			threads += status(t, d.pid, "Threads:")
		}
		return float64(total)/count <= maxPSS
	})
}

func pss(tb testing.TB, pid int) int {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}
	tb.Fatal("smaps_rollup has no Pss")
	return 0
}

// BenchmarkSpawn is what a monitor adds to a start: from the request to the keeper to a monitor that listens.
func BenchmarkSpawn(b *testing.B) {
	h := newHouse(b, testenv.Binary(b, "davit-monitor"))
	folder := openFolder(b, b.TempDir())
	for b.Loop() {
		spawned, err := h.keeper.Spawn(h.ctx, client.Spawn{
			UUID: uuid, Generation: generation, Program: h.program, Folder: folder, Log: h.log,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		m, err := client.Dial(h.ctx, folder)
		if err == nil {
			err = m.Quit(context.Background(), false)
		}
		if err != nil {
			b.Fatal(err)
		}
		waitDead(b, spawned.Pidfd)
		_, _ = m.Close(), spawned.Pidfd.Close()
		h.awaitMonitors(b, func(uuids []string) bool { return len(uuids) == 0 })
		b.StartTimer()
	}
}
