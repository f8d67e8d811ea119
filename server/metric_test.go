//go:build linux

package server_test

import (
	"slices"
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// The answer to a start tells where its time went, and the metrics count each start once.
func TestStartIsMeasured(t *testing.T) {
	h := start(t, t.TempDir())
	root := davitv1.NewAdminServiceClient(dial(t, h.path(server.RootSocket)))
	domains := define(t, h, "web")
	ref := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: "web"}}
	if _, err := domains.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: &davitv1.DomainRef{}}); err == nil {
		t.Error("a start of nothing succeeds")
	}
	const starts = 3
	for range starts {
		resp, err := domains.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: ref})
		if err != nil {
			t.Fatal(err)
		}
		checkPhases(t, resp.GetPhases())
		if _, err := domains.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: ref}); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := root.GetMetrics(t.Context(), &davitv1.GetMetricsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range resp.GetHistograms() {
		told = append(told, m.GetName()+" "+m.GetLabels()["phase"])
		var n uint64
		for _, c := range m.GetCounts() {
			n += c
		}
		if n != starts || len(m.GetCounts()) != len(m.GetBounds())+1 || m.GetSum() <= 0 || m.GetHelp() == "" {
			t.Errorf("histogram of %d starts is %v", starts, m)
		}
	}
	want := []string{
		"davit_start_phase_seconds answer", "davit_start_phase_seconds prepare", "davit_start_phase_seconds start", "davit_start_seconds ",
	}
	if !slices.Equal(told, want) {
		t.Errorf("histograms %q, want %q", told, want)
	}
}

// checkPhases looks at the phases of a start by a driver that does not tell more: they follow each other without a gap.
func checkPhases(t *testing.T, phases []*davitv1.StartPhase) {
	t.Helper()
	var names []string
	end := phases[0].GetBegun().AsDuration()
	if end != 0 {
		t.Errorf("the first phase begins after %v", end)
	}
	for _, p := range phases {
		names = append(names, p.GetName())
		if p.GetBegun().AsDuration() != end || p.GetTook().AsDuration() < 0 || p.GetRunning() != (p.GetName() == "start") {
			t.Errorf("phase %v begins after %v", p, end)
		}
		end += p.GetTook().AsDuration()
	}
	if want := []string{"prepare", "start", "answer"}; !slices.Equal(names, want) {
		t.Errorf("phases %q, want %q", names, want)
	}
}
