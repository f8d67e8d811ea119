package main

import (
	"strings"
	"testing"
)

func TestTallyTellsSkipsAndFailures(t *testing.T) {
	var b strings.Builder
	tally := newTally(&b)
	for _, e := range []event{
		{Action: "output", Package: "p", Test: "TestA", Output: "=== RUN TestA\n"},
		{Action: "pass", Package: "p", Test: "TestA"},
		{Action: "output", Package: "p", Test: "TestB", Output: "    b_test.go:7: needs \"root\": not running as root\n"},
		{Action: "skip", Package: "p", Test: "TestB"},
		{Action: "output", Package: "p", Test: "TestC", Output: "    c_test.go:9: got 1, want 2\n"},
		{Action: "fail", Package: "p", Test: "TestC"},
		{Action: "fail", Package: "p", Elapsed: 1.5},
	} {
		tally.add(e)
	}
	tally.close()
	want := `    c_test.go:9: got 1, want 2
FAIL  p (1.5 s)

left out:
  p TestB: needs "root": not running as root

1 passed, 1 failed, 1 skipped
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}
