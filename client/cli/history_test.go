package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/client/cli"
)

func openHistory(t *testing.T, path string) *cli.History {
	t.Helper()
	h, err := cli.OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHistoryKeepsWhatIsWorthIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "davit", "history")
	h := openHistory(t, path)
	for line, want := range map[string]bool{" secret": false, "": false, "  ": false, "a\x1b[2J": false, "a\u202eb": false, "\xff": false} {
		if kept, err := h.Add(line); kept != want || err != nil {
			t.Errorf("add %q: %v, %v", line, kept, err)
		}
	}
	for _, line := range []string{"list", "list", "start 日本", "list"} {
		if _, err := h.Add(line); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"list", "start 日本", "list"}
	if diff := cmp.Diff(want, h.Lines()); diff != "" {
		t.Errorf("remembered (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, openHistory(t, path).Lines()); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
	for place, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(place)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", place, got, want)
		}
	}
}

// TestHistoryIsBounded adds more lines than are kept.
func TestHistoryIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	h := openHistory(t, path)
	for i := range 3500 {
		if _, err := h.Add(fmt.Sprintf("domid %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	again := openHistory(t, path)
	if diff := cmp.Diff(h.Lines(), again.Lines()); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
	if n := len(again.Lines()); n != 1000 || again.Lines()[n-1] != "domid 3499" {
		t.Errorf("%d lines, the last %q", n, again.Lines()[n-1])
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(content), "\n"); n > 2000 {
		t.Errorf("the file has %d lines", n)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".history-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestHistoriesSideBySide lose nothing of each other.
func TestHistoriesSideBySide(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	one, two := openHistory(t, path), openHistory(t, path)
	for i, h := range []*cli.History{one, two, one} {
		if _, err := h.Add(fmt.Sprintf("domid %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"domid 0", "domid 1", "domid 2"}, openHistory(t, path).Lines()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestHistoryWithoutAPlace works, says so once, and goes on.
func TestHistoryWithoutAPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := cli.OpenHistory(filepath.Join(file, "davit", "history"))
	if err == nil {
		t.Error("a history below a file was opened")
	}
	for _, line := range []string{"list", "version"} {
		if kept, err := h.Add(line); !kept || err != nil {
			t.Errorf("add %q: %v, %v", line, kept, err)
		}
	}
}

func TestHistoryPath(t *testing.T) {
	tests := []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"XDG_STATE_HOME": "/state", "HOME": "/home/me"}, "/state/davit/history"},
		{map[string]string{"XDG_STATE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.local/state/davit/history"},
		{map[string]string{"HOME": "/home/me"}, "/home/me/.local/state/davit/history"},
		{nil, ""},
	}
	for _, tt := range tests {
		if got := cli.HistoryPath(func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.env, got, tt.want)
		}
	}
}
