package domain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// column is a set of conditions in which every action does the same.
type column struct {
	title string
	has   func(domain.Condition) bool
}

var columns = []column{
	{"absent", func(c domain.Condition) bool { return c == domain.Absent }},
	{"shut off, crashed", func(c domain.Condition) bool {
		return c.State == davitv1.DomainState_DOMAIN_STATE_SHUTOFF || c.State == davitv1.DomainState_DOMAIN_STATE_CRASHED
	}},
	{"paused (starting up)", func(c domain.Condition) bool { return c == domain.Starting }},
	{"running", func(c domain.Condition) bool { return c.State == davitv1.DomainState_DOMAIN_STATE_RUNNING }},
	{"paused (user)", func(c domain.Condition) bool {
		return c.State == davitv1.DomainState_DOMAIN_STATE_PAUSED && c != domain.Starting
	}},
	{"in shutdown (user)", func(c domain.Condition) bool { return c.Reason == davitv1.DomainReason_DOMAIN_REASON_SHUTDOWN_USER }},
	{"in shutdown (stuck)", func(c domain.Condition) bool { return c.Reason == davitv1.DomainReason_DOMAIN_REASON_SHUTDOWN_STUCK }},
}

const lifecycleHead = `<!-- Written by go test ./domain -update. -->
# The life of a domain

What each action does in each state: where it leads and the lifecycle events that tell it, in order. A dash means that
nothing changes; words in italics are the message with which the action is refused (code FAILED_PRECONDITION, reason
DOMAIN_STATE). The same table, ` + "`domain.Next`" + `, decides in the daemon.

A domain that is *absent* is neither defined nor active. *paused (starting up)* is a domain whose init does not run yet:
until it does, no event tells of the start, and none tells of its failure. A transient domain that is shut off is forgotten.

The last word of a caller holds. A *shutdown* overrides a reboot that is under way, whoever began it: the guest may be too far to
hear, so from then on its reboot counts as a power-off, and on_poweroff says what follows. While init is between two lives it is
refused. A *reboot* of a domain that is being shut down is refused, for the guest might take it for nothing. *destroy* and *reset* hold
at any moment, also while the guest reboots.

A domain whose monitor is killed stays in its state: another monitor adopts it, and nothing of that is an event. *lost* is a domain whose
monitor was killed while nothing of it ran any more, or while it was destroyed, and one that could not be started again.

A domain that was destroyed is *in shutdown (stuck)* when a process of it was killed and does not die: the kernel waits for something on its
behalf, as for a disk or a server of files that does not answer, and nothing can end such a wait from without. destroy answers with the
error PROCESS_STUCK, which names the process and where it waits, and so does ` + "`davit why`" + `. When the kernel lets the process go, the domain is
shut off (destroyed) by itself, also if the daemon was restarted meanwhile.
`

// TestLifecyclePage writes the full table of states and actions and compares it with the page.
func TestLifecyclePage(t *testing.T) {
	var b strings.Builder
	b.WriteString(lifecycleHead)
	for _, part := range []struct {
		title string
		has   func(domain.Action) bool
	}{
		{"What callers ask for", func(a domain.Action) bool { return a < domain.Started }},
		{"What is seen", func(a domain.Action) bool { return a >= domain.Started }},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| action |", part.title)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c.title)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
		for _, a := range domain.Actions() {
			if !part.has(a) {
				continue
			}
			fmt.Fprintf(&b, "| %s |", a)
			for _, c := range columns {
				fmt.Fprintf(&b, " %s |", cell(t, c, a))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString(effectsPage())
	checkPage(t, "lifecycle.md", b.String())
}

// cell is what an action does in the conditions of a column, which must be the same for each.
func cell(t *testing.T, c column, a domain.Action) string {
	t.Helper()
	outcomes := map[string]bool{}
	moves := false
	for _, from := range domain.Conditions() {
		if !c.has(from) {
			continue
		}
		next, err := domain.Next(from, a)
		if err != nil {
			var e *domain.Error
			errors.As(err, &e)
			outcomes["*"+e.Message+"*"] = true
			continue
		}
		moves = moves || next.To != from
		to := "–"
		if next.To != from {
			to = "→ " + next.To.String()
		}
		outcomes[to+eventText(next.Events)] = true
	}
	if moves { // who is there already stays there
		for text := range outcomes {
			if strings.HasPrefix(text, "–") {
				delete(outcomes, text)
			}
		}
	}
	if len(outcomes) != 1 {
		t.Errorf("%s is not the same in all of %s: %v", a, c.title, outcomes)
	}
	for text := range outcomes {
		return text
	}
	return ""
}

func eventText(events []*davitv1.LifecycleEvent) string {
	text := ""
	for i, e := range events {
		kind, detail := domain.EventWords(e)
		text += []string{"; ", ", "}[min(i, 1)] + kind + " " + detail
	}
	return text
}

// TestNextLaws holds the whole table to what callers rely on.
func TestNextLaws(t *testing.T) {
	for _, from := range domain.Conditions() {
		for _, a := range domain.Actions() {
			next, err := domain.Next(from, a)
			if err != nil {
				checkRefusal(t, from, a, err)
				continue
			}
			checkTransition(t, from, a, next)
		}
	}
}

func checkRefusal(t *testing.T, from domain.Condition, a domain.Action, err error) {
	t.Helper()
	var e *domain.Error
	if !errors.As(err, &e) || e.Code != codes.FailedPrecondition || e.Reason != davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE || e.Message == "" {
		t.Errorf("%v, %v: %#v is no refusal", from, a, err)
		return
	}
	if e.Detail["state"] != from.String() || e.Detail["action"] != a.String() {
		t.Errorf("%v, %v: details are %v", from, a, e.Detail)
	}
}

func checkTransition(t *testing.T, from domain.Condition, a domain.Action, next domain.Transition) {
	t.Helper()
	where := fmt.Sprintf("%v, %v", from, a)
	if next.To != domain.Absent && !strings.HasPrefix(reasonState(next.To.Reason), stateName(next.To.State)) {
		t.Errorf("%s: reason %v is not of state %v", where, next.To.Reason, next.To.State)
	}
	told := map[davitv1.LifecycleEventType]int{}
	for _, e := range next.Events {
		told[e.GetType()]++
		if e.GetType() == 0 || e.GetDetail() == 0 {
			t.Errorf("%s: an event without type or detail: %v", where, e)
		}
	}
	if n := len(next.Events); n > 0 {
		last := next.Events[n-1]
		restarts := last.GetType() == davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_CRASHED
		if (last.GetState() != next.To.State || last.GetReason() != next.To.Reason) && !restarts {
			t.Errorf("%s: the last event shows %v %v, not the condition", where, last.GetState(), last.GetReason())
		}
	}
	announced := from.Active() && from != domain.Starting
	if ends := announced && !next.To.Active(); ends != (told[davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED] == 1) {
		t.Errorf("%s: it ends: %v, but STOPPED is told %d times", where, ends, told[davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED])
	}
	if begins := from == domain.Starting && next.To.Active() && next.To != domain.Starting; begins && told[davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STARTED] != 1 {
		t.Errorf("%s: it begins, but STARTED is not told", where)
	}
}

// reasonState is the state that a reason names.
func reasonState(r davitv1.DomainReason) string {
	return strings.TrimPrefix(r.String(), "DOMAIN_REASON_")
}

func stateName(s davitv1.DomainState) string {
	return strings.TrimPrefix(s.String(), "DOMAIN_STATE_") + "_"
}

// TestLives follows whole lives.
func TestLives(t *testing.T) {
	for _, c := range []struct {
		name    string
		actions []domain.Action
		end     string
		events  string
	}{
		{
			"define, start, power off, undefine",
			[]domain.Action{domain.Define, domain.Start, domain.Started, domain.PoweredOff, domain.Undefine},
			"absent", "Defined Added, Started Booted, Stopped Shutdown, Undefined Removed",
		},
		{
			"shutdown with a pause between",
			[]domain.Action{domain.Define, domain.Start, domain.StartedPaused, domain.Resume, domain.Suspend, domain.Suspend, domain.Resume, domain.Shutdown, domain.PoweredOff},
			"shut off (shutdown)",
			"Defined Added, Started Booted, Suspended Paused, Resumed Unpaused, Suspended Paused, Resumed Unpaused, Shutdown Finished after host request, Stopped Shutdown",
		},
		{
			"crash and restart, then crash for good",
			[]domain.Action{domain.Create, domain.Started, domain.CrashedRestarting, domain.Restarted, domain.Crashed},
			"shut off (crashed)", "Started Booted, Crashed Panicked, Started Booted, Crashed Panicked, Stopped Crashed",
		},
		{
			"reboot although asked to end",
			[]domain.Action{domain.Create, domain.Started, domain.Shutdown, domain.Rebooted},
			"running (booted)", "Started Booted, Shutdown Finished after host request",
		},
		{"failed start", []domain.Action{domain.Define, domain.Start, domain.StartFailed}, "shut off (failed)", "Defined Added"},
		{
			"lost, and told again",
			[]domain.Action{domain.Create, domain.Started, domain.Lost, domain.Lost, domain.PoweredOff},
			"shut off (failed)", "Started Booted, Stopped Failed",
		},
	} {
		at := domain.Absent
		var events []string
		for _, a := range c.actions {
			next, err := domain.Next(at, a)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				break
			}
			for _, e := range next.Events {
				kind, detail := domain.EventWords(e)
				events = append(events, kind+" "+detail)
			}
			at = next.To
		}
		if at.String() != c.end || strings.Join(events, ", ") != c.events {
			t.Errorf("%s ends %v with events %s", c.name, at, strings.Join(events, ", "))
		}
	}
}
