package native

import (
	"testing"

	"github.com/davitd/davit/domain"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Messages tell a filter of the host from one of ours, whatever its file is called.
func TestNamesOfFilters(t *testing.T) {
	for word, want := range map[string]string{
		"": "application", "default": "application", "web": "host filter web", domain.SeccompSystem: "host filter system", domain.SeccompUnconfined: "",
	} {
		p := &monitorv1.Process{}
		confine(p, &davitv1.Domain{Profile: &davitv1.Profile{Seccomp: word}}, facts)
		if p.GetSeccompName() != want {
			t.Errorf("%q: the filter is called %q, want %q", word, p.GetSeccompName(), want)
		}
	}
}
