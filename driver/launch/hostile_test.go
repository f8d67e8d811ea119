package launch_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// refused launches a plan that must fail and gives the error.
func refused(t *testing.T, plan *monitorv1.Plan) *launch.Error {
	t.Helper()
	guest, err := launch.Launch(plan, launch.Descriptors{})
	if err == nil {
		_ = guest.Signal(unix.SIGKILL)
		_, _ = guest.Wait()
		_ = guest.Close()
		t.Fatal("it was started")
	}
	var e *launch.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	return e
}

// ESC-01: nothing of ours is executed in a container, by whatever detour.
func TestExeOverwrite(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		root := plan().Operations[0].GetRootBind().GetSource()
		link(t, "/proc/self/exe", root+"/bin/link")
		link(t, "../proc/1/exe", root+"/bin/relative")
		link(t, "link", root+"/bin/twice")
		script(t, root+"/bin/script", "#!/proc/self/exe\n")
		script(t, root+"/bin/script2", "#! /bin/link -x\n")
		script(t, root+"/bin/script3", "#!/bin/script\n")
		elfWith(t, root+"/bin/elf", "/proc/self/exe")
		elfWith(t, root+"/bin/elf1", "/proc/1/exe")
		for _, name := range []string{
			"/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe", "/proc/1/root/bin/guest", "/bin/link", "/bin/relative", "/bin/twice",
			"/bin/script", "/bin/script2", "/bin/script3", "/bin/elf", "/bin/elf1", "link", "script",
		} {
			p := plan()
			p.Init.Argv = []string{name}
			e := refused(t, p)
			if e.Operation != "run" || e.Object != name || e.Kind == 0 {
				t.Errorf("%s: %#v", name, e)
			}
			t.Logf("%s: %v", name, e)
		}
	})
}

func link(tb testing.TB, target, path string) {
	tb.Helper()
	if err := os.Symlink(target, path); err != nil {
		tb.Fatal(err)
	}
}

func script(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		tb.Fatal(err)
	}
}

// elfWith writes a program whose interpreter has the given name.
func elfWith(tb testing.TB, path, interpreter string) {
	tb.Helper()
	data := make([]byte, 256)
	copy(data, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(data[16:], 3)
	binary.LittleEndian.PutUint16(data[18:], 62)
	binary.LittleEndian.PutUint64(data[32:], 64)
	binary.LittleEndian.PutUint16(data[54:], 56)
	binary.LittleEndian.PutUint16(data[56:], 1)
	binary.LittleEndian.PutUint32(data[64:], 3)
	binary.LittleEndian.PutUint64(data[72:], 128)
	binary.LittleEndian.PutUint64(data[96:], uint64(len(interpreter)+1))
	copy(data[128:], interpreter)
	script(tb, path, string(data))
}

func TestAProgramThatCannotRunIsToldApart(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	script(t, root+"/bin/plain", "no program")
	if err := os.Chmod(root+"/bin/plain", 0o644); err != nil {
		t.Fatal(err)
	}
	script(t, root+"/bin/garbage", "no program")
	script(t, root+"/bin/lost", "#!/bin/no-such-shell\n")
	const missing, cannot = monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND, monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE
	for _, test := range []struct {
		name, want string
		kind       monitorv1.ErrorKind
	}{
		{"/sbin/init", `run "/sbin/init": no such file or directory`, missing},
		{"/bin/guest/x", `run "/bin/guest/x": no such file or directory`, missing},
		{"init", `run "init": no such file or directory`, missing},
		{"/bin", `run "/bin": permission denied`, cannot},
		{"/bin/plain", `run "/bin/plain": permission denied`, cannot},
		{"plain", `run "plain": permission denied`, cannot},
		{"/bin/garbage", `run "/bin/garbage": exec format error`, cannot},
		{"/bin/lost", `run "/bin/lost": its interpreter "/bin/no-such-shell": no such file or directory`, cannot},
		{"/dev/null", `run "/dev/null": permission denied`, cannot},
	} {
		plan := newPlan(root)
		plan.Init.Argv = []string{test.name}
		e := refused(t, plan)
		if e.Error() != test.want || e.Kind != test.kind {
			t.Errorf("%s: %q (%v), want %q (%v)", test.name, e, e.Kind, test.want, test.kind)
		}
	}
}

// ESC-03: no descriptor of ours reaches a container, also not one that somebody forgot to mark.
func TestFDLeak(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		for range 50 {
			fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Close(fd) }()
		}
		out, _ := run(t, plan("fds"))
		out.compare(t, "fd", "0 /dev/pts/0", "1 /dev/pts/0", "2 /dev/pts/0")
		guest := start(t, plan("pause"))
		out, _ = join(t, guest, command("fds"))
		if got := out.with("fd"); len(got) != 3 {
			t.Errorf("a command has %q", got)
		}
	})
}

// ESC-04: no working directory outside the root.
func TestCwdProcFD(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		root := plan().Operations[0].GetRootBind().GetSource()
		link(t, "/proc/self/fd/7", root+"/link")
		guest := start(t, plan("pause"))
		cwds := []string{"/link", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd", "/no/such", "/bin/guest"}
		for fd := range 12 {
			cwds = append(cwds, "/proc/self/fd/"+string(rune('0'+fd/10))+string(rune('0'+fd%10)), "/proc/1/fd/"+string(rune('0'+fd%10)))
		}
		for _, cwd := range cwds {
			p := plan("cwd")
			p.Init.Cwd = cwd
			if e := refused(t, p); e.Operation != "enter working directory" || e.Object != cwd {
				t.Errorf("%s: %v", cwd, e)
			}
			command := command("cwd")
			command.Cwd = cwd
			if _, err := launch.Join(guest.Target(launch.Descriptors{}), command, nullFiles(t)); err == nil {
				t.Errorf("a command runs in %s", cwd)
			}
		}
		link(t, "../../../../../bin", root+"/up")
		p := plan("cwd")
		p.Init.Cwd = "/up"
		out, _ := run(t, p)
		out.compare(t, "cwd", "/bin")
	})
}

func nullFiles(tb testing.TB) launch.Stdio {
	tb.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = null.Close() })
	return launch.Stdio{Stdin: null, Stdout: null, Stderr: null}
}

// ESC-05, ESC-11: an image with links where we mount. Whether it is refused or works inside, nothing outside changes.
func TestDevSymlink(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		root := plan().Operations[0].GetRootBind().GetSource()
		canary := filepath.Join(t.TempDir(), "canary")
		for _, dir := range []string{"", "pts", "shm", "sub"} {
			if err := os.MkdirAll(filepath.Join(canary, dir), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		script(t, canary+"/file", "canary")
		before := look(t, canary)
		for _, test := range []struct {
			path, target string
			refused      bool
		}{
			{"dev", canary, true},
			{"dev", "../../../../../../../.." + canary, true},
			{"dev", "no-such", true},
			{"dev", "proc", true},
			{"proc", canary, true},
			{"proc", "dev", true},
			{"sys", canary, true},
			{"sys", "/proc/self/root", true},
			{"tmp", canary, false},
			{"tmp", "../../.." + canary + "/sub", false},
			{"tmp", "bin", false},
			{"tmp", "dangling/x", true},
			{"run", canary + "/new", false},
			{"run", "/proc/1/root", true},
			{"opt", canary + "/file", false},
			{"tmp", "/dev", false},
		} {
			p := plan("exit", "0")
			p.Operations = append(p.Operations,
				&monitorv1.Operation{Step: &monitorv1.Operation_Tmpfs{Tmpfs: &monitorv1.Tmpfs{Target: "/tmp/a", Mode: 0o755}}},
				&monitorv1.Operation{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: canary + "/file", Target: "/opt/x/y", ReadOnly: true}}},
			)
			place := filepath.Join(root, test.path)
			if err := os.RemoveAll(place); err != nil {
				t.Fatal(err)
			}
			link(t, test.target, place)
			if test.refused {
				if e := refused(t, p); e.Step == 0 || test.path == "dev" && e.Message != "a symbolic link is in the way" {
					t.Errorf("%s -> %s: %v", test.path, test.target, e)
				}
			} else if guest, err := launch.Launch(p, launch.Descriptors{}); err == nil {
				_, _ = guest.Wait()
				_ = guest.Close()
			}
			if diff := cmp.Diff(before, look(t, canary)); diff != "" {
				t.Fatalf("%s -> %s changed the host (-before +after):\n%s", test.path, test.target, diff)
			}
			if err := os.Remove(place); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(place, 0o755); err != nil {
				t.Fatal(err)
			}
			if p.Namespaces.User {
				if err := os.Lchown(place, idBase, idBase); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// look lists a tree with the inode, mode and time of each file.
func look(tb testing.TB, tree string) map[string][4]int64 {
	tb.Helper()
	found := map[string][4]int64{}
	err := filepath.WalkDir(tree, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		found[strings.TrimPrefix(path, tree)] = [4]int64{int64(stat.Ino), int64(stat.Mode), stat.Mtim.Nano(), stat.Ctim.Nano()}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// ESC-10: a root that is a symbolic link is no root.
func TestRootfsIsSymlink(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	place := filepath.Join(t.TempDir(), "root")
	link(t, "/", place)
	for _, op := range []*monitorv1.Operation{
		{Step: &monitorv1.Operation_RootBind{RootBind: &monitorv1.RootBind{Source: place}}},
		{Step: &monitorv1.Operation_RootOverlay{RootOverlay: &monitorv1.RootOverlay{Lower: []string{place}}}},
	} {
		plan := newPlan("")
		plan.Operations[0] = op
		if e := refused(t, plan); e.Step != 1 || e.Errno != unix.ENOTDIR {
			t.Errorf("%v", e)
		}
	}
}

// ESC-16: what an image ships to be loaded or run by the host is not.
func TestLoaderCrossing(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("exit", "4")
		root := p.Operations[0].GetRootBind().GetSource()
		for _, name := range []string{"etc/ld.so.preload", "etc/nsswitch.conf", "lib/libnss_files.so.2", "bin/sh", "bin/mount", "bin/modprobe"} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			script(t, filepath.Join(root, name), "#!/bin/guest write /trap sprung\n")
		}
		script(t, root+"/etc/passwd", "web:x:1:1::/:/bin/sh\n")
		p.Init.User = "web"
		if _, exit := run(t, p); exit.Code != 4 {
			t.Errorf("%v", exit)
		}
		if _, err := os.Lstat(root + "/trap"); err == nil {
			t.Error("a trap was sprung")
		}
	})
}

// ESC-17: a passwd that is not one.
func TestPasswdBomb(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	root := newRoot(t)
	passwd := root + "/etc/passwd"
	bombs := map[string]func() error{
		"fifo":   func() error { return unix.Mkfifo(passwd, 0o666) },
		"device": func() error { return os.Symlink("/dev/zero", passwd) },
		"folder": func() error { return os.Mkdir(passwd, 0o755) },
		"huge": func() error {
			if err := os.WriteFile(passwd, nil, 0o644); err != nil {
				return err
			}
			return os.Truncate(passwd, 10<<30)
		},
	}
	for name, make := range bombs {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(passwd); err != nil {
				t.Fatal(err)
			}
			if err := make(); err != nil {
				t.Fatal(err)
			}
			plan := newPlan(root, "id")
			plan.Init.User = "web"
			if e := refused(t, plan); e.Operation != "look up user" || e.Object != "web" {
				t.Errorf("%v", e)
			}
			plan.Init.User = "1000"
			out, _ := run(t, plan)
			out.compare(t, "id", "1000 0 [] pid 1")
		})
	}
}

// ESC-18, ESC-33: exact ids and groups.
func TestUsersAndGroupsAreExact(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		root := plan().Operations[0].GetRootBind().GetSource()
		script(t, root+"/etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/bin:/bin/sh\n1000:x:0:0::/:/bin/sh\n")
		script(t, root+"/etc/group", "root:x:0:\nwww:x:34:\nadm:x:4:web,other\nmail:x:8:other,web\ndaemon:x:1:daemon\n")
		guest := start(t, plan("pause"))
		for _, test := range []struct{ user, group, want string }{
			{"", "", "0 0 []"},
			{"root", "", "0 0 [0]"},
			{"web", "", "33 34 [4 8 34]"},
			{"33", "", "33 34 [4 8 34]"},
			{"web", "adm", "33 4 []"},
			{"web", "99", "33 99 []"},
			{"1000", "", "1000 0 []"},
			{"+1000", "", "1000 0 []"},
			{"65533", "+65533", "65533 65533 []"},
		} {
			p := plan("id")
			p.Init.User, p.Init.Group = test.user, test.group
			out, _ := run(t, p)
			out.compare(t, "id", test.want+" pid 1")
			c := command("id")
			c.User, c.Group = test.user, test.group
			out, _ = join(t, guest, c)
			if got := strings.Join(out.with("id"), ""); !strings.HasPrefix(got, test.want+" pid ") {
				t.Errorf("a command as %s:%s is %q", test.user, test.group, got)
			}
		}
		for _, user := range []string{"nobody", "-1", "4294967295", "4294967296", "0x0", "2147483648a", "root:0", "+", "+web"} {
			p := plan("id")
			p.Init.User = user
			if e := refused(t, p); e.Operation != "look up user" {
				t.Errorf("%s: %v", user, e)
			}
		}
	})
}
