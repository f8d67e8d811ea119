package metric_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/metric"
)

func total(h *davitv1.Histogram) (n uint64) {
	for _, c := range h.GetCounts() {
		n += c
	}
	return n
}

func TestObserveFindsTheBucket(t *testing.T) {
	f := metric.NewFamily("davit_test_seconds", "What a test takes.", "")
	for _, d := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Hour} {
		f.Of("").Observe(d)
	}
	all := f.Histograms()
	if len(all) != 1 {
		t.Fatalf("%d histograms, want 1", len(all))
	}
	h := all[0]
	if len(h.GetCounts()) != len(h.GetBounds())+1 || !slices.IsSorted(h.GetBounds()) {
		t.Fatalf("bounds %v, counts %v", h.GetBounds(), h.GetCounts())
	}
	exact := slices.Index(h.GetBounds(), 0.001)
	if exact < 1 {
		t.Fatalf("no bucket ends at a millisecond: %v", h.GetBounds())
	}
	for i, want := range map[int]uint64{0: 1, exact: 1, exact + 1: 1, len(h.GetBounds()): 1} {
		if got := h.GetCounts()[i]; got != want {
			t.Errorf("bucket %d has %d, want %d", i, got, want)
		}
	}
	if want := (time.Hour + 2*time.Millisecond + 1).Seconds(); h.GetSum() != want {
		t.Errorf("sum is %v, want %v", h.GetSum(), want)
	}
	if len(h.GetLabels()) != 0 {
		t.Errorf("labels %v of a family without any", h.GetLabels())
	}
}

func TestFamilyIsBounded(t *testing.T) {
	f := metric.NewFamily("davit_test_seconds", "What a test takes.", "name")
	for i := range 10 * metric.Most {
		f.Of(fmt.Sprint(i)).Observe(time.Second)
	}
	all := f.Histograms()
	if len(all) > metric.Most+1 {
		t.Errorf("%d histograms, want at most %d", len(all), metric.Most+1)
	}
	var sum, others uint64
	for _, h := range all {
		sum += total(h)
		if h.GetLabels()["name"] == "other" {
			others = total(h)
		}
	}
	if sum != 10*metric.Most || others != 9*metric.Most {
		t.Errorf("%d observations of which %d under other; want %d and %d", sum, others, 10*metric.Most, 9*metric.Most)
	}
}

func TestObserveAtOnce(t *testing.T) {
	s := metric.NewStarts()
	phases := []*davitv1.StartPhase{{Name: "prepare", Took: durationpb.New(time.Millisecond)}, {Name: "answer", Took: durationpb.New(time.Second)}}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				s.Observe(phases, 2*time.Second)
			}
		})
	}
	group.Wait()
	var names []string
	for _, h := range s.Histograms() {
		names = append(names, h.GetName()+h.GetLabels()["phase"])
		if n := total(h); n != 800 {
			t.Errorf("%s %v has %d observations, want 800", h.GetName(), h.GetLabels(), n)
		}
	}
	if want := []string{"davit_start_phase_secondsanswer", "davit_start_phase_secondsprepare", "davit_start_seconds"}; !slices.Equal(names, want) {
		t.Errorf("histograms %q, want %q", names, want)
	}
}
