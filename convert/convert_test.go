package convert_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/convert"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestReportInOrder: what is told is in the order of files as they were read, and of their lines; what has no file comes last.
func TestReportInOrder(t *testing.T) {
	var r convert.Report
	r.File("main")
	r.File("included")
	r.Warn(convert.Place{Name: "nowhere"}, "last")
	r.Warn(convert.Place{File: "included", Line: 1}, "third")
	r.Warn(convert.Place{File: "main", Line: 7, Name: "b"}, "second")
	r.Warn(convert.Place{File: "main", Line: 2, Name: "a"}, "first")
	got := make([]string, 0, 4)
	for _, w := range r.Warnings() {
		got = append(got, w.String())
	}
	want := []string{"main:2: a: first", "main:7: b: second", "included:1: third", "nowhere: last"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := r.Err("read"); err != nil {
		t.Errorf("warnings are an error: %v", err)
	}
}

// TestReportCounts what is too much to be told.
func TestReportCounts(t *testing.T) {
	var r convert.Report
	for i := range convert.MaxWarnings + 3 {
		r.Warn(convert.Place{Line: i + 1}, "lost")
		r.Fault(convert.Place{Line: i + 1, Name: "key"}, strings.Repeat("x", 1000), "is wrong")
	}
	warnings := r.Warnings()
	if n := len(warnings); n != convert.MaxWarnings+1 || !strings.HasPrefix(warnings[n-1].Message, "and 3 more") {
		t.Errorf("%d warnings, the last: %v", n, warnings[n-1])
	}
	e, ok := r.Err("read file").(*convert.Error) //nolint:errorlint // it is made as it is
	if !ok || len(e.Faults) != convert.MaxFaults || e.More != convert.MaxWarnings+3-convert.MaxFaults {
		t.Fatalf("the error is %v", e)
	}
	if lines := e.Lines(); lines[len(lines)-1] != "and 153 more" {
		t.Errorf("the last line is %q", lines[len(lines)-1])
	}
	if first := e.Faults[0].String(); len(first) > 200 {
		t.Errorf("a fault repeats a long value: %s", first)
	}
}

func TestErrorOfOneFault(t *testing.T) {
	var r convert.Report
	r.Fault(convert.Place{File: "config", Line: 3, Name: "lxc.arch"}, "vax", "is not an architecture")
	const want = `read file: config:3: lxc.arch: "vax" is not an architecture`
	if got := r.Err("read file").Error(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestOrigin: a field has the place of the innermost that is known.
func TestOrigin(t *testing.T) {
	o := convert.Origin{}
	o.Set("idmap", convert.Place{Name: "map"}, "")
	o.Set("idmap.uid[3]", convert.Place{Name: "line"}, "u 0 0 1")
	for field, want := range map[string]string{
		"idmap.uid[3].target": "line", "idmap.uid[3]": "line", "idmap.uid[4].target": "map", "idmap.gid": "map", "name": "name",
	} {
		if got, _ := o.Of(field); got.Name != want {
			t.Errorf("%s comes from %q, want %q", field, got.Name, want)
		}
	}
}

func TestSharedNamespace(t *testing.T) {
	for _, c := range []struct {
		path, kind, want string
	}{
		{"/proc/17/ns/net", "net", "17"},
		{"/proc/17/ns/ipc", "ipc", "17"},
		{"/run/netns/blue", "net", "blue"},
		{"/var/run/netns/blue", "net", "blue"},
		{"/run/netns/blue", "ipc", ""},
		{"/proc/17/ns/net", "ipc", ""},
		{"/proc/self/ns/net", "net", ""},
		{"/proc/-1/ns/net", "net", ""},
		{"/run/netns/../x", "net", ""},
		{"/run/netns/", "net", ""},
		{"blue", "net", ""},
	} {
		share, ok := convert.SharedNamespace(c.path, c.kind)
		if share.GetValue() != c.want || ok != (c.want != "") {
			t.Errorf("%s of kind %s is %v, %t", c.path, c.kind, share, ok)
		}
	}
}

// TestCapabilities: every one that a definition can speak of is set and found again.
func TestCapabilities(t *testing.T) {
	all := convert.Capabilities()
	if len(all) < 37 {
		t.Errorf("there are %d capabilities", len(all))
	}
	c := &davitv1.Capabilities{}
	want := map[string]bool{}
	for i, name := range all {
		known, ok := convert.CapabilityName("CAP_" + strings.ToUpper(name))
		if known != name || !ok {
			t.Errorf("%s is %s, %t", name, known, ok)
		}
		want[name] = i%2 == 0
		convert.SetCapability(c, name, want[name])
	}
	if diff := cmp.Diff(want, convert.StatedCapabilities(c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	convert.SetCapability(c, "policy", true)
	if _, ok := convert.CapabilityName("policy"); ok || c.GetPolicy() != 0 {
		t.Error("the policy passes for a capability")
	}
}
