package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestQuantilesAreByNearestRank(t *testing.T) {
	var l times
	for n := range 100 {
		l = append(l, time.Duration(100-n)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := l.at(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := (times{}).median(); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	if l[0] != 100*time.Millisecond {
		t.Error("the order of the samples is not kept")
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		f       figure
		verdict string
		promise string
	}{
		{figure{Value: 2, Target: 2, Unit: "ms"}, "holds", "≤ 2.00 ms"},
		{figure{Value: 2.1, Target: 2, Unit: "ms"}, "misses", "≤ 2.00 ms"},
		{figure{Value: 150, Target: 150, Unit: "1/s", Least: true}, "holds", "≥ 150 1/s"},
		{figure{Value: 149, Target: 150, Unit: "1/s", Least: true}, "misses", "≥ 150 1/s"},
		{figure{Value: 151, Target: 150, Unit: "1/s", Least: true}, "holds", "≥ 150 1/s"},
		{figure{Value: 3, Target: 8, OfRatio: true, Least: true}.against(3, "crun", 30), "holds", "≥ 8.00 ×"},
		{figure{Value: 5, Target: 8, OfRatio: true, Least: true}.against(5, "crun", 30), "misses", "≥ 8.00 ×"},
		{figure{Value: 5, Target: 8, OfRatio: true, Least: true}, "", "≥ 8.00 ×"},
		{figure{Value: 5}, "", ""},
	} {
		if got := c.f.verdict(); got != c.verdict {
			t.Errorf("verdict of %+v is %q, want %q", c.f, got, c.verdict)
		}
		if got := c.f.promise(); got != c.promise {
			t.Errorf("promise of %+v is %q, want %q", c.f, got, c.promise)
		}
	}
}

// aRun is figures as a run leaves them.
func aRun() *bench {
	b := &bench{out: io.Discard}
	l := times{time.Millisecond, 2 * time.Millisecond, 30 * time.Millisecond}
	b.addTimes(figure{Name: "start", Title: "start <now>", Target: 3}.beside(2, 1), l)
	b.figures[len(b.figures)-1].Target = 15
	b.addTimes(figure{Name: "life", Title: "life"}, l)
	b.addTimes(figure{Name: "life/crun", Title: "crun"}, l)
	b.add(figure{Name: "rate", Title: "rate", Value: 10, Unit: perSecond, Target: 20, Least: true})
	b.remark("a remark")
	return b
}

func TestRowsPutMedianAndTailTogether(t *testing.T) {
	got := rows(aRun().figures)
	want := []row{
		{"start <now>", "2.00 ms", "30.0", "≤ 3.00 ms, p99 ≤ 15.0 ms", "holds, misses", "floor 1.00 ms: 2.00 × of it"},
		{"life", "2.00 ms", "30.0", "", "", ""},
		{"crun", "2.00 ms", "30.0", "", "", ""},
		{"rate", "10.0 1/s", "", "≥ 20.0 1/s", "misses", ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows are\n%q, want\n%q", got, want)
	}
}

func TestChartIsXML(t *testing.T) {
	chart := draw(aRun().figures)
	d := xml.NewDecoder(bytes.NewReader(chart))
	bars, texts := 0, ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, chart)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if e.Name.Local == "rect" {
				bars++
			}
		case xml.CharData:
			texts += string(e)
		}
	}
	if bars != 5 { // two lives, three promises
		t.Errorf("%d bars, want 5:\n%s", bars, chart)
	}
	for _, want := range []string{"start <now>, p50", "davit", "crun", "10.0 1/s (≥ 20.0 1/s)"} {
		if !strings.Contains(texts, want) {
			t.Errorf("the chart does not say %q", want)
		}
	}
	if empty := draw(nil); xml.Unmarshal(empty, new(struct{})) != nil {
		t.Errorf("the chart of nothing is %s", empty)
	}
}

// Only a whole run changes the page and the chart beside it; every run writes all figures.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	text := "before\n" + pageBegin + "\nstale figures\n" + pageEnd + "\nafter\n"
	if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b := aRun()
	b.place = &place{disk: dir, memory: dir}
	b.json, b.chart, b.page = filepath.Join(dir, "build", "bench.json"), filepath.Join(dir, "chart.svg"), page
	b.short = true
	if err := b.write(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(page); string(got) != text {
		t.Errorf("a short run made the page\n%s", got)
	}
	if _, err := os.Stat(b.chart); err == nil {
		t.Error("a short run drew the chart")
	}
	var list []map[string]any
	read, err := os.ReadFile(b.json)
	if err == nil {
		err = json.Unmarshal(read, &list)
	}
	if err != nil || len(list) != len(b.figures) || list[0]["name"] != "start/p50" || list[0]["ratio"] != 2.0 || list[0]["floor"] != 1.0 {
		t.Errorf("figures are %v, %v", list, err)
	}
	b.short = false
	if err := b.write(); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(page)
	for _, want := range []string{"before\n" + pageBegin, "| rate | 10.0 1/s |  | ≥ 20.0 1/s | misses |  |\n", "Note: a remark.\n", pageEnd + "\nafter\n"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the page has no %q:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "stale") {
		t.Errorf("the page still has the table before:\n%s", got)
	}
}

func TestHierarchies(t *testing.T) {
	const mounts = `tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/perf_event cgroup rw,relatime,perf_event 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime,nsdelegate 0 0
cgroup2 /mnt/elsewhere cgroup2 rw,relatime 0 0
`
	want := []cgroupFolder{
		{"cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"}, {"name=systemd", "/sys/fs/cgroup/systemd"}, {"unified", "/sys/fs/cgroup/unified"},
	}
	if got := hierarchiesOf(mounts); !slices.Equal(got, want) {
		t.Errorf("hierarchies are %v, want %v", got, want)
	}
	if got := hierarchiesOf("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"); len(got) != 1 || got[0].path != cgroupRoot {
		t.Errorf("hierarchies of a pure version 2 host are %v", got)
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-lines", "filled,nonsense"}, `there is no line "nonsense"`},
		{[]string{"-n", "0"}, "-n is 0"},
		{[]string{"more"}, `"more" is not one`},
	} {
		if _, err := parse(c.args); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
	if _, err := parse([]string{"-peers"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-peers: %v", err)
	}
	testenv.Require(t, testenv.Root)
	o, err := parse([]string{"-short", "-running", "7"})
	if err != nil || o.n != 10 || o.running != 7 || o.defined != 500 || o.whole() {
		t.Errorf("a short run is %+v, %v", o, err)
	}
	if o, err = parse(nil); err != nil || !o.whole() || o.running != 1000 || o.defined != 10_000 || o.gap != 300*time.Millisecond {
		t.Errorf("a run is %+v, %v", o, err)
	}
}

// TestBench measures every line in the least size, with real containers: each gives its figures, and nothing is left.
func TestBench(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.UserNS, testenv.Overlay, testenv.Cgroup)
	testenv.Residue(t)
	testenv.Binary(t, "davit-monitor")
	dir := t.TempDir()
	var out bytes.Buffer
	err := run(t.Context(), options{
		bin: filepath.Dir(testenv.Binary(t, "davitd")), n: 2, running: 2, defined: 3, subscribers: 3, rate: 20, seconds: time.Second,
		json: filepath.Join(dir, "bench.json"), chart: filepath.Join(dir, "bench.svg"), short: true, beside: true,
	}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var figures []figure
	text, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	if err == nil {
		err = json.Unmarshal(text, &figures)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"start/filled/exec/p50", "start/filled/daemon/p50", "start/filled/client/p50", "start/empty/exec/p50", "define+start/p50", "life/p50",
		"destroy/p50", "exec/p50", "rate", "event/p50", "event/p99", "monitor/pss", "davitd/rss-running", "restart/answer/p50",
		"restart/adopted/p50", "davitd/rss-defined", "list/p50", "load/p50",
	} {
		if !slices.ContainsFunc(figures, func(f figure) bool { return f.Name == name && f.Value > 0 }) {
			t.Errorf("there is no figure %q:\n%s", name, out.String())
		}
	}
	checkFloor(t, figures, out.String())
}

// checkFloor looks whether the floor stands beside starts and lives, where there can be one.
func checkFloor(t *testing.T, figures []figure, out string) {
	t.Helper()
	if strings.Contains(out, "no floor") {
		t.Log("this host makes no floor")
		return
	}
	for _, f := range figures {
		beside := []string{"start/filled/exec/p50", "start/empty/exec/p50", "define+start/p50", "exec/p50", "life/p50", "rate"}
		if slices.Contains(beside, f.Name) && (f.Floor <= 0 || f.Ratio <= 0) {
			t.Errorf("%s stands alone: %+v", f.Name, f)
		}
	}
}
