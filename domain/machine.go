package domain

import (
	"fmt"

	"google.golang.org/grpc/codes"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Condition is what a domain does and why. The zero value is a domain that does not exist.
type Condition struct {
	// State is what it does.
	State davitv1.DomainState
	// Reason is why.
	Reason davitv1.DomainReason
}

// Conditions that the machine knows by name.
var (
	// Absent is a domain that is neither defined nor active.
	Absent = Condition{}
	// Starting is a domain whose init does not run yet.
	Starting = Condition{davitv1.DomainState_DOMAIN_STATE_PAUSED, davitv1.DomainReason_DOMAIN_REASON_PAUSED_STARTING_UP}
	// Lingering is a domain that was destroyed and cannot end yet.
	Lingering = Condition{davitv1.DomainState_DOMAIN_STATE_SHUTDOWN, davitv1.DomainReason_DOMAIN_REASON_SHUTDOWN_STUCK}
)

// Active tells whether something of the domain runs, or is being started.
func (c Condition) Active() bool {
	switch c.State {
	case davitv1.DomainState_DOMAIN_STATE_RUNNING, davitv1.DomainState_DOMAIN_STATE_PAUSED, davitv1.DomainState_DOMAIN_STATE_SHUTDOWN:
		return true
	default:
		return false
	}
}

// String is the condition in virsh's words: "running (booted)".
func (c Condition) String() string {
	if c == Absent {
		return "absent"
	}
	return StateWord(c.State) + " (" + ReasonWord(c.Reason) + ")"
}

// Action is something that is done to a domain, or seen of it.
type Action int

// What callers ask for. They are refused where the domain's state does not allow them.
const (
	// Define stores the definition of a domain that is absent, or makes an active transient one persistent.
	Define Action = iota + 1
	// Redefine replaces a stored definition.
	Redefine
	// Undefine removes the stored definition. What is active runs on, transient.
	Undefine
	// Create begins the start of a transient domain that is absent, or of a defined one with a definition of its own.
	Create
	// Start begins the start of a defined domain.
	Start
	// Shutdown asks the guest to end.
	Shutdown
	// Reboot asks the guest to reboot.
	Reboot
	// Destroy ends it by force; the action stands for the end.
	Destroy
	// Suspend freezes it.
	Suspend
	// Resume lets it run on.
	Resume
)

// What is seen. An end that is told again of a domain that is not active changes nothing.
const (
	// Started: init runs for the first time.
	Started Action = iota + 101
	// StartedPaused: init is there and frozen before its first instruction.
	StartedPaused
	// StartFailed: the start did not succeed, and nothing is left.
	StartFailed
	// PoweredOff: init exited or the guest powered itself off, or rebooted where on_reboot says destroy; nothing follows.
	PoweredOff
	// Crashed: init was killed by a signal; nothing follows.
	Crashed
	// CrashedRestarting: init was killed by a signal; Restarted follows.
	CrashedRestarting
	// Restarted: init runs again after a crash.
	Restarted
	// Rebooted: init runs again after a reboot, or after a power-off where on_poweroff says restart.
	Rebooted
	// Stuck: it was destroyed, and a process of it cannot die yet; the end follows.
	Stuck
	// Lost: its supervisor was lost, or a restart failed; nothing follows.
	Lost
	// FoundStopped: the daemon, when it started, found no trace of what should run.
	FoundStopped
)

// actionNames are the actions in the words of messages and documentation.
var actionNames = map[Action]string{
	Define: "define", Redefine: "redefine", Undefine: "undefine", Create: "create", Start: "start", Shutdown: "shutdown",
	Reboot: "reboot", Destroy: "destroy", Suspend: "suspend", Resume: "resume",
	Started: "started", StartedPaused: "started paused", StartFailed: "start failed", PoweredOff: "powered off",
	Crashed: "crashed", CrashedRestarting: "crashed, restarting", Restarted: "restarted", Rebooted: "rebooted",
	Stuck: "stuck", Lost: "lost", FoundStopped: "found stopped",
}

// String is the action in words.
func (a Action) String() string {
	if s, ok := actionNames[a]; ok {
		return s
	}
	return fmt.Sprintf("action %d", int(a))
}

// Actions are all of them: first what callers ask for, then what is seen.
func Actions() []Action {
	return []Action{
		Define, Redefine, Undefine, Create, Start, Shutdown, Reboot, Destroy, Suspend, Resume,
		Started, StartedPaused, StartFailed, PoweredOff, Crashed, CrashedRestarting, Restarted, Rebooted, Stuck, Lost, FoundStopped,
	}
}

// Transition is what an action does.
type Transition struct {
	// To is the condition afterwards.
	To Condition
	// Events tell it, in order. Each holds the state and reason after it; who sends them adds how init ended.
	Events []*davitv1.LifecycleEvent
}

// Next is the life of a domain: what an action does in a condition. An action that the condition does not allow is an
// error with code FAILED_PRECONDITION and reason DOMAIN_STATE in libvirt's words. Next is pure; whether a domain is
// persistent is not its business, so a transient one that is shut off is for the caller to forget.
func Next(from Condition, a Action) (Transition, error) {
	r := lookup(from, a)
	if r.refuse != "" {
		return Transition{}, stateError(from, a, r.refuse)
	}
	t := Transition{To: from}
	if !r.stay {
		t.To = r.to
	}
	for _, e := range r.events {
		state := t.To
		if e.during != nil {
			state = *e.during
		}
		t.Events = append(t.Events, &davitv1.LifecycleEvent{Type: e.kind, Detail: e.detail, State: state.State, Reason: state.Reason})
	}
	return t, nil
}

func stateError(from Condition, a Action, message string) error {
	return &Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
		Op: a.String() + " domain", Message: message,
		Detail: map[string]string{"state": from.String(), "action": a.String()},
	}
}
