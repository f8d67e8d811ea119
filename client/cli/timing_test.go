//go:build linux

package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/davitd/davit/internal/testdaemon"
)

// TestStartTiming shows where the time of a start went, and the daemon's metrics count it.
func TestStartTiming(t *testing.T) {
	d := testdaemon.Start(t)
	if r := run(t, d.Socket, "", "define", "testdata/web.xml"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := run(t, d.Socket, "", "start", "web", "--timing", "--dry-run"); r.code == 0 {
		t.Error("a start that is none has a timing")
	}
	r := run(t, d.Socket, "", "start", "web", "--timing")
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	shape := regexp.MustCompile(`^Domain 'web' started\n\n?` +
		` *Phase +Begun \(ms\) +Took \(ms\) *\n-+\n` +
		` *prepare +0\.000 +\d+\.\d{3} *\n *start +\d+\.\d{3} +\d+\.\d{3} *\n *answer +\d+\.\d{3} +\d+\.\d{3} *\n\n?` +
		`Init ran after \d+\.\d{3} ms, the answer came after \d+\.\d{3} ms\n\n$`)
	if !shape.MatchString(r.stdout) {
		t.Errorf("start --timing shows\n%s", r.stdout)
	}
	r = run(t, d.Socket, "", "admin", "metrics")
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	for _, line := range []string{
		"# TYPE davit_start_phase_seconds histogram\n", "# UNIT davit_start_seconds seconds\n", "# HELP davit_start_seconds How long",
		`davit_start_phase_seconds_bucket{phase="prepare",le="+Inf"} 1` + "\n", `davit_start_phase_seconds_count{phase="answer"} 1` + "\n",
		`davit_start_seconds_bucket{le="+Inf"} 1` + "\n", "davit_start_seconds_count 1\n", "davit_start_seconds_sum ",
	} {
		if strings.Count(r.stdout, line) != 1 {
			t.Errorf("metrics have %d times %q, want once:\n%s", strings.Count(r.stdout, line), line, r.stdout)
		}
	}
	if !strings.HasSuffix(r.stdout, "\n# EOF\n") {
		t.Errorf("metrics end with %q", r.stdout[max(0, len(r.stdout)-20):])
	}
}
