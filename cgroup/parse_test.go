package cgroup_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/cgroup"
)

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]uint64{
		"0\n": 0, "4096": 4096, "max\n": cgroup.Unlimited, "-1": cgroup.Unlimited,
		"9223372036854771712": cgroup.Unlimited, "9223372036854710272": cgroup.Unlimited, "9223372036854775807": cgroup.Unlimited,
		"9000000000000000000": 9000000000000000000,
	} {
		if got, err := cgroup.ParseNumber(text); got != want || err != nil {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "1 2", "-2", "18446744073709551616"} {
		if got, err := cgroup.ParseNumber(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestParseKeyed(t *testing.T) {
	got, err := cgroup.ParseKeyed("a 1\n\nb max\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"a": 1, "b": math.MaxUint64}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, text := range []string{"a\n", "a b\n", "a 1 2\n"} {
		if got, err := cgroup.ParseKeyed(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestParseCPUMax(t *testing.T) {
	quota, period, err := cgroup.ParseCPUMax("max 100000\n")
	if quota != cgroup.Unlimited || period != 100000 || err != nil {
		t.Errorf("got %d %d, %v", quota, period, err)
	}
	for _, text := range []string{"", "max", "1 2 3", "x 1", "1 x"} {
		if _, _, err := cgroup.ParseCPUMax(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestParsePids(t *testing.T) {
	got, err := cgroup.ParsePids("3\n1\n0\n2147483647\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{3, 1, 2147483647}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, text := range []string{"-1", "x", "2147483648"} {
		if got, err := cgroup.ParsePids(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 10: 1, 512: 50, 1024: 100, 2048: 200, 102400: 10000, 262144: 10000, math.MaxUint64: 10000} {
		if got := cgroup.Weight(shares); got != want {
			t.Errorf("%d shares weigh %d, want %d", shares, got, want)
		}
	}
}

// The filter is small and its jumps all land; that the kernel takes it and what it decides are tested with a real cgroup.
func TestDeviceFilterIsWellFormed(t *testing.T) {
	for _, rules := range [][]cgroup.DeviceRule{nil, {{Type: 'c', Major: 1, Minor: 3, Access: "rwm"}}, {{Type: 'a', Major: -1, Minor: -1, Access: "m"}, {Type: 'b', Major: 7, Minor: -1, Access: "r"}}} {
		program, err := cgroup.DeviceFilter(rules)
		if err != nil {
			t.Fatal(err)
		}
		labels := map[string]bool{}
		for _, i := range program {
			labels[i.Symbol()] = true
		}
		for _, i := range program {
			if r := i.Reference(); r != "" && !labels[r] {
				t.Errorf("%v: jump to %q, which is nowhere", rules, r)
			}
		}
		if last := program[len(program)-1]; !strings.Contains(last.OpCode.String(), "Exit") {
			t.Errorf("%v: ends with %v", rules, last)
		}
	}
}

// FuzzParsers holds that no text of a control file or of mountinfo makes a parser panic, and that what it takes is in bounds.
func FuzzParsers(f *testing.F) {
	for _, seed := range []string{
		"", "max\n", "populated 1\nfrozen 0\n", "max 100000\n", "1\n2\n0\n", "9223372036854771712\n",
		"25 22 0:23 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 none rw,nsdelegate\n",
		`27 25 0:25 / /a\040b/cpu,cpuacct rw shared:11 master:1 - cgroup none rw,cpu,cpuacct,name=x\134` + "\n", `1 2 3 4 \ 6 - a b c\9`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = cgroup.ParseNumber(text)
		_, _ = cgroup.ParseKeyed(text)
		_, _, _ = cgroup.ParseCPUMax(text)
		pids, _ := cgroup.ParsePids(text)
		for _, pid := range pids {
			if pid <= 0 || pid > math.MaxInt32 {
				t.Errorf("process id %d", pid)
			}
		}
		for _, c := range cgroup.Controllers(strings.Split(text, ",")) {
			if c == "" {
				t.Error("a controller without a name")
			}
		}
		if _, err := cgroup.ParseMountinfo(strings.NewReader(text)); err == nil {
			if h, err := cgroup.DetectFixture("/nowhere", strings.NewReader(text)); err == nil {
				_ = h.Close()
			}
		}
		parts, err := cgroup.ParsePartition(text)
		if err == nil && "/"+strings.Join(parts, "/") != text {
			t.Errorf("partition %q became %q", text, parts)
		}
	})
}
