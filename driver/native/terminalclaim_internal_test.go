package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// claimer is a driver that has only what a claim of log files takes.
func claimer(t *testing.T, pool, instance string) *Driver {
	t.Helper()
	states, err := openStates(filepath.Join(t.TempDir(), "states"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = states.dir.Close() })
	return &Driver{opts: Options{Instance: instance, Pool: Pool{Dir: pool}}, states: states}
}

// monitorLives makes what there is of a run whose monitor lives: the lock of its log, until it is closed.
func (d *Driver) monitorLives(t *testing.T, uuid string) *os.File {
	t.Helper()
	if err := os.Mkdir(d.states.path(uuid), 0o700); err != nil {
		t.Fatal(err)
	}
	folder, err := openFolder(d.states.path(uuid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	log, err := createAt(folder, logName, unix.O_WRONLY|unix.O_APPEND)
	if err == nil {
		err = flock(log)
	}
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// claims has the files of a definition claimed.
func (d *Driver) claims(t *testing.T, def *davitv1.Domain) error {
	t.Helper()
	files, err := openTerminals(def)
	if err != nil {
		t.Fatal(err)
	}
	defer files.close()
	return d.claimTerminals(def, files)
}

// A claim holds as long as its run's monitor lives, under every path of the file; what a davitd that was killed has left is removed when
// somebody wants the file, or by the sweep.
func TestTerminalClaims(t *testing.T) {
	pool, dir := t.TempDir(), t.TempDir()
	one, two := claimer(t, pool, "aaaaaaaa"), claimer(t, pool, "bbbbbbbb")
	def := func(uuid, name, file string) *davitv1.Domain {
		def := logged(filepath.Join(dir, file), true)
		def.Uuid, def.Name = uuid, name
		return def
	}
	if err := one.claims(t, &davitv1.Domain{Uuid: "none"}); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(pool); err != nil || len(left) != 0 {
		t.Errorf("a domain without log files left %v, %v", left, err)
	}
	log := one.monitorLives(t, "x")
	if err := one.claims(t, def("x", "web", "file")); err != nil {
		t.Fatal(err)
	}
	if err := one.claims(t, def("x", "web", "file")); err != nil {
		t.Errorf("claimed again by the same run: %v", err)
	}
	for _, d := range []*Driver{one, two} {
		err := d.claims(t, def("y", "db", "./file"))
		if err == nil || !strings.Contains(err.Error(), `file" is written to by running domain "web" (x)`) {
			t.Errorf("claimed twice: %v", err)
		}
		if foreign := d == two; err != nil && strings.Contains(err.Error(), "of another davitd ("+one.states.path("x")+")") != foreign {
			t.Errorf("claimed by another davitd %v: %v", foreign, err)
		}
	}
	if err := two.claims(t, def("y", "db", "other")); err != nil {
		t.Errorf("another file: %v", err)
	}
	if err := log.Close(); err != nil { // the monitor is killed
		t.Fatal(err)
	}
	if err := two.claims(t, def("z", "mail", "file")); err != nil {
		t.Errorf("after the end: %v", err)
	}
	listed := func(when, want string) {
		t.Helper()
		left, err := filepath.Glob(filepath.Join(pool, "consoles", "*"))
		for i := range left {
			left[i] = filepath.Base(left[i])
		}
		if got := strings.Join(left, " "); err != nil || got != want {
			t.Errorf("%s: listed are %q, %v, want %q", when, got, err, want)
		}
	}
	listed("the file of one that is gone", "bbbbbbbb-y.json bbbbbbbb-z.json")
	if err := one.sweepTerminals(func(string) bool { return false }); err != nil {
		t.Error(err)
	}
	if err := two.sweepTerminals(func(uuid string) bool { return uuid == "z" }); err != nil {
		t.Error(err)
	}
	listed("swept", "bbbbbbbb-z.json")
	for range 2 {
		if err := two.releaseTerminals("z"); err != nil {
			t.Error(err)
		}
	}
	listed("released", "")
}
