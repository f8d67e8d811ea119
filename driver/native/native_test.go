package native_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/drivertest"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimVar) != "" {
		victim()
	}
	if os.Getenv(doomVar) != "" {
		meetDoom()
	}
	if os.Getenv(injectVar) != "" {
		beInjected()
	}
	testenv.Main(m)
}

// host is one davitd's folders in a folder of the test. Its domains run on the host's root, with the guest program at
// /guest.
type host struct {
	options native.Options
	guest   string
}

// newHost makes folders for an instance; it skips the test where the host lacks what every start needs.
func newHost(tb testing.TB, instance string) *host {
	tb.Helper()
	testenv.Require(tb, testenv.Root, testenv.UserNS, testenv.Overlay, testenv.Cgroup)
	testenv.Residue(tb)
	dir := tb.TempDir()
	h := &host{
		options: native.Options{
			RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "run", "d"), UpperDir: filepath.Join(dir, "upper"),
			MonitorPath: testenv.Binary(tb, "davit-monitor"), Instance: instance,
			Pool: native.Pool{Dir: filepath.Join(dir, "ids")},
		},
		guest: filepath.Join(dir, "guest"),
	}
	program := testenv.Build(tb, "./driver/native/testdata/guest")
	if err := os.Mkdir(h.guest, 0o755); err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"reboot", "poweroff", "eat", "bomb", "deaf"} {
		copyProgram(tb, program, filepath.Join(h.guest, name))
	}
	tb.Cleanup(func() { h.showLogs(tb) })
	return h
}

func copyProgram(tb testing.TB, from, to string) {
	tb.Helper()
	source, err := os.Open(from)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		tb.Fatal(err)
	}
	if err := target.Close(); err != nil {
		tb.Fatal(err)
	}
}

// showLogs shows what the keeper and the monitors wrote when a test fails.
func (h *host) showLogs(tb testing.TB) {
	tb.Helper()
	if !tb.Failed() {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(h.options.StateDir, "*", "monitor.log"))
	for _, name := range append(logs, filepath.Join(h.options.RunDir, "keeper.log")) {
		if text, err := os.ReadFile(name); err == nil && len(text) > 0 {
			tb.Logf("%s:\n%s", name, text)
		}
	}
}

// Open gives a driver on the folders.
func (h *host) Open(t *testing.T) driver.Driver {
	t.Helper()
	return h.open(t)
}

func (h *host) open(tb testing.TB) *native.Driver {
	tb.Helper()
	d, err := native.New(h.options)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// Patience is longer in an emulated machine.
func (h *host) Patience() time.Duration { return testenv.Scale(time.Minute) }

// Complete adds the guest program to a definition.
func (h *host) Complete(_ *testing.T, def *davitv1.Domain) { h.complete(def) }

func (h *host) complete(def *davitv1.Domain) {
	def.Partition = "/test-davit"
	def.Devices.Filesystem = append(def.Devices.Filesystem, &davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: h.guest, TargetDir: "/guest", Readonly: true,
	})
}

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Factory {
		t.Helper()
		return newHost(t, "c0ffee01")
	})
}

// kill ends an instance and gives back what it has.
func kill(tb testing.TB, i driver.Instance) {
	tb.Helper()
	if err := i.Kill(context.Background()); err != nil {
		tb.Errorf("kill: %v", err)
	}
	if err := i.Release(context.Background()); err != nil {
		tb.Errorf("release: %v", err)
	}
}
