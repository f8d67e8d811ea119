package launch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

func bindOf(b *monitorv1.Bind) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: b}}
}

func innerBindOf(b *monitorv1.InnerBind) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_InnerBind{InnerBind: b}}
}

func overlayOf(o *monitorv1.Overlay) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_Overlay{Overlay: o}}
}

func tmpfsOf(m *monitorv1.Tmpfs) *monitorv1.Operation {
	return &monitorv1.Operation{Step: &monitorv1.Operation_Tmpfs{Tmpfs: m}}
}

// newSource is a folder of the host with a file in it, that everybody may use.
func newSource(tb testing.TB, text string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o666); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// mountPoints are where something is mounted in a container, as its init sees it.
func (s *subject) mountPoints() []string {
	s.Helper()
	var points []string
	for _, line := range s.in("mounts").with("mount") {
		point, _, _ := strings.Cut(line, " ")
		points = append(points, point)
	}
	slices.Sort(points)
	return points
}

// mountLine is what is said of a mount: its options and type.
func (s *subject) mountLine(point string) string {
	s.Helper()
	for _, line := range s.in("mounts").with("mount") {
		if rest, ok := strings.CutPrefix(line, point+" "); ok {
			return rest
		}
	}
	return ""
}

// Everything that can be mounted at the start can be while the container runs, and taken away.
func TestMountsComeAndGo(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		source, lower := newSource(w.T, "one"), newSource(w.T, "two")
		before := s.mountPoints()
		adds := []*monitorv1.Operation{
			bindOf(&monitorv1.Bind{Source: source, Target: "/mnt/bind", Flags: []monitorv1.MountFlag{monitorv1.MountFlag_MOUNT_FLAG_NODEV}}),
			bindOf(&monitorv1.Bind{Source: source + "/file", Target: "/mnt/new/file", ReadOnly: true}),
			innerBindOf(&monitorv1.InnerBind{Source: "/mnt/bind", Target: "/inner", ReadOnly: true}),
			innerBindOf(&monitorv1.InnerBind{Source: "/mnt/bind/file", Target: "/tmp/f"}),
			overlayOf(&monitorv1.Overlay{Lower: lower, Target: "/mnt/overlay"}),
			tmpfsOf(&monitorv1.Tmpfs{Target: "/mnt/tmp", SizeBytes: 8192, Mode: 0o700}),
		}
		s.must(&monitorv1.Revise{AddMounts: adds})
		out := s.in("cat", "/mnt/bind/file", "/mnt/new/file", "/inner/file", "/tmp/f", "/mnt/overlay/file", "--",
			"write", "/mnt/bind/b", "x", "--", "write", "/mnt/overlay/o", "x", "--", "write", "/mnt/tmp/t", "x", "--",
			"write", "/inner/i", "x", "--", "write", "/mnt/new/file", "x", "--", "ls", "/mnt", "--", "ls", "/mnt/new")
		out.compare(w.T, "cat", `/mnt/bind/file "one"`, `/mnt/new/file "one"`, `/inner/file "one"`, `/tmp/f "one"`, `/mnt/overlay/file "two"`)
		out.compare(w.T, "wrote", "/mnt/bind/b", "/mnt/overlay/o", "/mnt/tmp/t")
		out.compare(w.T, "error:", "write /inner/i x: open /inner/i: read-only file system", "write /mnt/new/file x: open /mnt/new/file: read-only file system")
		if len(look(w.T, lower)) != 2 {
			w.Error("the lower folder was written to")
		}
		if line := s.mountLine("/mnt/bind"); !strings.HasPrefix(line, "rw,nodev") {
			w.Errorf("bind is %q", line)
		}
		var targets []string
		for _, op := range slices.Backward(adds) {
			targets = append(targets, launch.Removable(op))
		}
		s.must(&monitorv1.Revise{RemoveMounts: targets})
		if after := s.mountPoints(); !slices.Equal(before, after) {
			w.Errorf("mounted before %q, after %q", before, after)
		}
		// What was made for them belongs to the container's root.
		s.in("ls", "/mnt", "--", "ls", "/mnt/new").compare(w.T, "ls",
			"bind 040755 0:0", "new 040755 0:0", "overlay 040755 0:0", "tmp 040755 0:0", "file 0100644 0:0")
	})
}

// What a plan mounted at the start goes as what came later does; what the container has unmounted is passed over, also when
// something else is there now.
func TestMountsOfTheStartGo(t *testing.T) {
	inBoth(t, func(w world) {
		source := newSource(w.T, "one")
		plan := add(w.plan("pause"),
			bindOf(&monitorv1.Bind{Source: source, Target: "/a"}), bindOf(&monitorv1.Bind{Source: source, Target: "/a/deep"}),
			tmpfsOf(&monitorv1.Tmpfs{Target: "/b", Mode: 0o755}), innerBindOf(&monitorv1.InnerBind{Source: "/etc", Target: "/c"}),
			overlayOf(&monitorv1.Overlay{Lower: source, Target: "/d"}), tmpfsOf(&monitorv1.Tmpfs{Target: "/e", Mode: 0o755}))
		s := startSubject(w.T, plan)
		s.in("umount", "/b", "--", "mount", "tmpfs", "/b", "--", "write", "/b/mine", "x").compare(w.T, "mounted", "/b")
		s.in("umount", "/e").compare(w.T, "unmounted", "/e")
		s.must(&monitorv1.Revise{RemoveMounts: []string{"/e", "/d", "/c", "/b", "/a/deep", "/a"}})
		points := s.mountPoints()
		for _, gone := range []string{"/a", "/a/deep", "/c", "/d", "/e"} {
			if slices.Contains(points, gone) {
				w.Errorf("%s is still there: %q", gone, points)
			}
		}
		s.in("cat", "/b/mine").compare(w.T, "cat", `/b/mine "x"`)
	})
}

// A mount that is in use does not go, nor one that the container has mounted something on or over.
func TestMountInUse(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		source := newSource(w.T, "one")
		s.must(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{
			bindOf(&monitorv1.Bind{Source: source, Target: "/first"}), bindOf(&monitorv1.Bind{Source: source, Target: "/used"}),
		}})
		before := s.mountPoints()
		remove := func() error { return s.revise(&monitorv1.Revise{RemoveMounts: []string{"/first", "/used"}}) }
		user := command("pause")
		user.Cwd = "/used"
		process, err := launch.Join(s.Target(launch.Descriptors{}), user, nullFiles(w.T))
		if err != nil {
			w.Fatal(err)
		}
		refuses(w.T, remove(), inUse)
		if after := s.mountPoints(); !slices.Equal(before, after) {
			w.Errorf("mounted before %q, after %q", before, after)
		}
		s.in("cat", "/first/file").compare(w.T, "cat", `/first/file "one"`)
		_ = process.Signal(unix.SIGKILL)
		_, _ = process.Wait()
		_ = process.Close()

		for _, point := range []string{"/used", "/used/below"} {
			if err := os.MkdirAll(source+"/below", 0o777); err != nil {
				w.Fatal(err)
			}
			s.in("mount", "tmpfs", point).compare(w.T, "mounted", point)
			refuses(w.T, remove(), inUse)
			s.in("umount", point).compare(w.T, "unmounted", point)
		}
		if err := remove(); err != nil {
			w.Error(err)
		}
		if points := s.mountPoints(); slices.Contains(points, "/first") || slices.Contains(points, "/used") {
			w.Errorf("%q", points)
		}
	})
}

// A target that is a symbolic link, leads through one, is mounted already or is of another kind is refused, with all that
// was asked for beside it.
func TestTargetsInTheWay(t *testing.T) {
	inBoth(t, func(w world) {
		s := startSubject(w.T, w.plan("pause"))
		source := newSource(w.T, "one")
		canary := newSource(w.T, "canary")
		must := func(err error) {
			if err != nil {
				w.Fatal(err)
			}
		}
		must(os.Symlink("/etc", s.path("/link")))
		must(os.Symlink(canary, s.path("/out")))
		must(os.Symlink("/no-such", s.path("/dangling")))
		must(os.WriteFile(s.path("/plain"), nil, 0o644))
		points, before := s.mountPoints(), look(w.T, canary)
		tree := s.in("ls", "/", "--", "ls", "/tmp")
		for _, target := range []string{"/link", "/link/x", "/out", "/out/file/x", "/dangling", "/dangling/y", "/plain", "/plain/x", "/proc", "/run", "/dev"} {
			err := s.revise(&monitorv1.Revise{AddNodes: []*monitorv1.DeviceNode{tun()}, AddMounts: []*monitorv1.Operation{
				bindOf(&monitorv1.Bind{Source: source, Target: "/tmp/good/place"}), bindOf(&monitorv1.Bind{Source: source, Target: target}),
			}})
			refuses(w.T, err, wrong)
		}
		refuses(w.T, s.revise(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{
			bindOf(&monitorv1.Bind{Source: source + "/file", Target: "/tmp"}),
		}}), wrong)
		if after := s.mountPoints(); !slices.Equal(points, after) {
			w.Errorf("mounted before %q, after %q", points, after)
		}
		s.in("ls", "/", "--", "ls", "/tmp").compare(w.T, "ls", tree.with("ls")...)
		if after := look(w.T, canary); len(after) != len(before) || after["/file"] != before["/file"] {
			w.Errorf("%v, %v", before, after)
		}
	})
}

// The container's root cannot take from a mount of the host what it was given, if it has a user namespace.
func TestFlagsOfHotMountsAreLocked(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	chownTree(t, root)
	s := startSubject(t, withUserNamespace(newPlan(root, "pause")))
	source := newSource(t, "one")
	s.must(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{
		bindOf(&monitorv1.Bind{Source: source, Target: "/ro", ReadOnly: true}),
		bindOf(&monitorv1.Bind{Source: source, Target: "/nodev", Flags: []monitorv1.MountFlag{monitorv1.MountFlag_MOUNT_FLAG_NODEV}}),
	}})
	out := s.in("remount", "/ro", "--", "remount", "/nodev", "--", "write", "/ro/x", "y")
	out.compare(t, "remounted")
	out.compare(t, "wrote")
	if len(out.with("error:")) != 3 {
		t.Errorf("%q", out)
	}
}

// A bind brings the mounts below its source, all of them read-only if it is; they go with it, unless that is beyond what
// the kernel does.
func TestBindWithMountsBelow(t *testing.T) {
	inBoth(t, func(w world) {
		source := newSource(w.T, "one")
		if err := os.Mkdir(source+"/below", 0o777); err != nil {
			w.Fatal(err)
		}
		if err := unix.Mount("tmpfs", source+"/below", "tmpfs", 0, "mode=777"); err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() {
			if err := unix.Unmount(source+"/below", 0); err != nil {
				w.Error(err)
			}
		})
		plan := add(w.plan("pause"), bindOf(&monitorv1.Bind{Source: source, Target: "/early", ReadOnly: true}))
		s := startSubject(w.T, plan)
		before := s.mountPoints()
		s.must(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: source, Target: "/late", ReadOnly: true})}})
		out := s.in("write", "/early/x", "y", "--", "write", "/early/below/x", "y", "--", "write", "/late/x", "y", "--", "write", "/late/below/x", "y")
		out.compare(w.T, "wrote")
		if len(out.with("error:")) != 4 {
			w.Errorf("%q", out)
		}
		err := s.revise(&monitorv1.Revise{RemoveMounts: []string{"/late"}})
		if s.plan.GetNamespaces().GetUser() {
			refuses(w.T, err, inUse)
			return
		}
		if err != nil {
			w.Fatal(err)
		}
		if after := s.mountPoints(); !slices.Equal(before, after) {
			w.Errorf("mounted before %q, after %q", before, after)
		}
		s.must(&monitorv1.Revise{RemoveMounts: []string{"/early"}})
	})
}

// What came with a mount that is in use is there again, and goes with it when it is not in use any more.
func TestBusyBindWithMountsBelow(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	source := newSource(t, "one")
	if err := os.Mkdir(source+"/below", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", source+"/below", "tmpfs", 0, "mode=777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(source+"/below", 0); err != nil {
			t.Error(err)
		}
	})
	s := startSubject(t, newPlan(newRoot(t), "pause"))
	empty := s.mountPoints()
	s.must(&monitorv1.Revise{AddMounts: []*monitorv1.Operation{bindOf(&monitorv1.Bind{Source: source, Target: "/hot"})}})
	before := s.mountPoints()
	user := command("pause")
	user.Cwd = "/hot"
	process, err := launch.Join(s.Target(launch.Descriptors{}), user, nullFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, s.revise(&monitorv1.Revise{RemoveMounts: []string{"/hot"}}), inUse)
	if after := s.mountPoints(); !slices.Equal(before, after) {
		t.Errorf("mounted before %q, after %q", before, after)
	}
	_ = process.Signal(unix.SIGKILL)
	_, _ = process.Wait()
	_ = process.Close()
	s.must(&monitorv1.Revise{RemoveMounts: []string{"/hot"}})
	if after := s.mountPoints(); !slices.Equal(empty, after) {
		t.Errorf("mounted before %q, after %q", empty, after)
	}
}
