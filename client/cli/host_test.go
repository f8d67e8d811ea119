//go:build linux

package cli_test

import (
	"regexp"
	"testing"

	"github.com/davitd/davit/internal/testdaemon"
)

// TestThisHost asks the daemon about the host on which the test runs, whatever that has: the shapes of the answers.
// Their exact texts are in testdata/host.txt.
func TestThisHost(t *testing.T) {
	d := testdaemon.Start(t)
	tests := []struct {
		args  []string
		shape string
	}{
		{[]string{"hostname"}, `^\S+\n\n$`},
		{[]string{"nodeinfo"}, `^CPU model: +\w+\nCPU\(s\): +\d+\n(CPU frequency: +\d+ MHz\n)?CPU socket\(s\): +\d+\nCore\(s\) per socket: +\d+\nThread\(s\) per core: +\d+\nNUMA cell\(s\): +\d+\nMemory size: +\d+ KiB\n\n$`},
		{[]string{"nodecpumap"}, `^CPUs present: +\d+\nCPUs online: +\d+\nCPU map: +[y-]+\n\n$`},
		{[]string{"nodecpustats"}, `^user: +\d+\nsystem: +\d+\nidle: +\d+\niowait: +\d+\n\n$`},
		{[]string{"nodecpustats", "--cpu", "0"}, `^user: +\d+\n`},
		{[]string{"nodememstats"}, `^total  : +\d+ KiB\nfree   : +\d+ KiB\nbuffers: +\d+ KiB\ncached : +\d+ KiB\n\n$`},
		{[]string{"freecell"}, `^Total: \d+ KiB\n\n$`},
		{[]string{"freecell", "--all"}, `^    0: +\d+ KiB\n(?s:.*)--------------------\nTotal: +\d+ KiB\n\n$`},
		{[]string{"freepages", "--all"}, `^Node 0:\n\d+KiB: \d+\n`},
		{[]string{"node-memory-tune"}, `^(Shared memory:\n\tshm_pages_to_scan \d+\n(?s:.*))?\n$`},
		{[]string{"capabilities"}, `^<capabilities>\n(?s:.*)<os_type>exe</os_type>(?s:.*)</capabilities>\n\n$`},
		{[]string{"doctor"}, `^ Subject +Health +Seen *\n-+\n(?s:.*) good +`},
		{[]string{"version", "--daemon"}, `Running against daemon: 0.1.0-test\n\n$`},
	}
	for _, tt := range tests {
		r := run(t, d.Socket, "", tt.args...)
		if r.code != 0 || r.stderr != "" || !regexp.MustCompile(tt.shape).MatchString(r.stdout) {
			t.Errorf("%q: exit code %d, stderr %q, stdout\n%s\nis not of the shape\n%s", tt.args, r.code, r.stderr, r.stdout, tt.shape)
		}
	}
}
