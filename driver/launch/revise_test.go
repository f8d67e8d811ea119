package launch_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// subject is a container whose devices are changed.
type subject struct {
	testing.TB
	*launch.Guest
	plan *monitorv1.Plan
}

func startSubject(tb testing.TB, plan *monitorv1.Plan) *subject {
	tb.Helper()
	return &subject{tb, start(tb, plan), plan}
}

// path is one of the container as the host reaches it.
func (s *subject) path(path string) string { return fmt.Sprintf("/proc/%d/root%s", s.PID, path) }

// proc is a path of init in proc(5).
func (s *subject) proc(path string) string { return fmt.Sprintf("/proc/%d/%s", s.PID, path) }

// revise changes devices. The plan of the change is that of the container with what comes, and without what goes.
func (s *subject) revise(r *monitorv1.Revise, held ...*os.File) error {
	s.Helper()
	r.Plan = revised(s.plan, r)
	if err := launch.CheckRevision(s.plan, r); err != nil {
		return err
	}
	err := s.Revise(r, held)
	if err == nil {
		s.plan = r.Plan
	}
	return err
}

// must is revise that does not fail.
func (s *subject) must(r *monitorv1.Revise, held ...*os.File) {
	s.Helper()
	if err := s.revise(r, held...); err != nil {
		s.Fatal(err)
	}
}

// revised is a plan after a change.
func revised(plan *monitorv1.Plan, r *monitorv1.Revise) *monitorv1.Plan {
	next := plain.Clone(plan)
	var kept []*monitorv1.Operation
	for _, op := range next.GetOperations() {
		gone := false
		for _, target := range r.GetRemoveMounts() {
			gone = gone || launch.Removable(op) == target
		}
		if gone {
			continue
		}
		if dev := op.GetDev(); dev != nil {
			var nodes []*monitorv1.DeviceNode
			for _, n := range dev.GetNodes() {
				gone := false
				for _, name := range r.GetRemoveNodes() {
					gone = gone || n.GetName() == name
				}
				if !gone {
					nodes = append(nodes, n)
				}
			}
			dev.Nodes = append(nodes, r.GetAddNodes()...)
		}
		kept = append(kept, op)
	}
	next.Operations = append(kept, r.GetAddMounts()...)
	next.Held = append(next.Held, r.GetHold()...)
	return next
}

// in is what a command in the container says.
func (s *subject) in(words ...string) output {
	s.Helper()
	out, _ := join(s.TB, s.Guest, command(words...))
	return out
}

// refuses fails unless an error is of a kind.
func refuses(tb testing.TB, err error, kind monitorv1.ErrorKind) {
	tb.Helper()
	_ = refusal(tb, err, kind)
}

// refusal is an error that has to be of a kind.
func refusal(tb testing.TB, err error, kind monitorv1.ErrorKind) *launch.Error {
	tb.Helper()
	e, ok := errors.AsType[*launch.Error](err)
	if !ok || e.Kind != kind {
		tb.Errorf("error %v is of kind %v, want %v", err, e.ToProto().GetKind(), kind)
	}
	return e
}

const (
	wrong = monitorv1.ErrorKind_ERROR_KIND_INVALID
	inUse = monitorv1.ErrorKind_ERROR_KIND_BUSY
	ended = monitorv1.ErrorKind_ERROR_KIND_STATE
)

func tun() *monitorv1.DeviceNode {
	return &monitorv1.DeviceNode{Name: "net/tun", Major: 10, Minor: 200, Mode: 0o666}
}

func usb() *monitorv1.DeviceNode {
	return &monitorv1.DeviceNode{Name: "bus/usb/001/002", Major: 189, Minor: 1, Mode: 0o660}
}

func disk() *monitorv1.DeviceNode {
	return &monitorv1.DeviceNode{Name: "vdb", Block: true, Major: 7, Minor: 9, Mode: 0o660}
}

// Nodes come and go with the folders that they need, and belong to the container's root.
func TestNodesComeAndGo(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		before := s.in("ls", "/dev")
		s.must(&monitorv1.Revise{AddNodes: []*monitorv1.DeviceNode{tun(), usb(), disk()}})
		s.in("ls", "/dev/net").compare(w.T, "ls", "tun 020666 0:0 10:200")
		s.in("ls", "/dev/bus/usb/001").compare(w.T, "ls", "002 020660 0:0 189:1")
		s.in("ls", "/dev/bus").compare(w.T, "ls", "usb 040755 0:0")
		var stat unix.Stat_t
		if err := unix.Lstat(s.path("/dev/vdb"), &stat); err != nil || stat.Mode != unix.S_IFBLK|0o660 || stat.Rdev != unix.Mkdev(7, 9) {
			w.Errorf("vdb is %#o %#x, %v", stat.Mode, stat.Rdev, err)
		}
		e := refusal(w.T, s.revise(&monitorv1.Revise{AddNodes: []*monitorv1.DeviceNode{disk()}}), wrong)
		if e.Operation != "add node" || e.Object != "/dev/vdb" {
			w.Errorf("%v", e)
		}
		s.must(&monitorv1.Revise{RemoveNodes: []string{"net/tun", "bus/usb/001/002", "vdb"}})
		s.in("ls", "/dev").compare(w.T, "ls", before.with("ls")...)
		s.must(&monitorv1.Revise{RemoveNodes: []string{"net/tun", "null"}})
		if out := s.in("ls", "/dev"); len(out.with("ls")) != len(before.with("ls"))-1 {
			w.Errorf("%q", out)
		}
	})
}

// A node that the container's root removed, or put something else in the place of, is passed over.
func TestNodesThatTheGuestChanged(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		s.must(&monitorv1.Revise{AddNodes: []*monitorv1.DeviceNode{tun(), usb(), disk()}})
		for _, path := range []string{"/dev/net/tun", "/dev/vdb"} {
			if err := os.Remove(s.path(path)); err != nil {
				w.Fatal(err)
			}
		}
		if err := os.WriteFile(s.path("/dev/vdb"), []byte("mine"), 0o600); err != nil {
			w.Fatal(err)
		}
		if err := os.RemoveAll(s.path("/dev/bus")); err != nil {
			w.Fatal(err)
		}
		if err := os.Symlink("/etc", s.path("/dev/bus")); err != nil {
			w.Fatal(err)
		}
		s.must(&monitorv1.Revise{RemoveNodes: []string{"net/tun", "bus/usb/001/002", "vdb"}})
		if data, err := os.ReadFile(s.path("/dev/vdb")); string(data) != "mine" || err != nil {
			w.Errorf("%q, %v", data, err)
		}
	})
}

// What the container's root puts in the way is an error and leads nowhere.
func TestNodesInTheWay(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		canary := w.TempDir()
		for path, target := range map[string]string{"/dev/net": "/etc", "/dev/bus": canary, "/dev/vdb": "/etc/passwd"} {
			if err := os.Symlink(target, s.path(path)); err != nil {
				w.Fatal(err)
			}
		}
		before := s.in("ls", "/dev", "--", "ls", "/etc")
		for _, n := range []*monitorv1.DeviceNode{tun(), usb(), disk()} {
			good := &monitorv1.DeviceNode{Name: "deep/down/good", Major: 1, Minor: 5, Mode: 0o600}
			refuses(w.T, s.revise(&monitorv1.Revise{AddNodes: []*monitorv1.DeviceNode{good, n}}), wrong)
		}
		s.in("ls", "/dev", "--", "ls", "/etc").compare(w.T, "ls", before.with("ls")...)
		if found := look(w.T, canary); len(found) != 1 {
			w.Errorf("%v", found)
		}
	})
}

// A container that mounts something over its /dev, or over a folder in it, leads nobody there.
func TestNodesUnderAMount(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		s.must(&monitorv1.Revise{AddNodes: []*monitorv1.DeviceNode{tun()}})
		out := s.in("mount", "tmpfs", "/dev/net")
		if len(out.with("mounted")) != 1 {
			w.Fatalf("%q", out)
		}
		other := &monitorv1.DeviceNode{Name: "net/other", Major: 1, Minor: 5, Mode: 0o600}
		refuses(w.T, s.revise(&monitorv1.Revise{AddNodes: []*monitorv1.DeviceNode{other}}), wrong)
		refuses(w.T, s.revise(&monitorv1.Revise{RemoveNodes: []string{"net/tun"}}), inUse)
		s.in("ls", "/dev/net").compare(w.T, "ls")
		s.in("umount", "/dev/net", "--", "ls", "/dev/net").compare(w.T, "ls", "tun 020666 0:0 10:200")

		if out = s.in("mount", "tmpfs", "/dev"); len(out.with("mounted")) != 1 {
			w.Fatalf("%q", out)
		}
		s.must(&monitorv1.Revise{AddNodes: []*monitorv1.DeviceNode{disk()}})
		s.in("ls", "/dev").compare(w.T, "ls")
		s.in("umount", "/dev", "--", "ls", "/dev/net").compare(w.T, "ls", "tun 020666 0:0 10:200")
		var stat unix.Stat_t
		if err := unix.Lstat(s.path("/dev/vdb"), &stat); err != nil || stat.Rdev != unix.Mkdev(7, 9) {
			w.Errorf("vdb is %#x, %v", stat.Rdev, err)
		}
	})
}

// A container that has ended has no devices to change.
func TestReviseOfAContainerThatEnded(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		if err := s.Signal(unix.SIGKILL); err != nil {
			w.Fatal(err)
		}
		if _, err := s.Wait(); err != nil {
			w.Fatal(err)
		}
		bind := &monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: "/etc", Target: "/mnt"}}}
		refuses(w.T, s.revise(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{bind}}), ended)
	})
}
