package session

import (
	"fmt"
	"sync"
	"time"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

const (
	// Limit is the most sessions of a container, those that are kept after their end included.
	Limit = 128
	// KeptTime is how long a detached session is kept after its end.
	KeptTime = 10 * time.Minute

	// maxID is the longest name of a session.
	maxID = 128
)

// Table holds a container's sessions by name. It may be used from any goroutine.
type Table struct {
	mu       sync.Mutex
	sessions map[string]*Session // nil while the command is being started
}

// NewTable makes an empty table.
func NewTable() *Table { return &Table{sessions: map[string]*Session{}} }

// Run starts a command and connects to it.
func (t *Table) Run(runner Runner, exec *monitorv1.Exec) (*Attachment, error) {
	if err := check(exec); err != nil {
		return nil, err
	}
	if err := t.reserve(exec.GetId()); err != nil {
		return nil, err
	}
	s, err := start(runner, exec)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		delete(t.sessions, exec.GetId())
		return nil, err
	}
	t.sessions[s.id] = s
	offset, _ := s.output.attach()
	go t.live(s)
	return newAttachment(s, offset), nil
}

// check refuses a request that makes no sense.
func check(exec *monitorv1.Exec) error {
	var message string
	switch argv := exec.GetProcess().GetArgv(); {
	case exec.GetId() == "" || len(exec.GetId()) > maxID:
		message = fmt.Sprintf("its name has %d bytes, not 1 to %d", len(exec.GetId()), maxID)
	case len(argv) == 0 || argv[0] == "":
		message = "there is no command"
	case exec.GetRows() > 65535 || exec.GetColumns() > 65535:
		message = fmt.Sprintf("a terminal of %d rows of %d is over the limit of 65535", exec.GetRows(), exec.GetColumns())
	default:
		return nil
	}
	return refuse(exec.GetId(), monitorv1.ErrorKind_ERROR_KIND_INVALID, message)
}

func refuse(id string, kind monitorv1.ErrorKind, message string) error {
	return &wire.Error{Operation: "run command", Object: id, Message: message, Kind: kind}
}

// reserve takes a name, and makes room for it.
func (t *Table) reserve(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, there := t.sessions[id]; there {
		return refuse(id, monitorv1.ErrorKind_ERROR_KIND_BUSY, "there is a session of that name")
	}
	if len(t.sessions) >= Limit && !t.evict() {
		return refuse(id, monitorv1.ErrorKind_ERROR_KIND_EXHAUSTED, fmt.Sprintf("%d sessions are the limit", Limit))
	}
	t.sessions[id] = nil
	return nil
}

// evict drops the session that ended first of all.
func (t *Table) evict() bool {
	var oldest *Session
	for _, s := range t.sessions {
		if s != nil && s.over() && (oldest == nil || s.endedAt.Before(oldest.endedAt)) {
			oldest = s
		}
	}
	if oldest != nil {
		delete(t.sessions, oldest.id)
	}
	return oldest != nil
}

// live sees a session to its end, and keeps it as long as it is to be kept.
func (t *Table) live(s *Session) {
	s.live(func() {
		if s.detach {
			time.AfterFunc(KeptTime, func() { t.drop(s) })
			return
		}
		// The name is free before the caller can know of the end.
		t.drop(s)
	})
}

// drop forgets a session.
func (t *Table) drop(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions[s.id] == s {
		delete(t.sessions, s.id)
	}
}

// Attach connects to a session that nobody else is connected to.
func (t *Table) Attach(id string) (*Attachment, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil {
		return nil, &wire.Error{
			Operation: "attach to command", Object: id, Message: "there is no such session",
			Kind: monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND,
		}
	}
	offset, ok := s.output.attach()
	if !ok {
		return nil, &wire.Error{
			Operation: "attach to command", Object: id, Message: "somebody else is attached to it",
			Kind: monitorv1.ErrorKind_ERROR_KIND_BUSY,
		}
	}
	return newAttachment(s, offset), nil
}
