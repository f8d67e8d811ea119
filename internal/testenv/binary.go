package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// binaries remembers what this test process built.
var binaries struct {
	sync.Mutex
	dir  string
	done map[string]error
}

// Binary gives the path of one of the project's programs, built for the tests once a process. Where DAVIT_TEST_BIN names a
// folder that has it, that one is taken.
func Binary(tb testing.TB, name string) string {
	tb.Helper()
	if dir := os.Getenv("DAVIT_TEST_BIN"); dir != "" {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return Build(tb, "./cmd/"+name)
}

// Build gives the path of the program of a package, by its path from the top of the module, built once a process as a
// static binary. Where the folder DAVIT_TEST_BIN has it, by that same path, that one is taken.
func Build(tb testing.TB, pkg string) string {
	tb.Helper()
	if dir := os.Getenv("DAVIT_TEST_BIN"); dir != "" {
		path := filepath.Join(dir, pkg)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	binaries.Lock()
	defer binaries.Unlock()
	if binaries.dir == "" {
		dir, err := os.MkdirTemp("", "davit-bin-") //nolint:usetesting // it outlives the test that asks first
		if err != nil {
			tb.Fatal(err)
		}
		binaries.dir, binaries.done = dir, map[string]error{}
	}
	path := filepath.Join(binaries.dir, filepath.Base(pkg))
	err, built := binaries.done[pkg]
	if !built {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
		cmd.Dir = Module()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = cmd.CombinedOutput(); err != nil {
			tb.Errorf("build %s: %v\n%s", pkg, err, out)
		}
		binaries.done[pkg] = err
	}
	if err != nil {
		tb.Fatalf("build %s: %v", pkg, err)
	}
	return path
}

// Main runs the tests of a package that uses [Binary] or [Build] and removes what was built. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if binaries.dir != "" {
		_ = os.RemoveAll(binaries.dir)
	}
	os.Exit(code)
}

// Module is the top folder of the module's source. DAVIT_TEST_SOURCE names it where the source is not where it was built.
func Module() string {
	if dir := os.Getenv("DAVIT_TEST_SOURCE"); dir != "" {
		return dir
	}
	_, file, _, _ := runtime.Caller(0)
	if filepath.IsAbs(file) {
		return filepath.Dir(filepath.Dir(filepath.Dir(file)))
	}
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return "."
}
