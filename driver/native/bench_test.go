package native_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/native"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// times are durations of one kind, told as quantiles.
type times []time.Duration

func (l times) report(b *testing.B, name string) {
	b.Helper()
	slices.Sort(l)
	at := func(q float64) float64 {
		return float64(l[int(q*float64(len(l)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), name+"-p50-ms")
	b.ReportMetric(at(0.99), name+"-p99-ms")
}

// BenchmarkLife starts defined domains, from the request to their inits' exec; kills them, to the death of their last process; and gives
// back what they had. The kinds of domain go by turns, so that all have the same host in one run, and their figures are ratios of each
// other. At intervals is the normal case, in which a spare monitor is there each time. The steps of the starts are told, too.
func BenchmarkLife(b *testing.B) {
	b.Run("at_intervals", func(b *testing.B) { lives(b, "be000001", 300*time.Millisecond) })
	b.Run("back_to_back", func(b *testing.B) { lives(b, "be000003", 0) })
}

// aLife is a kind of domain with what was measured of it.
type aLife struct {
	name   string
	change []func(*davitv1.Domain)
	// fresh has it defined anew for each start, and its host ids allotted by that.
	fresh                   bool
	spec                    driver.Spec
	starts, kills, releases times
	steps                   map[string]times
}

// profiled gives a domain a profile.
func profiled(name davitv1.ProfileName) func(*davitv1.Domain) {
	return func(def *davitv1.Domain) { def.Profile = &davitv1.Profile{Name: name} }
}

func lives(b *testing.B, instance string, interval time.Duration) {
	b.Helper()
	h := newNetworkHost(b, instance)
	h.runInMemory(b)
	d := closing(b, h.open(b))
	kill(b, start(b, d, h.spec(idle))) // the keeper is there from now on
	application := profiled(davitv1.ProfileName_PROFILE_NAME_APPLICATION)
	kinds := []*aLife{
		{name: "application", change: []func(*davitv1.Domain){application}},
		{name: "new", change: []func(*davitv1.Domain){application}, fresh: true},
		{name: "system", change: []func(*davitv1.Domain){profiled(davitv1.ProfileName_PROFILE_NAME_SYSTEM)}},
		{name: "privileged", change: []func(*davitv1.Domain){profiled(davitv1.ProfileName_PROFILE_NAME_PRIVILEGED)}},
		{name: "interface", change: []func(*davitv1.Domain){application, withInterfaces(bridged("52:54:00:00:20:01", "10.0.0.2"))}},
	}
	for _, k := range kinds {
		k.define(h)
		k.live(b, d) // its host ids are allotted
		k.starts, k.kills, k.releases, k.steps = nil, nil, nil, nil
	}
	for b.Loop() {
		for _, k := range kinds {
			time.Sleep(interval)
			if k.fresh {
				k.define(h)
			}
			k.live(b, d)
		}
	}
	for _, k := range kinds {
		k.report(b)
	}
	b.ReportMetric(0, "ns/op")
}

// runInMemory puts what does not outlive the boot where it is with davitd: into memory.
func (h *host) runInMemory(b *testing.B) {
	b.Helper()
	dir, err := os.MkdirTemp("/run", "davit-bench-") //nolint:usetesting // the folder of tests is on a disk
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	h.options.RunDir, h.options.StateDir = dir, filepath.Join(dir, "d")
}

func (k *aLife) define(h *networkHost) { k.spec = h.spec("sleep infinity", k.change...) }

// live starts the domain, kills it and releases it.
func (k *aLife) live(b *testing.B, d *native.Driver) {
	b.Helper()
	if k.steps == nil {
		k.steps = make(map[string]times)
	}
	k.spec.Generation = uuid.NewString()
	var step string
	var since time.Time
	next := func(operation string) error {
		now := time.Now()
		if step != "" {
			k.steps[step] = append(k.steps[step], now.Sub(since))
		}
		step, since = operation, now
		return nil
	}
	if len(k.spec.Definition.GetDevices().GetInterface()) == 0 { // else steps of others come between, from another goroutine
		d.OnStep(next)
	}
	begun := time.Now()
	i, err := d.Start(context.Background(), k.spec)
	if err != nil {
		b.Fatal(err)
	}
	k.starts = append(k.starts, time.Since(begun))
	_ = next("")
	d.OnStep(nil)
	begun = time.Now()
	if err := i.Kill(context.Background()); err != nil {
		b.Fatal(err)
	}
	k.kills = append(k.kills, time.Since(begun))
	begun = time.Now()
	if err := i.Release(context.Background()); err != nil {
		b.Fatal(err)
	}
	k.releases = append(k.releases, time.Since(begun))
}

// report tells the figures of the kind, and where the time of its starts went.
func (k *aLife) report(b *testing.B) {
	b.Helper()
	k.starts.report(b, k.name+"-start")
	k.kills.report(b, k.name+"-destroy")
	k.releases.report(b, k.name+"-release")
	for _, name := range slices.Sorted(maps.Keys(k.steps)) {
		l := k.steps[name]
		slices.Sort(l)
		b.Logf("%-12s %-26s %v", k.name, name, l[len(l)/2])
	}
}

// BenchmarkPeer lets crun(1) run a container that ends at once, beside the same with davit: from the request until nothing
// of it is left, by turns, so that both have the same host.
func BenchmarkPeer(b *testing.B) {
	crun, err := exec.LookPath("crun")
	if err != nil {
		b.Skip("needs crun")
	}
	h := newHost(b, "be000002")
	d := closing(b, h.open(b))
	bundle := newBundle(b)
	kill(b, start(b, d, h.spec(idle)))
	peer := apart(b)
	var ours, theirs times
	for b.Loop() {
		begun := time.Now()
		run(b, d, h.spec("", func(def *davitv1.Domain) { def.Os.Init, def.Os.Initarg = "/bin/true", nil }))
		ours = append(ours, time.Since(begun))
		begun = time.Now()
		cmd := exec.Command(crun, "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, "davit-"+uuid.NewString())
		if out, err := peer(cmd); err != nil {
			b.Skipf("crun does not run here: %v\n%s", err, out)
		}
		theirs = append(theirs, time.Since(begun))
	}
	ours.report(b, "davit")
	theirs.report(b, "crun")
	b.ReportMetric(0, "ns/op")
}

// apart gives what runs commands from a thread whose mount namespace shows version 1 cgroups only: crun does not run on
// hybrid hosts. The thread ends with the benchmark.
func apart(b *testing.B) func(*exec.Cmd) ([]byte, error) {
	b.Helper()
	type result struct {
		out []byte
		err error
	}
	commands, results := make(chan *exec.Cmd), make(chan result)
	b.Cleanup(func() { close(commands) })
	serve := func() {
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
			if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
				err = nil // not hybrid
			}
		}
		for cmd := range commands {
			if err != nil {
				results <- result{err: err}
				continue
			}
			out, err := cmd.CombinedOutput()
			results <- result{out, err}
		}
	}
	go onOtherThread(serve)
	return func(cmd *exec.Cmd) ([]byte, error) {
		commands <- cmd
		r := <-results
		return r.out, r.err
	}
}

// onOtherThread runs f on a thread that is not the process's first, whose namespaces /proc/self shows, and that ends with f.
func onOtherThread(f func()) {
	runtime.LockOSThread() // the thread of f is never unlocked: nothing else runs on it, and it ends with f
	if unix.Gettid() != os.Getpid() {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		onOtherThread(f)
	}()
	<-done
	runtime.UnlockOSThread()
}

// run is the whole life of a domain that ends by itself.
func run(b *testing.B, d driver.Driver, spec driver.Spec) {
	b.Helper()
	i, err := d.Start(context.Background(), spec)
	if err != nil {
		b.Fatal(err)
	}
	ch, err := i.Events(context.Background(), 0)
	if err != nil {
		b.Fatal(err)
	}
	for range ch {
	}
	if err := i.Release(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// newBundle makes an OCI bundle with the host's programs, read-only, and /bin/true as its process.
func newBundle(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	for _, name := range []string{"rootfs/proc", "rootfs/dev", "rootfs/sys", "rootfs/usr", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(dir, "rootfs", name)); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(bundleConfig), 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}

const bundleConfig = `{
  "ociVersion": "1.0.2",
  "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin"], "cwd": "/", "terminal": false},
  "root": {"path": "rootfs", "readonly": true},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
  ],
  "linux": {
    "resources": {"memory": {"limit": 134217728}, "pids": {"limit": 512}},
    "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]
  }
}
`
