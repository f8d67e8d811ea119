package launch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// withIDs gives a plan a user namespace whose ids begin at a number of the host.
func withIDs(plan *monitorv1.Plan, first uint32) *monitorv1.Plan {
	plan.Namespaces.User = true
	plan.UidMap = []*monitorv1.IdMapping{{Inside: 0, Outside: first, Count: 65536}}
	plan.GidMap = []*monitorv1.IdMapping{{Inside: 0, Outside: first, Count: 65536}}
	return plan
}

// ownerOf is the owner of a file as the host sees it.
func ownerOf(t *testing.T, path string) string {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", stat.Uid, stat.Gid)
}

// newOwnedRoot is a root folder of ids as an image has them: its root's, and those of a user.
func newOwnedRoot(t *testing.T) string {
	t.Helper()
	root := newRoot(t)
	for name, id := range map[string]int{"of-root": 0, "of-user": 1000} {
		path := filepath.Join(root, "etc", name)
		if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(path, id, id); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestMappedRootHasTheIDsOfTheContainer(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newOwnedRoot(t)
	plan := func(first uint32, words ...string) *monitorv1.Plan {
		p := withIDs(newPlan(root, words...), first)
		p.Operations[0].GetRootBind().Mapped = true
		return p
	}
	out, _ := run(t, plan(idBase, "ls", "/etc", "--", "write", "/new", "x", "--", "chown", "/etc/of-root", "7"))
	out.compare(t, "ls", "of-root 0100644 0:0", "of-user 0100644 1000:1000")
	out.compare(t, "error:")
	if new, changed := ownerOf(t, root+"/new"), ownerOf(t, root+"/etc/of-root"); new != "0:0" || changed != "7:7" {
		t.Errorf("on disk: %s, %s", new, changed)
	}
	// With other ids of the host they are the container's all the same.
	out, _ = run(t, plan(2*idBase, "ls", "/etc", "--", "write", "/new", "y", "--", "remount", "/"))
	out.compare(t, "ls", "of-root 0100644 7:7", "of-user 0100644 1000:1000")
	out.compare(t, "wrote", "/new")
}

func TestMappedReadOnlyRoot(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	p := withIDs(newPlan(newOwnedRoot(t), "ls", "/etc", "--", "write", "/new", "x"), idBase)
	p.Operations[0].GetRootBind().Mapped, p.Operations[0].GetRootBind().ReadOnly = true, true
	out, _ := run(t, p)
	out.compare(t, "ls", "of-root 0100644 0:0", "of-user 0100644 1000:1000")
	out.compare(t, "error:", "write /new x: open /new: read-only file system")
}

// change does to an overlay all that needs a layer to know the container's ids: what is copied up, whited out, made opaque.
var change = strings.Fields("write /etc/of-user x -- chown /etc/of-root 7 -- write /new x -- remove /etc/gone -- remove /folder/file -- remove /folder -- " +
	"mkdir /folder -- ls /etc -- ls /folder -- ls /")

// withLayers tests overlays whose layers are detached, where the kernel does that, and attached.
func withLayers(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	testenv.Require(t, testenv.Root)
	for _, attached := range []bool{false, true} {
		t.Run(map[bool]string{false: "detached", true: "attached"}[attached], func(t *testing.T) {
			testenv.Residue(t)
			launch.AttachLayers(attached)
			defer launch.AttachLayers(false)
			test(t)
		})
	}
}

func newLayers(t *testing.T) []string {
	t.Helper()
	root, over := newOwnedRoot(t), t.TempDir()
	for _, dir := range []string{root, over} {
		if err := os.MkdirAll(dir+"/folder", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/folder/file", nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/etc/gone", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{over, root}
}

func compareChanged(t *testing.T, out output) {
	t.Helper()
	out.compare(t, "error:")
	etc := []string{"of-root 0100644 7:7", "of-user 0100644 1000:1000"}
	for _, line := range out.with("ls") {
		name, rest, _ := strings.Cut(line, " ")
		_, owner, _ := strings.Cut(rest, " ")
		if !strings.HasPrefix(name, "of-") && owner != "0:0" && name != "proc" && name != "sys" {
			t.Errorf("%s", line)
		}
	}
	if got := out.with("ls"); len(got) < 3 || got[0] != etc[0] || got[1] != etc[1] || strings.HasPrefix(got[2], "file") {
		t.Errorf("%q", got)
	}
}

func TestMappedOverlayInMemory(t *testing.T) { withLayers(t, mappedOverlayInMemory) }

func mappedOverlayInMemory(t *testing.T) {
	t.Helper()
	layers := newLayers(t)
	for _, own := range []bool{true, false} {
		p := withOverlay(withIDs(newPlan("", change...), idBase), layers...)
		p.Operations[0].GetRootOverlay().Mapped, p.Operations[0].GetRootOverlay().OwnedByRoot = true, own
		out, _ := run(t, p)
		compareChanged(t, out)
	}
	if found := ownerOf(t, layers[1]+"/etc/of-root"); found != "0:0" {
		t.Errorf("the lower folder was changed to %s", found)
	}
}

func TestMappedOverlayThatIsKept(t *testing.T) { withLayers(t, mappedOverlayThatIsKept) }

func mappedOverlayThatIsKept(t *testing.T) {
	t.Helper()
	layers, kept := newLayers(t), t.TempDir()
	plan := func(first uint32, words ...string) *monitorv1.Plan {
		p := withOverlay(withIDs(newPlan("", words...), first), layers...)
		r := p.Operations[0].GetRootOverlay()
		r.Mapped, r.Upper = true, kept
		return p
	}
	out, _ := run(t, plan(idBase, change...))
	compareChanged(t, out)
	for path, want := range map[string]string{"": "0:0", "/new": "0:0", "/etc/of-root": "7:7", "/etc/of-user": "1000:1000", "/etc/gone": "0:0", "/folder": "0:0"} {
		if got := ownerOf(t, kept+"/upper"+path); got != want {
			t.Errorf("%q on disk: %s, want %s", path, got, want)
		}
	}
	out, _ = run(t, plan(2*idBase, "write", "/new", "y", "--", "remove", "/etc/of-root", "--", "ls", "/etc", "--", "ls", "/folder"))
	out.compare(t, "error:")
	out.compare(t, "ls", "of-user 0100644 1000:1000")
}

func TestMappedOverlayBelowTheRoot(t *testing.T) { withLayers(t, mappedOverlayBelowTheRoot) }

func mappedOverlayBelowTheRoot(t *testing.T) {
	t.Helper()
	layers, kept := newLayers(t), t.TempDir()
	p := withIDs(newPlan(layers[1], "write", "/srv/etc/of-root", "x", "--", "remove", "/srv/etc/gone", "--", "ls", "/srv/etc"), idBase)
	p.Operations[0].GetRootBind().Mapped = true
	add(p, &monitorv1.Operation{Step: &monitorv1.Operation_Overlay{Overlay: &monitorv1.Overlay{
		Lower: layers[1], Upper: kept, Target: "/srv", Mapped: true,
	}}})
	out, _ := run(t, p)
	out.compare(t, "error:")
	out.compare(t, "ls", "of-root 0100644 0:0", "of-user 0100644 1000:1000")
}

// What is mapped is what is asked for; a filesystem that cannot is named, with where it is.
func TestFilesystemThatCannotBeMapped(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	for name, op := range map[string]*monitorv1.Operation{
		"root":    {Step: &monitorv1.Operation_RootBind{RootBind: &monitorv1.RootBind{Source: "/proc", Mapped: true}}},
		"overlay": {Step: &monitorv1.Operation_RootOverlay{RootOverlay: &monitorv1.RootOverlay{Lower: []string{root, "/proc"}, Mapped: true}}},
		"kept":    {Step: &monitorv1.Operation_RootOverlay{RootOverlay: &monitorv1.RootOverlay{Lower: []string{"/proc"}, Upper: t.TempDir(), Mapped: true}}},
	} {
		p := withIDs(newPlan(root, "exit", "0"), idBase)
		p.Operations[0] = op
		_, err := launch.Launch(p, launch.Descriptors{})
		if err == nil || !strings.Contains(err.Error(), `ids cannot be mapped on proc`) || !strings.Contains(err.Error(), `"/proc"`) || !strings.Contains(err.Error(), "ext4") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
