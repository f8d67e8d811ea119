package launch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// withOverlay gives a plan an overlay over its root, dropped in the end.
func withOverlay(plan *monitorv1.Plan, lower ...string) *monitorv1.Plan {
	plan.Operations[0] = &monitorv1.Operation{Step: &monitorv1.Operation_RootOverlay{RootOverlay: &monitorv1.RootOverlay{
		Lower: lower, OwnedByRoot: true,
	}}}
	return plan
}

// add puts an operation at the end of a plan.
func add(plan *monitorv1.Plan, ops ...*monitorv1.Operation) *monitorv1.Plan {
	plan.Operations = append(plan.Operations, ops...)
	return plan
}

func TestDroppedOverlayLeavesTheLowerAlone(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("write", "/new", "x", "--", "write", "/bin/guest", "gone", "--", "mkdir", "/folder", "--", "ls", "/", "--", "mounts")
		root := p.Operations[0].GetRootBind().GetSource()
		before := look(t, root)
		out, _ := run(t, withOverlay(p, root))
		if got := out.with("wrote"); len(got) == 0 || got[0] != "/new" {
			t.Errorf("wrote %q", got)
		}
		out.compare(t, "made", "/folder")
		if mounts := strings.Join(out, "\n"); !strings.Contains(mounts, "mount / rw,relatime overlay") {
			t.Error(mounts)
		}
		after := look(t, root)
		if len(before) != len(after) || before["/bin/guest"] != after["/bin/guest"] {
			t.Errorf("the lower folder changed: %v, %v", before, after)
		}
		out, _ = run(t, withOverlay(plan("ls", "/"), root))
		if strings.Contains(strings.Join(out, " "), "folder") {
			t.Errorf("a dropped overlay is still there: %q", out)
		}
	})
}

func TestKeptOverlayKeeps(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		upper := t.TempDir()
		for i, words := range []string{"write /kept text", "cat /kept"} {
			p := plan(strings.Fields(words)...)
			p = withOverlay(p, p.Operations[0].GetRootBind().GetSource())
			p.Operations[0].GetRootOverlay().Upper = upper
			out, _ := run(t, p)
			if i == 1 {
				out.compare(t, "cat", `/kept "text"`)
			}
		}
		if _, err := os.Stat(filepath.Join(upper, "upper/kept")); err != nil {
			t.Error(err)
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink("/", link); err != nil {
			t.Fatal(err)
		}
		p := plan("exit", "0")
		p = withOverlay(p, p.Operations[0].GetRootBind().GetSource())
		p.Operations[0].GetRootOverlay().Upper = link
		if e := refused(t, p); e.Step != 1 {
			t.Errorf("%v", e)
		}
	})
}

func TestOverlayOfManyLayers(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("ls", "/layers")
		root := p.Operations[0].GetRootBind().GetSource()
		var lower []string
		for i := range 8 {
			dir := t.TempDir()
			name := string(rune('a' + i))
			if err := os.MkdirAll(filepath.Join(dir, "layers", name), 0o755); err != nil {
				t.Fatal(err)
			}
			lower = append(lower, dir)
		}
		out, _ := run(t, withOverlay(p, append(lower, root)...))
		if got := len(out.with("ls")); got != 8 {
			t.Errorf("%d layers: %q", got, out)
		}
	})
}

func TestHostRootUnderAnOverlay(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		guest := testenv.Build(t, "./internal/guest")
		p := withOverlay(plan(), "/")
		add(p,
			&monitorv1.Operation{Step: &monitorv1.Operation_Tmpfs{Tmpfs: &monitorv1.Tmpfs{Target: "/tmp", Mode: 0o1777}}},
			&monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: guest, Target: "/davit-test/guest", ReadOnly: true}}},
		)
		p.Init.Argv = []string{"/davit-test/guest", "write", "/davit-test/x", "y", "--", "write", "/tmp/a", "b", "--", "ls", "/tmp"}
		out, _ := run(t, p)
		out.compare(t, "wrote", "/davit-test/x", "/tmp/a")
		out.compare(t, "ls", "a 0100644 0:0")
		if _, err := os.Lstat("/davit-test"); err == nil {
			t.Error("the host was written to")
		}
	})
}

func TestBinds(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		source := t.TempDir()
		if err := os.WriteFile(filepath.Join(source, "file"), []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(source, 0o777); err != nil {
			t.Fatal(err)
		}
		bind := func(from, to string, readOnly bool) *monitorv1.Operation {
			return &monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{
				Source: from, Target: to, ReadOnly: readOnly, Flags: []monitorv1.MountFlag{monitorv1.MountFlag_MOUNT_FLAG_NOEXEC, monitorv1.MountFlag_MOUNT_FLAG_NODEV},
			}}}
		}
		p := add(plan("cat", "/etc/one/file", "/srv/a/b/c", "/inner/file", "/new/file", "--", "write", "/etc/two/new", "x", "--", "write", "/etc/one/new", "x", "--",
			"write", "/inner/new", "x", "--", "mounts"),
			bind(source, "/etc/one", true), bind(source, "/etc/two", false), bind(source+"/file", "/srv/a/b/c", false),
			&monitorv1.Operation{Step: &monitorv1.Operation_InnerBind{InnerBind: &monitorv1.InnerBind{Source: "/etc/two", Target: "/inner", ReadOnly: true}}},
			&monitorv1.Operation{Step: &monitorv1.Operation_InnerBind{InnerBind: &monitorv1.InnerBind{Source: "/srv/a/b/c", Target: "/new/file"}}},
		)
		out, _ := run(t, p)
		out.compare(t, "cat", `/etc/one/file "text"`, `/srv/a/b/c "text"`, `/inner/file "text"`, `/new/file "text"`)
		out.compare(t, "wrote", "/etc/two/new")
		out.compare(t, "error:", "write /etc/one/new x: open /etc/one/new: read-only file system", "write /inner/new x: open /inner/new: read-only file system")
		for _, line := range out.with("mount") {
			if strings.HasPrefix(line, "/etc/two ") && !strings.HasPrefix(line, "/etc/two rw,nodev,noexec") {
				t.Error(line)
			}
		}
		e := refused(t, add(plan("exit", "0"), bind(source+"/no-such", "/x", false)))
		if e.Errno != unix.ENOENT || e.Operation != fmt.Sprintf("bind %q on", source+"/no-such") || e.Object != "/x" {
			t.Errorf("%v", e)
		}
	})
}

func TestReadOnlyRootIsMadeReadyAndThenReadOnly(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("mkdir", "/x", "--", "write", "/run/x", "y", "--", "write", "/dev/shm/x", "y")
		p.Operations[0].GetRootBind().ReadOnly = true
		out, _ := run(t, p)
		if e := refused(t, add(plan(), &monitorv1.Operation{Step: &monitorv1.Operation_Tmpfs{Tmpfs: &monitorv1.Tmpfs{Target: "/proc/x", Mode: 0o755}}})); e.Error() !=
			`mount tmpfs "/proc/x": make the place for it: no such file or directory` {
			t.Errorf("%v", e)
		}
		out.compare(t, "error:", "mkdir /x: read-only file system")
		out.compare(t, "wrote", "/run/x", "/dev/shm/x")
	})
}

func TestTmpfsIsBounded(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := add(plan("write", "/small/x", strings.Repeat("x", 9000), "--", "ls", "/small", "--", "write", "/ro/x", "y"),
			&monitorv1.Operation{Step: &monitorv1.Operation_Tmpfs{Tmpfs: &monitorv1.Tmpfs{Target: "/small", SizeBytes: 4096, Mode: 0o700}}},
			&monitorv1.Operation{Step: &monitorv1.Operation_Tmpfs{Tmpfs: &monitorv1.Tmpfs{Target: "/ro", SizeBytes: 4096, Mode: 0o700, ReadOnly: true}}},
		)
		out, _ := run(t, p)
		errors := strings.Join(out.with("error:"), "\n")
		if !strings.Contains(errors, "no space left on device") || !strings.Contains(errors, "open /ro/x: read-only file system") {
			t.Errorf("%q", out)
		}
	})
}

func TestOverlayBelowTheRoot(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		lower := t.TempDir()
		if err := os.WriteFile(filepath.Join(lower, "file"), []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(lower, 0o777); err != nil {
			t.Fatal(err)
		}
		p := add(plan("cat", "/srv/file", "--", "write", "/srv/new", "x"),
			&monitorv1.Operation{Step: &monitorv1.Operation_Overlay{Overlay: &monitorv1.Overlay{Lower: lower, Target: "/srv"}}})
		out, _ := run(t, p)
		out.compare(t, "cat", `/srv/file "text"`)
		out.compare(t, "wrote", "/srv/new")
		if found := look(t, lower); len(found) != 2 {
			t.Errorf("the lower folder has %v", found)
		}
	})
}

// The root of a container with a user namespace has every capability in it, and can still not take from a mount of the host
// what it was given with.
func TestFlagsOfBindsAreLockedInAUserNamespace(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	chownTree(t, root)
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	chownTree(t, source)
	flags := []monitorv1.MountFlag{monitorv1.MountFlag_MOUNT_FLAG_NODEV, monitorv1.MountFlag_MOUNT_FLAG_NOSUID}
	p := add(withUserNamespace(newPlan(root,
		"remount", "/ro", "--", "write", "/ro/new", "x", "--", "remount", "/file", "--", "write", "/file", "x", "--",
		"remount", "/flags", "--", "umount", "/ro", "--", "cat", "/file")),
		&monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: source, Target: "/ro", ReadOnly: true}}},
		&monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: source + "/file", Target: "/file", ReadOnly: true}}},
		&monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: source, Target: "/flags", Flags: flags}}},
	)
	out, _ := run(t, p)
	out.compare(t, "remounted")
	out.compare(t, "wrote")
	out.compare(t, "cat", `/file "text"`)
}

// A container that shares the host's network sees the host's sysfs, read-only, also in a user namespace.
func TestSharedNetwork(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("mkdir", "/sys/x", "--", "exit", "0")
		p.Namespaces.Net = false
		p.Operations = p.Operations[:len(p.Operations)-1]
		out, exit := run(t, p)
		if exit.Code != 0 {
			t.Errorf("%v", exit)
		}
		out.compare(t, "error:", "mkdir /sys/x: read-only file system")
	})
}
