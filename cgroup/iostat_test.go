package cgroup_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/cgroup"
)

// What went through devices is told in both versions, whatever else the files say.
func TestIOStats(t *testing.T) {
	want := []cgroup.IOStats{
		{Major: 7, Minor: 0, ReadBytes: 4096, WriteBytes: 8192, Reads: 1, Writes: 2},
		{Major: 253, Minor: 16, WriteBytes: 512, Writes: 1},
	}
	for name, test := range map[string]struct {
		version int
		files   map[string]string
		want    []cgroup.IOStats
	}{
		"v1": {1, map[string]string{
			"blkio.throttle.io_service_bytes": "7:0 Read 4096\n7:0 Write 8192\n7:0 Sync 1\n7:0 Total 12288\n253:16 Write 512\nTotal 12800\n",
			"blkio.throttle.io_serviced":      "7:0 Read 1\n7:0 Write 2\n253:16 Write 1\nTotal 4\n",
		}, want},
		"v2": {2, map[string]string{
			"io.stat": "7:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=9 dios=9 cost.usage=3\n253:16 wbytes=512 wios=1\n",
		}, want},
		"v1 without":  {1, nil, nil},
		"v2 without":  {2, nil, nil},
		"v2 no value": {2, map[string]string{"io.stat": "7:0\n"}, []cgroup.IOStats{{Major: 7}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := cgroup.ReadIOStats(dir, test.version)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for version, file := range map[int]string{1: "blkio.throttle.io_serviced", 2: "io.stat"} {
		for _, text := range []string{"x:0 Read 1\n", "7:0 Read x\n", "7:0 rbytes=-1 rios=\n"} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := cgroup.ReadIOStats(dir, version); err == nil && (version != 2 || text != "7:0 Read x\n") {
				t.Errorf("version %d takes %q for %v", version, text, got)
			}
		}
	}
}

func TestParseDevices(t *testing.T) {
	rules, open, err := cgroup.ParseDevices("c 1:3 rw\nb 7:* m\nc 1:3 m\n")
	if diff := cmp.Diff([]string{"b 7:* m", "c 1:3 rwm"}, rules); diff != "" || open || err != nil {
		t.Errorf("open %v, %v, (-want +got):\n%s", open, err, diff)
	}
	if rules, open, err = cgroup.ParseDevices("a *:* rwm\n"); !open || err != nil {
		t.Errorf("%v, open %v, %v", rules, open, err)
	}
	for _, text := range []string{"c 1:3\n", "c x:3 r\n", "c 1 r\n", "cc 1:3 r\n"} {
		if rules, _, err := cgroup.ParseDevices(text); err == nil {
			t.Errorf("%q is %v", text, rules)
		}
	}
}
