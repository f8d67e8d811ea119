package domain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/processor"
)

func TestParseCpuset(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"0", "0"},
		{"0-3,^2,8", "0-1,3,8"},
		{"7,0-3,^2,3", "0-1,3,7"},
		{" 1 , 2-2 ", "1-2"},
		{"8191", "8191"},
		{"0-8191", "0-8191"},
		{"1,1,1-3,2", "1-3"},
		{"00", "0"},
		{"63-64", "63-64"},
		{"1-62,64-127,129", "1-62,64-127,129"},
		{"64-191", "64-191"},
	} {
		set, err := domain.ParseCpuset(c.in)
		if err != nil || set.String() != c.want {
			t.Errorf("ParseCpuset(%q) is %v, %v; want %s", c.in, set, err, c.want)
		}
	}
	set, err := domain.ParseCpuset("0-3,^2,8")
	if err != nil {
		t.Fatal(err)
	}
	if set.Count() != 4 || set.Has(2) || !set.Has(8) || set.Has(-1) || set.Has(domain.MaxCPU) {
		t.Errorf("%v has %d processors, 2: %v, 8: %v", set, set.Count(), set.Has(2), set.Has(8))
	}
}

func TestParseCpusetRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "at least one processor",
		" ":                    "at least one processor",
		"a":                    `"a" is not a processor`,
		"1,":                   `"" is not a processor`,
		"-1":                   `"" is not a processor`,
		"1-":                   `"" is not a processor`,
		"1-2-3":                `"2-3" is not a processor`,
		"+1":                   `"+1" is not a processor`,
		"0x1":                  `"0x1" is not a processor`,
		"3-1":                  `range "3-1" runs backwards`,
		"8192":                 `processor "8192" is above 8191`,
		"0-4294967295":         `processor "4294967295" is above 8191`,
		"99999999999999999999": "is above 8191",
		"1,^1":                 "names no processor",
		"^1":                   "names no processor",
		"0-3,^1-2":             "takes out more than one",
	} {
		if set, err := domain.ParseCpuset(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCpuset(%q) is %v, %v; want a refusal that says %q", in, set, err, want)
		}
	}
}

// TestParseCpusetLength: a set that names each processor by itself is taken, one that is longer than that is refused unread.
func TestParseCpusetLength(t *testing.T) {
	var each strings.Builder
	for cpu := range domain.MaxCPU {
		fmt.Fprintf(&each, "%d,", cpu)
	}
	if set, err := domain.ParseCpuset(strings.TrimSuffix(each.String(), ",")); err != nil || set.Count() != domain.MaxCPU {
		t.Errorf("each processor by itself: %v, %v", set, err)
	}
	long := strings.Repeat("1,", 1<<15) + "1"
	if _, err := domain.ParseCpuset(long); err == nil || !strings.Contains(err.Error(), "65537 bytes is above 65536 bytes") {
		t.Errorf("%d bytes: %v, want a refusal that names the limit", len(long), err)
	}
}

// TestParseCpusetBound: neither wide ranges nor many of them cost much (security: a range once filled the memory of others).
func TestParseCpusetBound(t *testing.T) {
	for _, in := range []string{"0-9999999999", strings.Repeat("0-8191,", 10000) + "x", strings.Repeat("1,", 500000) + "1"} {
		if took := processor.Time(t, func() { _, _ = domain.ParseCpuset(in) }); took > time.Second {
			t.Errorf("%d bytes took %v", len(in), took)
		}
	}
}
