package driver

import "time"

// Phase is a part of a start.
type Phase struct {
	// Name says what was done, for people.
	Name string
	// Begun is when, and Took how long it took. Phases may overlap.
	Begun time.Time
	Took  time.Duration
	// Running tells that init runs at the end of it.
	Running bool
}

// PhaseTeller is an instance that can tell where the time of its start went.
type PhaseTeller interface {
	// Phases are those of the start, in order of their beginning, told once; none of an instance that was recovered.
	Phases() []Phase
}
