package launch_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/launch"
	"github.com/davitd/davit/internal/testenv"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// BenchmarkLaunch measures a launch up to the exec of init ("start-us") and with the end of init and all that is taken
// down again, of which init itself, a program of the Go runtime, is a good part.
func BenchmarkLaunch(b *testing.B) {
	testenv.Require(b, testenv.Root)
	for _, bench := range []struct {
		name string
		plan func(root string) *monitorv1.Plan
	}{
		{"host-ids", func(root string) *monitorv1.Plan { return newPlan(root, "exit", "0") }},
		{"user-namespace", func(root string) *monitorv1.Plan { return withUserNamespace(newPlan(root, "exit", "0")) }},
		{"mapped", func(root string) *monitorv1.Plan {
			plan := withUserNamespace(newPlan(root, "exit", "0"))
			plan.Operations[0].GetRootBind().Mapped = true
			return plan
		}},
		{"filtered", func(root string) *monitorv1.Plan {
			plan := withUserNamespace(newPlan(root, "exit", "0"))
			plan.Init.Seccomp, plan.Init.SeccompName = append(statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0), balanced(0, 496)...), "balanced"
			return plan
		}},
		{"overlay", func(root string) *monitorv1.Plan { return withOverlay(newPlan(root, "exit", "0"), root) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			root := newRoot(b)
			if bench.name != "mapped" {
				chownTree(b, root)
			}
			plan := bench.plan(root)
			var start time.Duration
			used := cpu(b)
			for b.Loop() {
				begun := time.Now()
				guest, err := launch.Launch(plan, launch.Descriptors{})
				if err != nil {
					b.Fatal(err)
				}
				start += time.Since(begun)
				if _, err := guest.Wait(); err != nil {
					b.Fatal(err)
				}
				_ = guest.Close()
			}
			b.ReportMetric(float64(start.Microseconds())/float64(b.N), "start-us/op")
			b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// balanced is a filter that asks for ranges of four numbers of system calls by a tree, and allows them all: 247 instructions for 496.
func balanced(from, to uint32) []byte {
	if to-from <= 4 {
		return statement(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW)
	}
	middle := from + (to-from)/8*4
	below, above := balanced(from, middle), balanced(middle, to)
	return append(statement(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, uint8(len(below)/8), 0, middle), append(below, above...)...)
}

// BenchmarkJoin measures a command in a container that runs, and its end.
func BenchmarkJoin(b *testing.B) {
	testenv.Require(b, testenv.Root)
	guest := start(b, newPlan(newRoot(b), "pause"))
	files := nullFiles(b)
	var start time.Duration
	used := cpu(b)
	for b.Loop() {
		begun := time.Now()
		process, err := launch.Join(guest.Target(launch.Descriptors{}), command("exit", "0"), files)
		if err != nil {
			b.Fatal(err)
		}
		start += time.Since(begun)
		if _, err := process.Wait(); err != nil {
			b.Fatal(err)
		}
		_ = process.Close()
	}
	b.ReportMetric(float64(start.Microseconds())/float64(b.N), "start-us/op")
	b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-us/op")
}

// cpu is the processor time of this process and of the children that it has reaped: other than the time that passes, it
// says the same on a busy host.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		if err := unix.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return sum
}

// BenchmarkCrunRun is what crun takes for a container like it, where it is installed.
func BenchmarkCrunRun(b *testing.B) {
	testenv.Require(b, testenv.Root)
	crun, err := exec.LookPath("crun")
	if err != nil {
		b.Skip("crun is not installed")
	}
	bundle := b.TempDir()
	if err := os.Rename(newRoot(b), filepath.Join(bundle, "rootfs")); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(crunConfig), 0o600); err != nil {
		b.Fatal(err)
	}
	state := b.TempDir()
	hideCgroup2(b)
	used := cpu(b)
	for b.Loop() {
		cmd := exec.Command(crun, "--root", state, "--cgroup-manager", "disabled", "run", "--bundle", bundle, "davit-bench")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-us/op")
}

// hideCgroup2 takes the cgroup2 tree of a hybrid host out of what this thread's children see: crun refuses to run beside
// it.
func hideCgroup2(b *testing.B) {
	b.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		b.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		b.Fatal(err)
	}
	_ = unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
}

// crunConfig is about the same container: namespaces, proc, sys, dev, masks, no seccomp.
const crunConfig = `{
 "ociVersion": "1.0.0",
 "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/guest", "exit", "0"], "env": ["PATH=/bin"], "cwd": "/"},
 "root": {"path": "rootfs"}, "hostname": "guest-host",
 "mounts": [
  {"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
  {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
  {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=1024k"]},
  {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
  {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
  {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755", "size=1024k"]}
 ],
 "linux": {
  "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
  "maskedPaths": ["/proc/keys", "/proc/fs"], "readonlyPaths": ["/proc/sys"]
 }
}`
