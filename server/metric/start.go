package metric

import (
	"time"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Starts measures starts of domains.
type Starts struct{ whole, phases *Family }

// NewStarts begins to measure.
func NewStarts() *Starts {
	return &Starts{
		whole:  NewFamily("davit_start_seconds", "How long starts of domains take, from the request to the answer.", ""),
		phases: NewFamily("davit_start_phase_seconds", "How long each phase of the starts of domains takes.", "phase"),
	}
}

// Observe takes in a start that succeeded.
func (s *Starts) Observe(phases []*davitv1.StartPhase, took time.Duration) {
	s.whole.Of("").Observe(took)
	for _, p := range phases {
		s.phases.Of(p.GetName()).Observe(p.GetTook().AsDuration())
	}
}

// Histograms tells all.
func (s *Starts) Histograms() []*davitv1.Histogram {
	return append(s.phases.Histograms(), s.whole.Histograms()...)
}
