package launch_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// newMappedPlan is the plan of a container that can have what was made ahead, with a mapped root.
func newMappedPlan(t *testing.T, argv ...string) *monitorv1.Plan {
	t.Helper()
	p := withUserNamespace(newPlan(newRoot(t), argv...))
	p.Operations[0].GetRootBind().Mapped = true
	return p
}

// makeAhead makes namespaces ahead.
func makeAhead(tb testing.TB) *launch.Ahead {
	tb.Helper()
	made, err := launch.MakeAhead()
	if err != nil {
		tb.Fatal(err)
	}
	return made
}

// facts are what the host sees of a container that runs, without the numbers that each has for itself.
func facts(t *testing.T, pid int) map[string]string {
	t.Helper()
	got := standing(t, pid)
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	user := namespaceOf(t, filepath.Join(proc, "ns/user"))
	for name := range got {
		if _, is := strings.CutPrefix(name, "ns/"); is {
			delete(got, name)
		}
	}
	for _, name := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup", "time"} {
		path := filepath.Join(proc, "ns", name)
		got["namespace "+name] = fmt.Sprintf("own %t, of its user namespace %t",
			namespaceOf(t, path) != namespaceOf(t, "/proc/self/ns/"+name), owningUser(t, path) == user)
	}
	for _, name := range []string{"status", "environ", "net/dev", "net/route", "net/if_inet6"} {
		text, err := os.ReadFile(filepath.Join(proc, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(text)
	}
	got["mountinfo"] = mountsAlone(t, proc)
	status := regexp.MustCompile(`(?m)^(PPid|TracerPid):.*$`).FindAllString(got["status"], -1)
	for _, line := range regexp.MustCompile(`(?m)^NS\w+:.*$`).FindAllString(got["status"], -1) {
		fields := strings.Fields(line)
		status = append(status, fmt.Sprint(fields[0], len(fields), fields[len(fields)-1]))
	}
	got["status"] = strings.Join(status, "\n")
	mounts := regexp.MustCompile(`(?m)^\d+ \d+ \S+ `).ReplaceAllString(got["mountinfo"], "")
	got["mountinfo"] = regexp.MustCompile(`shared:\d+`).ReplaceAllString(mounts, "shared")
	entries, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	got["descriptors"] = strconv.Itoa(len(entries))
	maps.Copy(got, networkSettings(t, filepath.Join(proc, "ns/net")))
	return got
}

// mountsAlone is the mount table of a container as soon as nothing of it follows another: until the thread that launched it is gone, with its
// mount table, what was taken through the vault does.
func mountsAlone(t *testing.T, proc string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), " master:") {
			return string(text)
		}
		if time.Now().After(deadline) {
			t.Fatalf("its mounts follow others:\n%s", text)
		}
	}
}

// networkSettings are all settings of a network namespace.
func networkSettings(t *testing.T, namespace string) map[string]string {
	t.Helper()
	got, done := make(map[string]string), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with it
		file, err := os.Open(namespace)
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			_ = file.Close()
		}
		if err == nil {
			err = filepath.WalkDir("/proc/sys/net", func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				text, err := os.ReadFile(path)
				if got[path] = string(text); err != nil {
					got[path] = err.Error()
				}
				return nil
			})
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for path := range got {
		// Secrets, and what is measured or is of the whole host.
		if base := filepath.Base(path); strings.HasSuffix(base, "_key") || strings.HasSuffix(base, "_secret") || strings.HasSuffix(base, "_count") {
			delete(got, path)
		}
	}
	if len(got) < 50 {
		t.Fatalf("there are %d settings of the network", len(got))
	}
	return got
}

// namespaceOf is the number of a namespace.
func namespaceOf(t *testing.T, path string) uint64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Error(err)
	}
	return stat.Ino
}

// owningUser is the user namespace that a namespace belongs to.
func owningUser(t *testing.T, path string) uint64 {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	owner, err := unix.IoctlRetInt(int(file.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(owner) }()
	var stat unix.Stat_t
	if err := unix.Fstat(owner, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Ino
}

// drop leaves operations out of a plan.
func drop(p *monitorv1.Plan, is func(op *monitorv1.Operation) bool) {
	p.Operations = slices.DeleteFunc(p.Operations, is)
}

// kinds are the containers that are compared, and how many of the namespaces made ahead each has: user, network, IPC.
var kinds = map[string]struct {
	change func(p *monitorv1.Plan)
	has    [3]bool
}{
	"all":    {func(*monitorv1.Plan) {}, [3]bool{true, true, true}},
	"mapped": {func(p *monitorv1.Plan) { p.Operations[0].GetRootBind().Mapped = true }, [3]bool{true, true, true}},
	"few rights": {func(p *monitorv1.Plan) {
		p.Init.Capabilities, p.Init.NoNewPrivs = 0, true
	}, [3]bool{true, true, true}},
	"network of the host": {func(p *monitorv1.Plan) {
		p.Namespaces.Net = false
		drop(p, func(op *monitorv1.Operation) bool { return op.GetLoopbackUp() != nil })
	}, [3]bool{true, false, true}},
	"queues of the host": {func(p *monitorv1.Plan) { p.Namespaces.Ipc = false }, [3]bool{true, true, false}},
	"name of the host": {func(p *monitorv1.Plan) {
		p.Namespaces.Uts = false
		drop(p, func(op *monitorv1.Operation) bool { return op.GetHostname() != nil })
	}, [3]bool{true, true, true}},
	"small memory":      {func(p *monitorv1.Plan) { p.MemoryLimitBytes = 1 << 20 }, [3]bool{}},
	"no user namespace": {func(p *monitorv1.Plan) { p.Namespaces.User, p.UidMap, p.GidMap = false, nil, nil }, [3]bool{}},
}

// A container that is given namespaces made ahead has them, and is in every respect what it would be without.
func TestAheadGivesTheSameContainer(t *testing.T) {
	testenv.Require(t, testenv.Root)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			testenv.Residue(t)
			root := newRoot(t)
			if name != "mapped" && name != "no user namespace" {
				chownTree(t, root)
			}
			plan := func() *monitorv1.Plan {
				p := withUserNamespace(newPlan(root, "id", "--", "mounts", "--", "cat", "/proc/sys/kernel/hostname", "/proc/sys/fs/mqueue/msg_max",
					"/proc/self/cgroup", "--", "write", "/tmp/new", "x", "--", "ls", "/tmp", "--", "echo", "ready", "--", "read", "--", "reboot", "restart"))
				kind.change(p)
				return p
			}
			without, _ := factsOf(t, plan(), nil)
			made := makeAhead(t)
			numbers := launch.AheadNumbers(made)
			with, of := factsOf(t, plan(), made)
			if diff := cmp.Diff(without, with); diff != "" {
				t.Errorf("what it is without and with namespaces made ahead (-without +with):\n%s", diff)
			}
			for i, number := range numbers {
				if has := of[i] == number; has != kind.has[i] {
					t.Errorf("namespace %d of those made ahead: it has it: %t", i, has)
				}
			}
		})
	}
}

// factsOf runs a container and gives its facts with what it said of itself and how it ended, and the numbers of its namespaces.
func factsOf(t *testing.T, plan *monitorv1.Plan, ahead *launch.Ahead) (got map[string]string, numbers [3]uint64) {
	t.Helper()
	open := descriptors(t)
	guest, err := launch.Launch(plan, launch.Descriptors{Ahead: ahead})
	if err != nil {
		t.Fatal(err)
	}
	console := bufio.NewReader(guest.Consoles[0])
	said := readLine(t, console)
	for line := said; line != "ready"; said += "\n" + line {
		line = readLine(t, console)
	}
	got = facts(t, guest.PID)
	got["said"] = said
	for i, name := range []string{"user", "net", "ipc"} {
		numbers[i] = namespaceOf(t, fmt.Sprintf("/proc/%d/ns/%s", guest.PID, name))
	}
	if _, err = guest.Consoles[0].WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	exit, err := guest.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if got["exit"] = fmt.Sprint(exit); plan.GetInit().GetCapabilities() != 0 && exit.Signal != unix.SIGHUP {
		t.Errorf("its reboot ended as %v", exit)
	}
	_ = guest.Close()
	if ahead != nil {
		open -= launch.AheadDescriptors
	}
	awaitDescriptors(t, open)
	return got, numbers
}

// awaitDescriptors waits until a number of descriptors is open: some are closed a while after a launch.
func awaitDescriptors(t *testing.T, want int) {
	t.Helper()
	now := descriptors(t)
	for deadline := time.Now().Add(time.Minute); now != want && time.Now().Before(deadline); now = descriptors(t) {
		time.Sleep(10 * time.Millisecond)
	}
	if now != want {
		t.Errorf("%d descriptors are open, and without it were %d", now, want)
	}
}

// A network namespace is not older than the settings of the host that it began with.
func TestAheadIsNotOlderThanTheHostsSettings(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	for name, used := range map[string]bool{"core/somaxconn": false, "ipv4/tcp_rmem": false, "ipv4/conf/default/rp_filter": false, "": true} {
		made := makeAhead(t)
		numbers := launch.AheadNumbers(made)
		if name != "" {
			path := filepath.Join("/proc/sys/net", name)
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, text, 0) // what it is already, which the kernel tells as well
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		p := withUserNamespace(newPlan(root, "echo", "ready", "--", "read", "--", "reboot", "restart"))
		p.Operations[0].GetRootBind().Mapped = true
		_, of := factsOf(t, p, made)
		if has := of == numbers; has != used {
			t.Errorf("%q was written to: it has the namespaces made before: %t, want %t", name, has, used)
		}
	}
}

// Where the kernel does not let namespaces be used that were made ahead, others are made.
func TestAheadThatIsRefused(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	for name, spoil := range map[string]func(*launch.Ahead){"entering": launch.SpoilAheadEntry, "mapping": launch.SpoilAheadMap} {
		t.Run(name, func(t *testing.T) {
			made := makeAhead(t)
			numbers := launch.AheadNumbers(made)
			spoil(made)
			p := withUserNamespace(newPlan(root, "echo", "ready", "--", "read", "--", "reboot", "restart"))
			p.Operations[0].GetRootBind().Mapped = true
			got, of := factsOf(t, p, made)
			if of[0] == numbers[0] || got["namespace net"] != "own true, of its user namespace true" {
				t.Errorf("its network namespace is %s", got["namespace net"])
			}
		})
	}
}

// Every instruction of a child that an usher made fails once. The error names the operation that it belongs to, and nothing is left.
func TestAheadEachInstructionFails(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	open := descriptors(t)
	p := newMappedPlan(t, "exit", "0")
	for i, count := 0, 1; i < count; i += 7 { // the child is the same as without, of which all are tried
		guest, n, step, err := launch.LaunchBreakingWith(p, launch.Descriptors{Ahead: makeAhead(t)}, i)
		count = n
		var e *launch.Error
		switch {
		case err == nil:
			end(guest) // it is one that is skipped when all goes well
		case !errors.As(err, &e) || e.Errno != unix.ENOSYS || e.Step != step || e.Operation == "":
			t.Errorf("instruction %d of step %d: %#v", i, step, err)
		}
	}
	awaitDescriptors(t, open)
}

// Whoever furnishes the network namespace is given that which was made ahead, and init has it.
func TestAheadIsFurnished(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	open := descriptors(t)
	p := newMappedPlan(t, "pause")
	made := makeAhead(t)
	var want, furnished unix.Stat_t
	if err := unix.Fstat(int(made.Network().Fd()), &want); err != nil {
		t.Fatal(err)
	}
	guest, err := launch.Launch(p, launch.Descriptors{Ahead: made, Furnish: by(func(_ context.Context, netns *os.File) error {
		return unix.Fstat(int(netns.Fd()), &furnished)
	})})
	if err != nil {
		t.Fatal(err)
	}
	has := namespaceOf(t, fmt.Sprintf("/proc/%d/ns/net", guest.PID))
	end(guest)
	if furnished.Ino != want.Ino || has != want.Ino {
		t.Errorf("%d was furnished, and init has %d: want %d", furnished.Ino, has, want.Ino)
	}
	awaitDescriptors(t, open)
}

// It is furnished while all else is made: a launch that cannot even prepare its filesystems has asked, and calls that off.
func TestAheadIsFurnishedFirst(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	open := descriptors(t)
	p := withUserNamespace(newPlan(newRoot(t), "pause"))
	p.Operations[0].GetRootBind().Source = filepath.Join(t.TempDir(), "missing")
	asked, calledOff := false, false
	_, err := launch.Launch(p, launch.Descriptors{Ahead: makeAhead(t), Furnish: by(func(ctx context.Context, _ *os.File) error {
		asked = true
		<-ctx.Done()
		calledOff = true
		return ctx.Err()
	})})
	e, ok := errors.AsType[*launch.Error](err)
	if !asked || !calledOff || !ok || e.Operation == "furnish network namespace" {
		t.Errorf("asked: %v, called off: %v, got %v", asked, calledOff, err)
	}
	awaitDescriptors(t, open)
}

// Where another namespace is made in its place, that is furnished, too.
func TestAheadThatIsRefusedIsFurnishedAnew(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	open := descriptors(t)
	p := newMappedPlan(t, "pause")
	made := makeAhead(t)
	launch.SpoilAheadEntry(made)
	var furnished []uint64
	guest, err := launch.Launch(p, launch.Descriptors{Ahead: made, Furnish: func(ctx context.Context, netns *os.File) func() error {
		var s unix.Stat_t
		err := unix.Fstat(int(netns.Fd()), &s)
		furnished = append(furnished, s.Ino)
		return func() error { return errors.Join(err, ctx.Err()) } // that of the first is not told
	}})
	if err != nil {
		t.Fatal(err)
	}
	has := namespaceOf(t, fmt.Sprintf("/proc/%d/ns/net", guest.PID))
	end(guest)
	if len(furnished) != 2 || furnished[0] == has || furnished[1] != has {
		t.Errorf("%d were furnished, and init has %d", furnished, has)
	}
	awaitDescriptors(t, open)
}

// Launches with namespaces made ahead and garbage collections at the same time do not disturb each other.
func TestAheadBesideTheGarbageCollector(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	open := descriptors(t)
	p := newMappedPlan(t, "pause")
	stop := make(chan struct{})
	var garbage, work sync.WaitGroup
	garbage.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = fmt.Sprint(string(make([]byte, 1<<16)))
				runtime.GC()
			}
		}
	})
	for range 3 {
		work.Go(func() {
			for range 5 {
				made, err := launch.MakeAhead()
				if err != nil {
					t.Error(err)
					return
				}
				numbers := launch.AheadNumbers(made)
				guest, err := launch.Launch(p, launch.Descriptors{Ahead: made})
				if err != nil {
					t.Error(err)
					return
				}
				if has := namespaceOf(t, fmt.Sprintf("/proc/%d/ns/net", guest.PID)); has != numbers[1] {
					t.Errorf("it has network namespace %d, want %d", has, numbers[1])
				}
				end(guest)
			}
		})
	}
	work.Wait()
	close(stop)
	garbage.Wait()
	awaitDescriptors(t, open)
}

// BenchmarkAhead measures a launch of a mapped root up to the exec of init, by turns with namespaces that were made ahead and without:
// the time, and the processor time of this process and the children that it reaped.
func BenchmarkAhead(b *testing.B) {
	testenv.Require(b, testenv.Root)
	plan := withUserNamespace(newPlan(newRoot(b), "pause"))
	plan.Operations[0].GetRootBind().Mapped = true
	var took, used [2]time.Duration
	for b.Loop() {
		for i := range took {
			var made *launch.Ahead
			if i == 1 {
				made = makeAhead(b)
			}
			before, begun := cpu(b), time.Now()
			guest, err := launch.Launch(plan, launch.Descriptors{Ahead: made})
			took[i] += time.Since(begun)
			used[i] += cpu(b) - before
			if err != nil {
				b.Fatal(err)
			}
			end(guest)
			time.Sleep(200 * time.Millisecond) // what is taken down, and the watch of settings, are gone
		}
	}
	for i, name := range []string{"without", "with"} {
		b.ReportMetric(float64(took[i].Microseconds())/float64(b.N), name+"-us/op")
		b.ReportMetric(float64(used[i].Microseconds())/float64(b.N), name+"-cpu-us/op")
	}
}
