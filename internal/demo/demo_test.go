package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/davitd/davit/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// demo is the command line of make demo.
func demo(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	for _, name := range []string{"davitd", "davit-monitor"} {
		testenv.Binary(t, name)
	}
	bin := filepath.Dir(testenv.Binary(t, "davit"))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, testenv.Build(t, "./internal/demo"), append([]string{"-bin", bin}, args...)...)
	cmd.Dir = testenv.Module()
	return cmd
}

// story is what the demo shows, in order.
var story = []string{
	"$ davit define docs/examples/demo.xml", "Domain 'demo' defined from docs/examples/demo.xml",
	"Domain 'demo' started", "The start took",
	"$ davit list", "demo   running",
	"$ davit dominfo demo", "State:          running",
	"$ davit exec demo", "I am in demo, container=lxc-libvirt", "(exit code 3)",
	"$ davit console demo", "Hello from demo.", "How are you?\n  How are you?",
	"$ davit shutdown demo", "shut off (shutdown)",
	"Domain 'demo' has been undefined",
	"The daemon stops.",
	"Nothing is left: no process, mount, cgroup, network link or file.",
}

func checkStory(t *testing.T, out string) {
	t.Helper()
	rest := out
	for _, want := range story {
		i := strings.Index(rest, want)
		if i < 0 {
			t.Fatalf("the demo does not show %q where it should:\n%s", want, out)
		}
		rest = rest[i+len(want):]
	}
	for _, event := range []string{"Defined Added", "Started Booted", "Stopped Shutdown", "Undefined Removed"} {
		if n := strings.Count(out, "for domain 'demo': "+event); n != 1 {
			t.Errorf("event %q is shown %d times", event, n)
		}
	}
}

func TestDemoOnFake(t *testing.T) {
	testenv.Residue(t)
	out, err := demo(t, "-fake").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkStory(t, string(out))
}

func TestDemo(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.UserNS, testenv.Overlay, testenv.Cgroup)
	testenv.Residue(t)
	out, err := demo(t).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkStory(t, string(out))
	if !strings.Contains(string(out), "2000000000      65536\n  0\n  /written-by-demo") {
		t.Errorf("the domain does not see ids and a root of its own:\n%s", out)
	}
}

// TestDemoInterrupted stops the demo in the middle: it fails, and leaves nothing.
func TestDemoInterrupted(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.UserNS, testenv.Overlay, testenv.Cgroup)
	testenv.Residue(t)
	for _, at := range []string{"$ davitd", "Domain 'demo' started", "$ davit console"} {
		t.Run(at, func(t *testing.T) {
			text, complaint, err := interrupted(t, at)
			for try := 0; err == nil && try < 10; try++ { // it was over before the signal came
				text, complaint, err = interrupted(t, at)
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("the demo ended with %v, want exit code 1", err)
			}
			if !strings.Contains(text, "Nothing is left") || !strings.Contains(complaint, "demo: interrupted") {
				t.Errorf("an interrupted demo shows:\n%s%s", text, complaint)
			}
		})
	}
}

// interrupted runs the demo, interrupts it once it shows a text, and gives what it said and how it ended.
func interrupted(t *testing.T, at string) (text, complaint string, ended error) {
	t.Helper()
	cmd := demo(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text = interruptAt(t, cmd, out, at)
	ended = cmd.Wait()
	return text, stderr.String(), ended
}

// interruptAt reads all that the demo shows, and interrupts it once it shows a text.
func interruptAt(t *testing.T, cmd *exec.Cmd, out io.Reader, at string) string {
	t.Helper()
	var text strings.Builder
	done := false
	for s := bufio.NewScanner(out); s.Scan(); {
		text.WriteString(s.Text() + "\n")
		if !done && strings.Contains(s.Text(), at) {
			done = true
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		}
	}
	if !done {
		t.Errorf("the demo never shows %q", at)
	}
	return text.String()
}

// TestLeftoversAreFound leaves a process, a file and, as root, a cgroup, and expects to be told of each.
func TestLeftoversAreFound(t *testing.T) {
	before, err := survey()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{folder: t.TempDir(), instance: "0badbabe"}
	sleeper := exec.Command("sleep", "60")
	if err = sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
	}()
	want := []string{"process", "file " + s.folder}
	if testenv.Has(testenv.Root) && testenv.Has(testenv.Cgroup) {
		group := filepath.Join(firstHierarchy(t), "davit-0badbabe-test")
		if err = os.Mkdir(group, 0o755); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(group) }()
		want = append(want, "cgroup "+group)
	}
	left, err := s.leftovers(before)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(left, "\n"), w) {
			t.Errorf("%q was not found: %q", w, left)
		}
	}
}

// firstHierarchy is a cgroup tree that groups can be made in.
func firstHierarchy(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{cgroupRoot + "/pids", cgroupRoot + "/unified", cgroupRoot} {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			return dir
		}
	}
	t.Fatalf("no cgroup tree below %s", cgroupRoot)
	return ""
}
