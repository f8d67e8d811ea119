package engine

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// snapshot is all that the engine knows of a domain at one moment. It is never changed: an actor copies it, changes the
// copy and puts that in its place.
type snapshot struct {
	domain.Condition

	uuid, name string
	since      time.Time
	stored     *definition // nil for a transient domain
	autostart  bool
	gone       bool // in this place it takes no room of its own
	lastError  string
	exit       *davitv1.Exit
	took       time.Duration // by the last start
	journal    marks
	run        *run        // nil for an inactive domain
	again      *definition // what a reset that is under way starts; nil otherwise

	last    *definition   // of a transient domain that is gone
	changed chan struct{} // closed when another snapshot stands in its place
}

// run is one run of an active domain.
type run struct {
	id       uint32
	live     *definition
	revised  *definition // what live is being changed to, while it is
	instance driver.Instance
	paused   bool // it was started frozen
	initPID  uint32
	reboots  uint32
	oomKills uint64
	oomBase  uint64 // of them, before this init
	ending   store.Ending
	sought   bool // it was there before the daemon started, and what became of it is not known yet
}

// marks say how far a run is told: which of the driver's events the state includes, and how many events of the run are
// owed to the journal, whether it has them or not.
type marks struct {
	generation string
	sequence   uint64
	mark       uint64
}

// active tells whether the domain runs, is paused, or is about to end.
func (s *snapshot) active() bool { return s.run != nil }

// persistent tells whether the domain has a stored definition.
func (s *snapshot) persistent() bool { return s.stored != nil }

// id is the number of the running domain, or 0.
func (s *snapshot) id() uint32 {
	if s.run == nil {
		return 0
	}
	return s.run.id
}

// effective is the definition that holds now: the live one of an active domain.
func (s *snapshot) effective() *definition {
	switch {
	case s.run != nil:
		return s.run.live
	case s.stored != nil:
		return s.stored
	}
	return s.last
}

// inactive is the definition that is for the next start: the stored one, or the live one of a transient domain.
func (s *snapshot) inactive() *definition {
	switch {
	case s.stored != nil:
		return s.stored
	case s.run != nil:
		return s.run.live
	}
	return s.last
}

// etag is that of the definition that a define would replace.
func (s *snapshot) etag() string { return s.inactive().etag }

// info tells about the domain.
func (s *snapshot) info() *davitv1.DomainInfo {
	def := s.effective()
	info := &davitv1.DomainInfo{
		Uuid: s.uuid, Name: s.name, Id: s.id(), State: s.State, Reason: s.Reason,
		Persistent: s.persistent(), Autostart: s.autostart,
		Title: def.title, Vcpus: def.vcpus, MemoryKib: def.memory, Etag: s.etag(),
		LastError: s.lastError, Exit: s.exit,
	}
	if !s.since.IsZero() {
		info.Since = timestamppb.New(s.since)
	}
	if s.took > 0 {
		info.StartDuration = durationpb.New(s.took)
	}
	if s.run != nil {
		info.InitPid, info.Reboots = s.run.initPID, s.run.reboots
	}
	return info
}

// view tells a caller about a domain, with its definition where that is asked for.
func (e *Engine) view(ctx context.Context, s *snapshot, view davitv1.DomainView, inactive, secrets bool) (*davitv1.DomainInfo, error) {
	sight, err := sightOf(ctx, secrets)
	if err != nil {
		return nil, err
	}
	info := e.told(ctx, s)
	if view != davitv1.DomainView_DOMAIN_VIEW_FULL {
		return info, nil
	}
	chosen := s.effective()
	if inactive {
		chosen = s.inactive()
	}
	def, err := chosen.open()
	if err != nil {
		return nil, err
	}
	if inactive {
		def = asleep(def)
	}
	domain.Withhold(def, sight)
	info.Definition = def
	return info, nil
}
