package monitor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// logged are the lines of a log without their times, with process ids as N.
func logged(tb testing.TB, path string) []string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		lines = append(lines, regexp.MustCompile(`pid \d+`).ReplaceAllString(rest, "pid N"))
	}
	return lines
}

// whole joins the parts of lines: one without an end is logged in parts when its end is long in coming.
func whole(lines []string) []string {
	var out []string
	part := ""
	for _, line := range lines {
		origin, rest, _ := strings.Cut(line, " ")
		kind, text, _ := strings.Cut(rest, " ")
		if part != "" {
			text, part = part+text, ""
		}
		if kind == "P" {
			part = text
			continue
		}
		out = append(out, origin+" "+kind+" "+text)
	}
	return out
}

// A log tells the story of a domain, run by run, and all of it is there once the domain is known to have ended, whether or
// not somebody reads the console.
func TestLogTellsTheStory(t *testing.T) {
	h := newHouse(t, self(t))
	for _, test := range []struct {
		last, end string
	}{
		{"exit 3", "init F exited with code 3"},
		{"kill -KILL $$", "init F killed by signal 9"},
		{"kill -INT $$", "init F powered off"},
	} {
		dir := t.TempDir()
		script := fmt.Sprintf("echo run; if [ -e %[1]s ]; then printf bye; %[2]s; fi; touch %[1]s; kill -HUP $$",
			filepath.Join(dir, "again"), test.last)
		d := h.spawn(t, uuid)
		plan := shell(script, &monitorv1.Policy{OnReboot: monitorv1.Action_ACTION_RESTART})
		started, err := d.Start(h.ctx, plan, client.Cgroups{}, client.Logs{Folder: openFolder(t, dir)})
		if err != nil {
			t.Fatal(err)
		}
		_ = started.Pidfd.Close()
		d.awaitEnd()
		want := []string{
			"init F started pid N", "console0 F run", "init F rebooted", "init F restarts in 0s",
			"init F started pid N", "console0 F run", "console0 F bye", test.end,
		}
		if diff := cmp.Diff(want, whole(logged(t, filepath.Join(dir, "console.log")))); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		d.end()
	}
}

// awaitEnd waits until the container is known to have ended.
func (d *domain) awaitEnd() {
	d.t.Helper()
	await(d.t, "the end", func() bool {
		state, pidfd, err := d.State(d.house.ctx)
		if pidfd != nil {
			_ = pidfd.Close()
		}
		return err == nil && state.GetPhase() == monitorv1.Phase_PHASE_ENDED
	})
}

// Why a container could not be made stands in its log too.
func TestLogOfAFailedStart(t *testing.T) {
	h := newHouse(t, self(t))
	d, dir := h.spawn(t, uuid), t.TempDir()
	plan := shell("", nil)
	plan.Init.Argv = []string{"/no/such/program"}
	if _, err := d.Start(h.ctx, plan, client.Cgroups{}, client.Logs{Folder: openFolder(t, dir)}); err == nil {
		t.Fatal("it was started")
	}
	lines := logged(t, filepath.Join(dir, "console.log"))
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "init F start failed: ") {
		t.Errorf("log %q", lines)
	}
}

// A guest that says more than its log takes loses nothing of its pace, and its log stays within its bounds. What the disk was
// too slow for is told, and how init ended stands there in any case.
func TestLogOfAFlood(t *testing.T) {
	h := newHouse(t, self(t))
	d, dir := h.spawn(t, uuid), t.TempDir()
	started, err := d.Start(h.ctx, shell("yes 'a line of some length, as programs write them' | head -c 4000000; echo; echo done", nil),
		client.Cgroups{}, client.Logs{Folder: openFolder(t, dir), MaxBytes: 256 << 10, MaxFiles: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = started.Pidfd.Close() }()
	d.awaitEnd()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("files %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > 256<<10 || info.Size() < 200<<10 && e.Name() != "console.log" {
			t.Errorf("%s has %d bytes, %v", e.Name(), info.Size(), err)
		}
	}
	lines := append(logged(t, filepath.Join(dir, "console.log.1")), logged(t, filepath.Join(dir, "console.log"))...)
	n := len(lines)
	if n < 2 || lines[n-2] != "console0 F done" && !strings.HasPrefix(lines[n-2], "davit F lost ") ||
		lines[n-1] != "init F exited with code 0" {
		t.Errorf("log ends with %q", lines[max(0, n-3):])
	}
}

// A console with a file of its own is written there as it is, over the runs of init, beside the log of all.
func TestFileOfAConsole(t *testing.T) {
	h := newHouse(t, self(t))
	d, dir, logs := h.spawn(t, uuid), t.TempDir(), t.TempDir()
	script := fmt.Sprintf("echo run; if [ -e %[1]s ]; then printf bye; exit; fi; touch %[1]s; kill -HUP $$", filepath.Join(dir, "again"))
	folder := openFolder(t, dir)
	started, err := d.Start(h.ctx, shell(script, &monitorv1.Policy{OnReboot: monitorv1.Action_ACTION_RESTART}), client.Cgroups{}, client.Logs{
		Folder: openFolder(t, logs), Files: []client.ConsoleFile{{Folder: folder, Name: "web.out"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = started.Pidfd.Close()
	d.awaitEnd()
	text, err := os.ReadFile(filepath.Join(dir, "web.out"))
	if want := strings.Repeat("run\r\n", 2) + "bye"; err != nil || string(text) != want {
		t.Errorf("the file has %q, %v, want %q", text, err, want)
	}
	if lines := logged(t, filepath.Join(logs, "console.log")); !strings.Contains(strings.Join(lines, "\n"), "console0 F run") {
		t.Errorf("log %q", lines)
	}
}
