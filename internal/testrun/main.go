// Command testrun runs go test and tells, at the end, what was left out and why.
//
// It takes the arguments of go test, shows the output of failed tests and a line for each package, then every skipped test
// with its reason and the totals.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is a line of go test -json (cmd/test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "testrun: start go test:", err)
		return 1
	}
	tally := newTally(stdout)
	tally.read(pipe)
	err = cmd.Wait()
	tally.close()
	if err != nil || tally.failed > 0 {
		return 1
	}
	return 0
}

// tally counts results and keeps the output of what still runs.
type tally struct {
	w              io.Writer
	passed, failed int
	skipped        []string
	output         map[string][]string
}

func newTally(w io.Writer) *tally { return &tally{w: w, output: map[string][]string{}} }

// read takes in the lines of go test until they end; what is no event is shown as it is.
func (t *tally) read(r io.Reader) {
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) == nil:
			t.add(e)
		default:
			t.say("%s", line)
		}
		if err != nil {
			return
		}
	}
}

// say shows something; nobody is there to be told that it could not be shown.
func (t *tally) say(format string, args ...any) { _, _ = fmt.Fprintf(t.w, format, args...) }

func (t *tally) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if e.Package == "" {
			t.say("%s", e.Output)
		}
		t.output[key] = append(t.output[key], e.Output)
	case "pass", "fail", "skip":
		t.result(e)
		delete(t.output, key)
	}
}

func (t *tally) result(e event) {
	out := t.output[e.Package+" "+e.Test]
	switch {
	case e.Test == "" && e.Action == "fail":
		t.say("%s", strings.Join(out, ""))
		t.say("FAIL  %s (%.1f s)\n", e.Package, e.Elapsed)
	case e.Test == "" && e.Action == "pass":
		t.say("ok    %s (%.1f s)\n", e.Package, e.Elapsed)
	case e.Test == "":
	case e.Action == "fail":
		t.failed++
		t.say("%s", strings.Join(out, ""))
	case e.Action == "skip":
		t.skipped = append(t.skipped, e.Package+" "+e.Test+": "+reason(out))
	default:
		t.passed++
	}
}

// reason is what a skipped test said.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			if _, after, ok := strings.Cut(line, ".go:"); ok {
				_, line, _ = strings.Cut(after, ": ")
			}
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

func (t *tally) close() {
	slices.Sort(t.skipped)
	if len(t.skipped) > 0 {
		t.say("\nleft out:\n")
		for _, line := range t.skipped {
			t.say("  %s\n", line)
		}
	}
	t.say("\n%d passed, %d failed, %d skipped\n", t.passed, t.failed, len(t.skipped))
}
