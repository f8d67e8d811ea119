package launch_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/davitd/davit/driver/launch"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// namespaces are the kinds that can be shared, by their files in /proc.
var namespaces = []struct {
	file string
	kind monitorv1.NamespaceKind
}{
	{"net", monitorv1.NamespaceKind_NAMESPACE_KIND_NET},
	{"ipc", monitorv1.NamespaceKind_NAMESPACE_KIND_IPC},
	{"uts", monitorv1.NamespaceKind_NAMESPACE_KIND_UTS},
}

// openNamespace opens a namespace of a process.
func openNamespace(tb testing.TB, pid int, file string) *os.File {
	tb.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, file))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

// shareAll makes a plan one that shares all that can be shared with a process.
func shareAll(tb testing.TB, plan *monitorv1.Plan, pid int) (*monitorv1.Plan, launch.Descriptors) {
	tb.Helper()
	plan.Namespaces.Net, plan.Namespaces.Ipc, plan.Namespaces.Uts = false, false, false
	plan.Operations = slices.DeleteFunc(plan.Operations, func(op *monitorv1.Operation) bool {
		return op.GetHostname() != nil || op.GetLoopbackUp() != nil
	})
	var d launch.Descriptors
	for _, ns := range namespaces {
		plan.Shared = append(plan.Shared, &monitorv1.SharedNamespace{Kind: ns.kind, Owner: "the test"})
		d.Namespaces = append(d.Namespaces, openNamespace(tb, pid, ns.file))
	}
	return plan, d
}

// shareNamespaces fails unless two processes have the same namespaces of the kinds that can be shared.
func shareNamespaces(t *testing.T, a, b int) {
	t.Helper()
	for _, ns := range namespaces {
		one, err1 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", a, ns.file))
		other, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b, ns.file))
		if err := errors.Join(err1, err2); err != nil || one != other {
			t.Errorf("namespaces are %s and %s, %v", one, other, err)
		}
	}
}

// What a container shares is the other's: its network, its message queues, its host name. Commands are in it too, and the
// other one's end takes nothing away.
func TestSharedNamespaces(t *testing.T) {
	inBoth(t, func(w world) {
		t := w.T
		owner := start(t, w.plan("pause"))
		plan, d := shareAll(t, w.plan("cat", "/proc/sys/kernel/hostname", "/sys/class/net/lo/flags", "--", "ls", "/dev/mqueue", "--", "pause"), owner.PID)
		guest, err := launch.Launch(plan, d)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end(guest) })
		shareNamespaces(t, owner.PID, guest.PID)
		text := make([]byte, 4096)
		n, err := guest.Consoles[0].Read(text)
		if err != nil || !strings.Contains(string(text[:n]), "guest-host") {
			t.Errorf("init sees %q, %v", text[:n], err)
		}
		process, err := launch.Join(guest.Target(launch.Descriptors{}), command("pause"), nullFiles(t))
		if err != nil {
			t.Fatal(err)
		}
		shareNamespaces(t, owner.PID, process.PID)
		_ = process.Signal(9)
		_, _ = process.Wait()
		_ = process.Close()
		end(owner)
		out, exit := join(t, guest, command("cat", "/sys/class/net/lo/flags"))
		if exit != (launch.Exit{}) || len(out.with("cat")) != 1 || !strings.Contains(out[0], "0x9") {
			t.Errorf("after the other's end: %q, %v", out, exit)
		}
	})
}

// A container, also one in a user namespace, can be in the host's own namespaces.
func TestHostNamespacesAreShared(t *testing.T) {
	inBoth(t, func(w world) {
		plan, d := shareAll(w.T, w.plan("pause"), os.Getpid())
		guest, err := launch.Launch(plan, d)
		if err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { end(guest) })
		shareNamespaces(w.T, os.Getpid(), guest.PID)
	})
}

// What is no namespace of the kind that it is said to be is refused, and nothing is left.
func TestSharedNamespacesRefused(t *testing.T) {
	inBoth(t, func(w world) {
		for name, test := range map[string]struct {
			change func(*monitorv1.Plan, *launch.Descriptors)
			want   string
		}{
			"another kind": {func(_ *monitorv1.Plan, d *launch.Descriptors) {
				d.Namespaces[0] = openNamespace(w, os.Getpid(), "uts")
			}, "join network namespace of the test"},
			"no namespace": {func(_ *monitorv1.Plan, d *launch.Descriptors) {
				d.Namespaces[1] = nullFiles(w).Stdin
			}, "join IPC namespace of the test"},
			"too few": {func(_ *monitorv1.Plan, d *launch.Descriptors) {
				d.Namespaces = d.Namespaces[1:]
			}, "2 descriptors of 3 namespaces"},
			"also its own": {func(p *monitorv1.Plan, _ *launch.Descriptors) {
				p.Namespaces.Uts = true
			}, "is not the only one"},
			"unknown": {func(p *monitorv1.Plan, _ *launch.Descriptors) {
				p.Shared[0].Kind = 9
			}, "kind 9 is not known"},
		} {
			plan, d := shareAll(w.T, w.plan("pause"), os.Getpid())
			test.change(plan, &d)
			guest, err := launch.Launch(plan, d)
			if err == nil {
				end(guest)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				w.Errorf("%s: %v, want %q", name, err, test.want)
			}
		}
	})
}
