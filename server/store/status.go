package store

import (
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const statusSuffix = ".json"

// Status is what is known of a domain that is active, or was until its end is told.
type Status struct {
	// UUID of the domain.
	UUID string
	// Generation of its run; see driver.Ref.
	Generation string
	// Definition is the live one, nil once the domain is not active.
	Definition *davitv1.Domain
	// Revised is what Definition is being changed to: its limits may be the run's already. It holds once Pledge does;
	// without a pledge it does not.
	Revised *davitv1.Domain
	// Again is the live definition that is to be started once nothing of the domain runs: it is being reset.
	Again *davitv1.Domain
	// ID is the number of the running domain.
	ID uint32
	// State and Reason are the last that were told.
	State  davitv1.DomainState
	Reason davitv1.DomainReason
	// Since is when the domain got into the state.
	Since time.Time
	// Exit is how its last init ended, nil if none did.
	Exit *davitv1.Exit
	// Reboots counts since the start.
	Reboots uint32
	// OOMKills counts since the start.
	OOMKills uint64
	// StartDuration is how long the start took.
	StartDuration time.Duration
	// Paused tells that it was started, or made, to stay frozen.
	Paused bool
	// LastError is what made the last start fail.
	LastError string
	// Ending is what will have ended the run, once that is under way.
	Ending Ending
	// Sequence is the last of the driver's events that this record includes.
	Sequence uint64
	// Mark counts the events of the run that the journal has or is owed.
	Mark uint64
	// Owed are the last of them, in order: the journal may not have them yet.
	Owed []*davitv1.Event
	// Pledge, if not nil, is what must have been stored for Owed to be true.
	Pledge *Pledge
}

// Pledge is how the stored definition of a domain is once what was begun with it is done. A daemon that was killed
// meanwhile finds the definition so, and owes the events, or not so, and owes none.
type Pledge struct {
	// Etag of the stored definition, empty if there is none.
	Etag string `json:"etag,omitempty"`
	// Autostart tells whether the domain starts with the daemon.
	Autostart bool `json:"autostart,omitempty"`
}

// Ending is why a run ends. Its numbers are stored.
type Ending int

// The endings.
const (
	// EndingNone is a run that goes on.
	EndingNone Ending = iota
	// EndingDestroyed is a run that a user ends by force.
	EndingDestroyed
	// EndingPoweroff is a run whose init exited or powered itself off.
	EndingPoweroff
	// EndingCrash is a run whose init was killed by a signal.
	EndingCrash
	// EndingLost is a run whose supervisor was lost.
	EndingLost
)

// statusFile is a status record as it is written. Fields that a later davit adds are passed over by this one.
type statusFile struct {
	UUID          string            `json:"uuid"`
	Generation    string            `json:"generation"`
	ID            uint32            `json:"id"`
	State         string            `json:"state"`
	Reason        string            `json:"reason"`
	Since         time.Time         `json:"since"`
	Exit          json.RawMessage   `json:"exit,omitempty"`
	Reboots       uint32            `json:"reboots,omitempty"`
	OOMKills      uint64            `json:"oom_kills,omitempty"`
	StartDuration string            `json:"start_duration,omitempty"`
	Paused        bool              `json:"paused,omitempty"`
	LastError     string            `json:"last_error,omitempty"`
	Ending        Ending            `json:"ending,omitempty"`
	Sequence      uint64            `json:"sequence,omitempty"`
	Mark          uint64            `json:"mark,omitempty"`
	Owed          []json.RawMessage `json:"owed,omitempty"`
	Pledge        *Pledge           `json:"pledge,omitempty"`
	Definition    json.RawMessage   `json:"definition,omitempty"`
	Revised       json.RawMessage   `json:"revised,omitempty"`
	Again         json.RawMessage   `json:"again,omitempty"`
}

// PutStatus stores the record of a domain in place of its last one. It outlives the daemon, not the host.
func (s *Store) PutStatus(st Status) error {
	uuid, err := domain.ParseUUID(st.UUID)
	if err != nil {
		return err
	}
	text, err := encodeStatus(st)
	if err == nil {
		err = s.status.replace(uuid+statusSuffix, text, false)
	}
	return refusal("store status of", uuid, err)
}

// DeleteStatus removes the record of a domain. One that is not there is as good.
func (s *Store) DeleteStatus(uuid string) error {
	uuid, err := domain.ParseUUID(uuid)
	if err != nil {
		return err
	}
	return refusal("remove status of", uuid, s.status.remove(uuid+statusSuffix, false))
}

// Statuses reads all records, in the order of their UUIDs. One that cannot be read is renamed to *.damaged and logged:
// its domain counts as not active.
func (s *Store) Statuses() ([]Status, error) {
	all, err := readAll(s.status, statusSuffix, decodeStatus)
	if err != nil {
		return nil, refusal("read status records", "", err)
	}
	good := make([]Status, 0, len(all))
	for _, r := range all {
		if r.err == nil && r.value.UUID+statusSuffix != r.name {
			r.err = fmt.Errorf("uuid is %q", r.value.UUID)
		}
		if r.err != nil {
			aside, renamed := s.status.quarantine(r.name)
			s.logger.Error("read status record", zap.String("file", r.name), zap.Error(r.err),
				zap.String("renamed", aside), zap.NamedError("rename", renamed))
			continue
		}
		s.ids.raise(r.value.ID)
		good = append(good, r.value)
	}
	return good, nil
}

func encodeStatus(st Status) ([]byte, error) {
	f := statusFile{
		UUID:       st.UUID,
		Generation: st.Generation,
		ID:         st.ID,
		State:      st.State.String(),
		Reason:     st.Reason.String(),
		Since:      st.Since.UTC(),
		Reboots:    st.Reboots,
		OOMKills:   st.OOMKills,
		Paused:     st.Paused,
		LastError:  st.LastError,
		Ending:     st.Ending,
		Sequence:   st.Sequence,
		Mark:       st.Mark,
		Pledge:     st.Pledge,
	}
	if st.StartDuration != 0 {
		f.StartDuration = st.StartDuration.String()
	}
	var err error
	if st.Definition != nil {
		if f.Definition, err = protojson.Marshal(st.Definition); err != nil {
			return nil, fmt.Errorf("encode definition: %w", err)
		}
	}
	if st.Revised != nil {
		if f.Revised, err = protojson.Marshal(st.Revised); err != nil {
			return nil, fmt.Errorf("encode revised definition: %w", err)
		}
	}
	if st.Again != nil {
		if f.Again, err = protojson.Marshal(st.Again); err != nil {
			return nil, fmt.Errorf("encode definition to be started again: %w", err)
		}
	}
	for _, ev := range st.Owed {
		var text json.RawMessage
		if text, err = protojson.Marshal(ev); err != nil {
			return nil, fmt.Errorf("encode event: %w", err)
		}
		f.Owed = append(f.Owed, text)
	}
	if st.Exit != nil {
		if f.Exit, err = protojson.Marshal(st.Exit); err != nil {
			return nil, fmt.Errorf("encode exit: %w", err)
		}
	}
	return json.Marshal(f)
}

func decodeStatus(text []byte) (Status, error) {
	var f statusFile
	if err := json.Unmarshal(text, &f); err != nil {
		return Status{}, err
	}
	st := Status{
		UUID:       f.UUID,
		Generation: f.Generation,
		ID:         f.ID,
		State:      davitv1.DomainState(davitv1.DomainState_value[f.State]),
		Reason:     davitv1.DomainReason(davitv1.DomainReason_value[f.Reason]),
		Since:      f.Since,
		Reboots:    f.Reboots,
		OOMKills:   f.OOMKills,
		Paused:     f.Paused,
		LastError:  f.LastError,
		Ending:     f.Ending,
		Sequence:   f.Sequence,
		Mark:       f.Mark,
		Pledge:     f.Pledge,
	}
	if _, err := domain.ParseUUID(st.UUID); err != nil {
		return Status{}, err
	}
	if st.State == 0 {
		return Status{}, fmt.Errorf("state %.40q is not known", f.State)
	}
	if f.StartDuration != "" {
		var err error
		if st.StartDuration, err = time.ParseDuration(f.StartDuration); err != nil {
			return Status{}, err
		}
	}
	lenient := protojson.UnmarshalOptions{DiscardUnknown: true}
	if f.Definition != nil {
		st.Definition = new(davitv1.Domain)
		if err := lenient.Unmarshal(f.Definition, st.Definition); err != nil {
			return Status{}, fmt.Errorf("definition: %w", err)
		}
	}
	if f.Revised != nil {
		st.Revised = new(davitv1.Domain)
		if err := lenient.Unmarshal(f.Revised, st.Revised); err != nil {
			return Status{}, fmt.Errorf("revised definition: %w", err)
		}
	}
	if f.Again != nil {
		st.Again = new(davitv1.Domain)
		if err := lenient.Unmarshal(f.Again, st.Again); err != nil {
			return Status{}, fmt.Errorf("definition to be started again: %w", err)
		}
	}
	for _, text := range f.Owed {
		ev := new(davitv1.Event)
		if err := lenient.Unmarshal(text, ev); err != nil {
			return Status{}, fmt.Errorf("event: %w", err)
		}
		st.Owed = append(st.Owed, ev)
	}
	if f.Exit != nil {
		st.Exit = new(davitv1.Exit)
		if err := lenient.Unmarshal(f.Exit, st.Exit); err != nil {
			return Status{}, fmt.Errorf("exit: %w", err)
		}
	}
	return st, nil
}
