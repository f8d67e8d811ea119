package launch_test

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// A change fails after each of its steps. Whatever came is gone then, and what had gone is there again; the same change can
// be made afterwards.
func TestEachStepOfARevisionFails(t *testing.T) {
	inBoth(t, func(w world) {
		source := newSource(w.T, "one")
		s := startSubject(w.T, add(w.plan("pause"), bindOf(&monitorv1.Bind{Source: source, Target: "/start"})))
		s.must(&monitorv1.Revise{
			AddNodes:  []*monitorv1.DeviceNode{disk()},
			AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: source, Target: "/start/on", ReadOnly: true})},
		})
		change := &monitorv1.Revise{
			RemoveMounts: []string{"/start/on", "/start"}, RemoveNodes: []string{"vdb"},
			AddNodes: []*monitorv1.DeviceNode{tun(), usb()},
			AddMounts: []*monitorv1.Operation{
				bindOf(&monitorv1.Bind{Source: source, Target: "/tmp/a/b"}), bindOf(&monitorv1.Bind{Source: source + "/file", Target: "/tmp/c/file"}),
				innerBindOf(&monitorv1.InnerBind{Source: "/tmp/a", Target: "/tmp/d"}), tmpfsOf(&monitorv1.Tmpfs{Target: "/start", Mode: 0o755}),
				overlayOf(&monitorv1.Overlay{Lower: source, Target: "/tmp/e"}),
			},
		}
		change.Plan = revised(s.plan, change)
		state := func() []string {
			list := s.in("ls", "/dev", "--", "ls", "/", "--", "ls", "/tmp", "--", "cat", "/start/file", "/start/on/file", "--", "mounts")
			slices.Sort(list)
			return list
		}
		before, open := state(), descriptors(w.T)
		steps := 0
		for ; ; steps++ {
			reached, err := launch.ReviseFailingAt(s.Guest, change, nil, steps, unix.EDOM)
			if !reached {
				if err != nil {
					w.Fatal(err)
				}
				break
			}
			if e, ok := errors.AsType[*launch.Error](err); !ok || e.Errno != unix.EDOM || strings.Contains(e.Message, "taken back") {
				w.Errorf("step %d: %#v", steps, err)
			}
			if after := state(); !slices.Equal(before, after) {
				w.Fatalf("step %d: before %q, after %q", steps, before, after)
			}
		}
		if want := 3 + 2 + 5 + 4; steps != want { // what goes, nodes, mounts, places
			w.Errorf("%d steps, want %d", steps, want)
		}
		if now := descriptors(w.T); now > open {
			w.Errorf("%d descriptors before, %d after", open, now)
		}
		s.in("cat", "/tmp/a/b/file", "/tmp/c/file", "/tmp/e/file").compare(w.T, "cat", `/tmp/a/b/file "one"`, `/tmp/c/file "one"`, `/tmp/e/file "one"`)
	})
}

// A container that puts a folder which it may not change where a place was made does not have that emptied when the change fails.
func TestPlaceThatIsTheHosts(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	chownTree(t, root)
	for _, dir := range []string{"/kept", "/kept/to", "/kept/to/be"} {
		if err := os.Mkdir(root+dir, 0o755); err != nil { // the host's
			t.Fatal(err)
		}
	}
	s := startSubject(t, withUserNamespace(newPlan(root, "pause")))
	change := &monitorv1.Revise{AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: newSource(t, "one"), Target: "/place/to/be"})}}
	change.Plan = revised(s.plan, change)
	swap := func() error { // what is called is where the container is
		return errors.Join(os.Rename("/place", "/was"), os.Rename("/kept", "/place"), unix.EDOM)
	}
	err := launch.ReviseFailing(s.Guest, change, nil, 0, swap)
	if !errors.Is(err, unix.EDOM) || errors.Is(err, unix.ENOENT) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(root + "/place/to/be"); err != nil {
		t.Error(err)
	}
}

// A hundred changes leave nothing.
func TestManyRevisionsLeaveNothing(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		source := newSource(w.T, "one")
		points, nodes, open := s.mountPoints(), s.in("ls", "/dev").with("ls"), descriptors(w.T)
		for range 100 {
			s.must(&monitorv1.Revise{
				AddNodes:  []*monitorv1.DeviceNode{usb()},
				AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: source, Target: "/mnt/hot", ReadOnly: true})},
			})
			s.must(&monitorv1.Revise{RemoveNodes: []string{usb().GetName()}, RemoveMounts: []string{"/mnt/hot"}})
		}
		if after := s.mountPoints(); !slices.Equal(points, after) {
			w.Errorf("mounted before %q, after %q", points, after)
		}
		s.in("ls", "/dev").compare(w.T, "ls", nodes...)
		if now := descriptors(w.T); now > open {
			w.Errorf("%d descriptors before, %d after", open, now)
		}
		if n := threads(w.T); n > 40 {
			w.Errorf("%d threads", n)
		}
	})
}

// ESC-06, CVE-2013-6456: a container that swaps the target of a mount for a symbolic link all the time has it where it may be, or
// not at all.
func TestTargetThatFlips(t *testing.T) {
	inBoth(t, func(w world) {
		canary := newSource(w.T, "canary")
		plan := w.plan("flip", "/flip", "/link")
		root := plan.GetOperations()[0].GetRootBind().GetSource()
		if err := os.Mkdir(root+"/flip", 0o755); err != nil {
			w.Fatal(err)
		}
		link(w.T, canary, root+"/link")
		s := startSubject(w.T, plan)
		source := newSource(w.T, "one")
		before, kept := s.mountPoints(), look(w.T, canary)
		host, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			w.Fatal(err)
		}
		end, done := time.Now().Add(testenv.Scale(time.Minute)), 0
		for i := 0; i < 200 || done == 0 && time.Now().Before(end); i++ {
			err := s.revise(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: source, Target: "/flip"})}})
			if err != nil {
				refuses(w.T, err, wrong)
				continue
			}
			done++
			// One that is elsewhere just now cannot go yet.
			for {
				if err = s.revise(&monitorv1.Revise{RemoveMounts: []string{"/flip"}}); err == nil {
					break
				}
				refuses(w.T, err, inUse)
				if time.Now().After(end) {
					w.Fatal(err)
				}
			}
		}
		if done == 0 {
			w.Error("it was never mounted")
		}
		if after := s.mountPoints(); !slices.Equal(before, after) {
			w.Errorf("mounted before %q, after %q", before, after)
		}
		if after, err := os.ReadFile("/proc/self/mountinfo"); err != nil || string(after) != string(host) {
			w.Errorf("the host's mount table was\n%s, is\n%s", host, after)
		}
		if after := look(w.T, canary); len(after) != len(kept) || after["/file"] != kept["/file"] {
			w.Errorf("%v, %v", kept, after)
		}
	})
}

// ESC-02: a container cannot look into what changes its devices.
func TestRevisePtrace(t *testing.T) {
	inBoth(t, func(w world) {
		plan := w.plan("spy")
		if !plan.Namespaces.User {
			plan.Init.Capabilities &^= 1 << unix.CAP_SYS_PTRACE
		}
		s := startSubject(w.T, plan)
		source := newSource(w.T, "one")
		for range 30 {
			s.must(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: source, Target: "/mnt/a/b"})}})
			s.must(&monitorv1.Revise{RemoveMounts: []string{"/mnt/a/b"}})
			if err := os.RemoveAll(s.path("/mnt/a")); err != nil {
				w.Fatal(err)
			}
		}
		_ = s.Signal(unix.SIGKILL)
		found := make([]byte, 1<<16)
		n, _ := s.Consoles[0].Read(found)
		if said := string(found[:n]); strings.Contains(said, "spied") || !strings.Contains(said, "spying") {
			w.Errorf("the container said %q", said)
		}
	})
}

// What is held is not the container's, neither from the start nor later, nor is anything else of ours.
func TestHeldDescriptorsStayOutside(t *testing.T) {
	inBoth(t, func(w world) {
		held := openFiles(w.T, 3)
		s := startHolding(w.T, hold(w.plan("pause"), "a", "b"), held[0], held[1])
		s.must(&monitorv1.Revise{Hold: []string{"c"}, AddNodes: []*monitorv1.DeviceNode{tun()}}, held...)
		entries, err := os.ReadDir(s.proc("fd"))
		if err != nil || len(entries) != 3 {
			w.Errorf("init has %d descriptors, %v", len(entries), err)
		}
		for _, line := range s.in("fds").with("fd") {
			if strings.Contains(line, "held") {
				w.Errorf("a command has %s", line)
			}
		}
		guest, err := launch.Launch(hold(w.plan("pause"), "a", "b"), launch.Descriptors{Held: held[:1]})
		if err == nil {
			end(guest)
		}
		refuses(w.T, err, wrong)
	})
}

func openFiles(tb testing.TB, n int) []*os.File {
	tb.Helper()
	files := make([]*os.File, n)
	for i := range files {
		var err error
		if files[i], err = os.CreateTemp(tb.TempDir(), "held"); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = files[i].Close() })
	}
	return files
}

func TestCheckRevisionRefuses(t *testing.T) {
	plan := newPlan("/srv/root", "pause")
	for name, change := range map[string]func(r *monitorv1.Revise){
		"no plan":          func(r *monitorv1.Revise) { r.Plan = nil },
		"no plan at all":   func(r *monitorv1.Revise) { r.Plan.Operations = nil },
		"other domain":     func(r *monitorv1.Revise) { r.Plan.Uuid = "other" },
		"other namespaces": func(r *monitorv1.Revise) { r.Plan.Namespaces.Ipc = false },
		"other consoles":   func(r *monitorv1.Revise) { r.Plan.Consoles = append(r.Plan.Consoles, r.Plan.Consoles[0]) },
		"node not planned": func(r *monitorv1.Revise) { r.AddNodes = []*monitorv1.DeviceNode{tun()} },
		"node stays":       func(r *monitorv1.Revise) { r.RemoveNodes = []string{"null"} },
		"root":             func(r *monitorv1.Revise) { r.AddMounts = r.Plan.Operations[:1] },
		"mask":             func(r *monitorv1.Revise) { r.AddMounts = []*monitorv1.Operation{mask("/etc")} },
		"dots":             func(r *monitorv1.Revise) { r.RemoveMounts = []string{"/a/../b"} },
		"the root goes":    func(r *monitorv1.Revise) { r.RemoveMounts = []string{"/"} },
		"not held": func(r *monitorv1.Revise) {
			r.AddMounts = []*monitorv1.Operation{imageOf(&monitorv1.Image{Held: "x", Type: "ext4", Target: "/x"})}
		},
		"held twice": func(r *monitorv1.Revise) { r.Plan.Held = []string{"a", "a"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := &monitorv1.Revise{Plan: plain.Clone(plan)}
			if err := launch.CheckRevision(plan, r); err != nil {
				t.Fatal(err)
			}
			change(r)
			refuses(t, launch.CheckRevision(plan, r), wrong)
		})
	}
}

// A change of devices is one of devices: whatever else of the plan of the boots that follow is another is refused, each field of it.
func TestCheckRevisionKeepsThePlan(t *testing.T) {
	plan := newPlan("/srv/root", "pause")
	plan.Operations = append(plan.Operations, mask("/proc/kcore"))
	devices := []string{"Operations", "Held", "Furnish", "MemoryLimitBytes"}
	for f := range reflect.TypeFor[monitorv1.Plan]().Fields() {
		r := &monitorv1.Revise{Plan: plain.Clone(plan)}
		alter(t, reflect.ValueOf(r.GetPlan()).Elem().FieldByIndex(f.Index))
		err := launch.CheckRevision(plan, r)
		if slices.Contains(devices, f.Name) {
			if (f.Name == "MemoryLimitBytes" || f.Name == "Furnish") && err != nil {
				t.Errorf("another %s: %v", f.Name, err)
			}
			continue
		}
		t.Run(f.Name, func(t *testing.T) { refuses(t, err, wrong) })
	}
	// Of the operations only mounts of devices come and go, and of /dev only nodes.
	dev := slices.IndexFunc(plan.GetOperations(), func(op *monitorv1.Operation) bool { return op.GetDev() != nil })
	for name, change := range map[string]func(*monitorv1.Plan){
		"another root":   func(p *monitorv1.Plan) { p.Operations[0].GetRootBind().Source = "/srv/other" },
		"writable root":  func(p *monitorv1.Plan) { b := p.Operations[0].GetRootBind(); b.ReadOnly = !b.GetReadOnly() },
		"no mask":        func(p *monitorv1.Plan) { p.Operations = p.Operations[:len(p.Operations)-1] },
		"another mask":   func(p *monitorv1.Plan) { p.Operations[len(p.Operations)-1].GetMask().Path = "/proc/other" },
		"more terminals": func(p *monitorv1.Plan) { p.Operations[dev].GetDev().MaxPtys++ },
		"a link in dev": func(p *monitorv1.Plan) {
			p.Operations[dev].GetDev().Links = append(p.Operations[dev].GetDev().Links, &monitorv1.Symlink{Name: "x", Target: "null"})
		},
		"another order": func(p *monitorv1.Plan) {
			n := len(p.Operations)
			p.Operations[n-1], p.Operations[n-2] = p.Operations[n-2], p.Operations[n-1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &monitorv1.Revise{Plan: plain.Clone(plan)}
			change(r.GetPlan())
			refuses(t, launch.CheckRevision(plan, r), wrong)
		})
	}
	r := &monitorv1.Revise{Plan: plain.Clone(plan)}
	r.Plan.Operations = append(r.Plan.Operations, bindOf(&monitorv1.Bind{Source: "/srv", Target: "/srv"}))
	if err := launch.CheckRevision(plan, r); err != nil {
		t.Errorf("a mount more: %v", err)
	}
}

// alter makes a field of a message another.
func alter(t *testing.T, field reflect.Value) {
	t.Helper()
	switch field.Kind() {
	case reflect.Bool:
		field.SetBool(!field.Bool())
	case reflect.String:
		field.SetString(field.String() + "x")
	case reflect.Int32:
		field.SetInt(field.Int() + 1)
	case reflect.Uint32, reflect.Uint64:
		field.SetUint(field.Uint() + 1)
	case reflect.Slice:
		field.Set(reflect.Append(field, reflect.New(field.Type().Elem()).Elem()))
	case reflect.Pointer:
		if field.IsNil() {
			field.Set(reflect.New(field.Type().Elem()))
		}
		alter(t, field.Elem().Field(0))
	default:
		t.Fatalf("a field is a %s", field.Type())
	}
}
