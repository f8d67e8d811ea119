package launch_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// world is what a test of a container has: one without or with a user namespace.
type world struct {
	*testing.T
	// plan makes a plan whose init is the guest with these words; all have the same root folder.
	plan func(words ...string) *monitorv1.Plan
}

// inBoth runs a test in both worlds.
func inBoth(t *testing.T, test func(w world)) {
	t.Helper()
	testenv.Require(t, testenv.Root)
	for _, userns := range []bool{false, true} {
		t.Run(map[bool]string{false: "host ids", true: "user namespace"}[userns], func(t *testing.T) {
			testenv.Residue(t)
			root := newRoot(t)
			if userns {
				chownTree(t, root)
			}
			test(world{t, func(words ...string) *monitorv1.Plan {
				plan := newPlan(root, words...)
				if userns {
					withUserNamespace(plan)
				}
				return plan
			}})
		})
	}
}

// compare fails if the lines of a word are not exactly those wanted.
func (o output) compare(t *testing.T, word string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, o.with(word)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", word, diff)
	}
}

func TestInitIsRootOfItsOwnWorld(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		out, exit := run(t, plan(
			"id", "--", "args", "x y", "--", "env", "--", "cwd", "--", "fds", "--", "tty", "--", "umask", "--",
			"cat", "/proc/sys/kernel/hostname", "/sys/class/net/lo/flags", "/proc/self/cgroup", "--",
			"status", "SigIgn", "NoNewPrivs", "Seccomp", "--", "exit", "7",
		))
		if exit != (launch.Exit{Code: 7}) {
			t.Errorf("exit %v", exit)
		}
		out.compare(t, "id", "0 0 [] pid 1")
		out.compare(t, "env", "PATH=/bin", "container=davit")
		out.compare(t, "cwd", "/")
		out.compare(t, "fd", "0 /dev/pts/0", "1 /dev/pts/0", "2 /dev/pts/0")
		out.compare(t, "tty", "136 mode 020620 owner 0:5 session 1")
		out.compare(t, "umask", "022")
		out.compare(t, "status", "SigIgn 0000000000000000", "NoNewPrivs 0", "Seccomp 0")
		cats := out.with("cat")
		if len(cats) != 3 || cats[0] != `/proc/sys/kernel/hostname "guest-host\n"` || cats[1] != `/sys/class/net/lo/flags "0x9\n"` {
			t.Errorf("host name and loopback: %q", cats)
		}
		out.compare(t, "error:")
	})
}

func TestDevHoldsExactlyWhatThePlanSays(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		out, _ := run(t, plan("ls", "/dev", "--", "write", "/dev/null", "x", "--", "cat", "/dev/null", "--", "write", "/dev/shm/x", "y"))
		out.compare(t, "ls",
			"console 020620 0:5 136:0", "fd 0120777 0:0 -> /proc/self/fd", "mqueue 041777 "+kernelOwner(t), "null 020666 0:0 1:3",
			"ptmx 0120777 0:0 -> pts/ptmx", "pts 040755 "+kernelOwner(t), "shm 041777 0:0",
			"stdin 0120777 0:0 -> /proc/self/fd/0", "tty 020666 0:0 5:0", "tty1 020620 0:5 136:1", "zero 020666 0:0 1:5",
		)
		// Opening a node with O_CREAT is what a sticky folder would forbid.
		out.compare(t, "wrote", "/dev/null", "/dev/shm/x")
		out.compare(t, "error:")
	})
}

// kernelOwner is who owns the root of a filesystem of the kernel, seen from inside.
func kernelOwner(t *testing.T) string {
	t.Helper()
	if strings.HasSuffix(t.Name(), "user_namespace") {
		return "65534:65534"
	}
	return "0:0"
}

func TestMountTableHoldsNothingOfTheHost(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		out, _ := run(t, plan("mounts"))
		var points []string
		var filesystem string // of the root, which is whatever the test's folder is on
		for _, line := range out.with("mount") {
			fields := strings.Fields(line)
			points = append(points, fields[0]+" "+fields[2]+" "+fields[1][:2])
			if fields[0] == "/" {
				filesystem = fields[2]
			}
		}
		want := []string{
			"/ " + filesystem + " rw", "/dev/pts devpts rw", "/dev/shm tmpfs rw", "/dev tmpfs rw", "/run tmpfs rw",
			"/proc proc rw", "/sys sysfs ro", "/dev/mqueue mqueue rw", "/dev/console devpts rw", "/dev/tty1 devpts rw",
			"/proc/sys proc ro", "/proc/keys tmpfs ro", "/proc/fs tmpfs ro",
		}
		less := func(a, b string) bool { return a < b }
		if diff := cmp.Diff(want, points, sorted(less)); diff != "" {
			t.Errorf("mounts (-want +got):\n%s", diff)
		}
	})
}

func TestMasksAndReadOnlyPathsHold(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		out, _ := run(t, plan(
			"cat", "/proc/keys", "--", "ls", "/proc/fs", "--", "write", "/proc/keys", "x", "--", "mkdir", "/proc/fs/x", "--",
			"write", "/proc/sys/kernel/hostname", "evil", "--", "mkdir", "/sys/x",
		))
		out.compare(t, "cat", `/proc/keys ""`)
		out.compare(t, "ls")
		out.compare(t, "error:",
			"write /proc/keys x: open /proc/keys: read-only file system",
			"mkdir /proc/fs/x: read-only file system",
			"write /proc/sys/kernel/hostname evil: open /proc/sys/kernel/hostname: read-only file system",
			"mkdir /sys/x: read-only file system",
		)
	})
}

// What is excepted from a read-only path stays writable, and nothing else does; what does not exist is passed over.
func TestExceptedFromReadOnly(t *testing.T) {
	const forward = "/proc/sys/net/ipv4/ip_forward"
	// Older kernels (6.1) show net/core to the first user namespace only.
	beside := "/proc/sys/net/ipv6/conf/all/forwarding"
	if _, err := os.Stat(beside); err != nil {
		beside = "/proc/sys/net/core/somaxconn"
	}
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		before, err := os.ReadFile(forward)
		if err != nil {
			t.Fatal(err)
		}
		p := plan("write", forward, "1", "--", "cat", forward, "--", "write", beside, "1", "--",
			"write", "/proc/sys/kernel/hostname", "evil")
		for _, op := range p.Operations {
			if r := op.GetReadOnly(); r != nil {
				r.Except = []string{"/proc/sys/net/no-such", "/proc/sys/net/ipv4"}
			}
		}
		out, _ := run(t, p)
		out.compare(t, "cat", forward+` "1\n"`)
		out.compare(t, "error:",
			fmt.Sprintf("write %[1]s 1: open %[1]s: read-only file system", beside),
			"write /proc/sys/kernel/hostname evil: open /proc/sys/kernel/hostname: read-only file system",
		)
		if after, err := os.ReadFile(forward); err != nil || string(after) != string(before) {
			t.Errorf("the host's was %q and is %q, %v", before, after, err)
		}
	})
}

func TestInitWithoutAConsoleHasANullDeviceOfItsOwn(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		p := plan("write", "/run/x", "y", "--", "exit", "3")
		p.Init.Console = 0
		if _, exit := run(t, p); exit != (launch.Exit{Code: 3}) {
			t.Errorf("exit %v", exit)
		}
	})
}

func TestExitIsExact(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		for _, test := range []struct {
			words string
			want  launch.Exit
		}{
			{"exit 0", launch.Exit{}},
			{"exit 1", launch.Exit{Code: 1}},
			{"exit 255", launch.Exit{Code: 255}},
			{"reboot restart", launch.Exit{Signal: unix.SIGHUP}},
			{"reboot poweroff", launch.Exit{Signal: unix.SIGINT}},
			{"reboot halt", launch.Exit{Signal: unix.SIGINT}},
		} {
			if _, exit := run(t, plan(strings.Fields(test.words)...)); exit != test.want {
				t.Errorf("%s: %v, want %v", test.words, exit, test.want)
			}
		}
	})
}

func TestSignalReachesInit(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		guest, err := launch.Launch(plan("orphan", "--", "pause"), launch.Descriptors{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = guest.Close() }()
		if err := guest.Signal(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		if exit, err := guest.Wait(); err != nil || exit.Signal != unix.SIGKILL {
			t.Errorf("%v, %v", exit, err)
		}
		if err := guest.Signal(unix.SIGTERM); err == nil {
			t.Error("a signal to an init that is gone was sent to somebody")
		}
	})
}

func TestCapabilitiesAreExact(t *testing.T) {
	own := ownCapabilities(t)
	const some = uint64(1)<<unix.CAP_CHOWN | 1<<unix.CAP_KILL | 1<<unix.CAP_NET_BIND_SERVICE
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		for _, test := range []struct {
			user string
			set  uint64
			nnp  bool
		}{{"", allCapabilities, false}, {"", some, false}, {"", some, true}, {"", 0, false}, {"1234", some, false}, {"+7", 0, true}} {
			p := plan("status", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
			p.Init.User, p.Init.Capabilities, p.Init.NoNewPrivs = test.user, test.set, test.nnp
			set := test.set
			if !p.Namespaces.User {
				set &= own
			}
			has := set
			if test.user != "" {
				has = 0
			}
			out, _ := run(t, p)
			nnp := map[bool]int{true: 1}[test.nnp]
			out.compare(t, "status", "CapInh 0000000000000000", fmt.Sprintf("CapPrm %016x", has), fmt.Sprintf("CapEff %016x", has),
				fmt.Sprintf("CapBnd %016x", set), "CapAmb 0000000000000000", fmt.Sprintf("NoNewPrivs %d", nnp))
		}
	})
}

func ownCapabilities(t *testing.T) uint64 {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32
}

func TestLimitsAreTheLowerOfBoth(t *testing.T) {
	testenv.Require(t, testenv.Root)
	testenv.Residue(t)
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	root := newRoot(t)
	// The soft limit is not to be seen: the guest's own Go runtime raises it.
	for _, test := range []struct {
		limits []*monitorv1.Rlimit
		want   uint64
	}{
		{nil, own.Max},
		{[]*monitorv1.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 64, Hard: 128}}, 128},
		{[]*monitorv1.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 1 << 40, Hard: 1 << 40}}, own.Max},
	} {
		plan := newPlan(root, "cat", "/proc/self/limits")
		plan.Init.Rlimits = test.limits
		out, _ := run(t, plan)
		_, line, _ := strings.Cut(strings.Join(out, ""), "Max open files")
		if fields := strings.Fields(line); len(fields) < 2 || fields[1] != fmt.Sprint(test.want) {
			t.Errorf("limits %v: %q, want %d", test.limits, fields, test.want)
		}
	}
}

// What a launch itself has open is not counted against the process: a limit of a few files keeps nothing from running.
func TestFewFiles(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		few := []*monitorv1.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 8, Hard: 8}}
		p := plan("cat", "/proc/self/limits", "--", "cwd")
		p.Init.Rlimits, p.Init.Cwd = few, "/bin"
		out, _ := run(t, p)
		wantFewFiles(t, out)

		guest, c := start(t, plan("pause")), command(p.GetInit().GetArgv()[1:]...)
		c.Rlimits, c.Cwd = few, "/bin"
		out, _ = join(t, guest, c)
		wantFewFiles(t, out)
		end(guest)
	})
}

func wantFewFiles(t *testing.T, out output) {
	t.Helper()
	limits := strings.Join(strings.Fields(strings.Join(out.with("cat"), " ")), " ")
	if !strings.Contains(limits, "Max open files 8 8 ") {
		t.Errorf("%q", out)
	}
	out.compare(t, "cwd", "/bin")
}

// A launch with what is ready is one like another, and so is the one that follows.
func TestLaunchWithWhatIsReady(t *testing.T) {
	inBoth(t, func(w world) {
		t, plan := w.T, w.plan
		launch.GetReady()
		for range 2 {
			out, exit := run(t, plan("id", "--", "umask", "--", "cwd", "--", "status", "SigIgn", "SigBlk", "CapBnd", "--", "exit", "7"))
			if exit != (launch.Exit{Code: 7}) {
				t.Errorf("exit %v", exit)
			}
			out.compare(t, "id", "0 0 [] pid 1")
			out.compare(t, "umask", "022")
			out.compare(t, "cwd", "/")
			out.compare(t, "error:")
		}
	})
}
