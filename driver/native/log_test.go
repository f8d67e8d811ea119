package native_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a domain says outlives it, over several starts, in a folder that nobody else may look into; where there can be no
// folder the domain starts all the same.
func TestConsoleLog(t *testing.T) {
	h := newHost(t, "10900001")
	h.options.LogDir = filepath.Join(t.TempDir(), "log", "d")
	d := closing(t, h.open(t))
	spec := h.spec("echo hello; exit 7")
	for range 2 {
		i := start(t, d, spec)
		events(t, i)
		kill(t, i)
	}
	folder := filepath.Join(h.options.LogDir, spec.UUID)
	text, err := os.ReadFile(filepath.Join(folder, "console.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 6 {
		t.Fatalf("log is %q", text)
	}
	for n, end := range []string{" init F started pid ", " console0 F hello", " init F exited with code 7"} {
		for _, line := range []string{lines[n], lines[n+3]} {
			if !strings.Contains(line, end) {
				t.Errorf("line %d is %q, want %q in it", n, line, end)
			}
		}
	}
	for path, mode := range map[string]os.FileMode{folder: os.ModeDir | 0o700, filepath.Join(folder, "console.log"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, mode)
		}
	}
	h.empty(t)

	other := h.spec(idle)
	if err := os.WriteFile(filepath.Join(h.options.LogDir, other.UUID), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kill(t, start(t, d, other))
}
