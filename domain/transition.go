package domain

import davitv1 "github.com/davitd/davit/proto/davit/v1"

// rule is one cell of the table of state and action: refuse, stay or go to a condition, with the events that tell it.
type rule struct {
	refuse string
	stay   bool
	to     Condition
	events []told
}

// told is an event of a rule. It shows the condition after the rule unless it happens during another.
type told struct {
	kind   davitv1.LifecycleEventType
	detail davitv1.LifecycleEventDetail
	during *Condition
}

// Short names for what the table is made of.
const (
	running  = davitv1.DomainState_DOMAIN_STATE_RUNNING
	paused   = davitv1.DomainState_DOMAIN_STATE_PAUSED
	shutdown = davitv1.DomainState_DOMAIN_STATE_SHUTDOWN
	shutoff  = davitv1.DomainState_DOMAIN_STATE_SHUTOFF
	crashed  = davitv1.DomainState_DOMAIN_STATE_CRASHED
)

// libvirt's words for why an action is refused.
const (
	isAbsent     = "no such domain"
	isDefined    = "domain is already defined"
	isActive     = "domain is already active"
	isRunning    = "domain is already running"
	isNotRunning = "domain is not running"
	isPaused     = "domain is paused"
	isStarting   = "domain is being started"
	isNotAwaited = "domain is not being started"
	isEnding     = "domain is being shut down"
	isStuck      = "domain was destroyed and cannot end yet: a process of it cannot die"
)

func refuse(why string) rule                { return rule{refuse: why} }
func stay(events ...told) rule              { return rule{stay: true, events: events} }
func to(c Condition, events ...told) rule   { return rule{to: c, events: events} }
func off(r davitv1.DomainReason) Condition  { return Condition{shutoff, r} }
func runs(r davitv1.DomainReason) Condition { return Condition{running, r} }
func (t told) while(c Condition) told       { t.during = &c; return t }

// The events.
var (
	added     = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_DEFINED, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_DEFINED_ADDED}
	updated   = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_DEFINED, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_DEFINED_UPDATED}
	removed   = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_UNDEFINED, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_UNDEFINED_REMOVED}
	booted    = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STARTED, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STARTED_BOOTED}
	suspended = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_SUSPENDED, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_SUSPENDED_PAUSED}
	resumed   = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_RESUMED, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_RESUMED_UNPAUSED}
	asked     = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_SHUTDOWN, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_SHUTDOWN_FINISHED_AFTER_HOST_REQUEST}
	stuck     = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_SHUTDOWN, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_SHUTDOWN_STUCK}
	panicked  = told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_CRASHED, detail: davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_CRASHED_PANICKED}
	ended     = stopped(davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_SHUTDOWN)
	destroyed = stopped(davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_DESTROYED)
	died      = stopped(davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_CRASHED)
	failed    = stopped(davitv1.LifecycleEventDetail_LIFECYCLE_EVENT_DETAIL_STOPPED_FAILED)
)

func stopped(d davitv1.LifecycleEventDetail) told {
	return told{kind: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED, detail: d}
}

// The conditions.
var (
	runningBooted   = runs(davitv1.DomainReason_DOMAIN_REASON_RUNNING_BOOTED)
	runningUnpaused = runs(davitv1.DomainReason_DOMAIN_REASON_RUNNING_UNPAUSED)
	runningCrashed  = runs(davitv1.DomainReason_DOMAIN_REASON_RUNNING_CRASHED)
	pausedUser      = Condition{paused, davitv1.DomainReason_DOMAIN_REASON_PAUSED_USER}
	shutdownUser    = Condition{shutdown, davitv1.DomainReason_DOMAIN_REASON_SHUTDOWN_USER}
	crashedPanicked = Condition{crashed, davitv1.DomainReason_DOMAIN_REASON_CRASHED_PANICKED}
	offShutdown     = off(davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_SHUTDOWN)
	offDestroyed    = off(davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_DESTROYED)
	offCrashed      = off(davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_CRASHED)
	offFailed       = off(davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_FAILED)
	offDaemon       = off(davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_DAEMON)
	offUnknown      = off(davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_UNKNOWN)
)

// lookup is the table.
func lookup(from Condition, a Action) rule {
	switch {
	case from == Absent:
		return absentRule(a)
	case from == Starting:
		return startingRule(a)
	case from.State == running:
		return runningRule(a)
	case from.State == paused:
		return pausedRule(a)
	case from == Lingering:
		return stuckRule(a)
	case from.State == shutdown:
		return shutdownRule(a)
	}
	return offRule(a)
}

// absentRule: only what makes a domain is allowed; what is told of one that is gone is old news.
func absentRule(a Action) rule {
	switch a {
	case Define:
		return to(offUnknown, added)
	case Create:
		return to(Starting)
	case PoweredOff, Crashed, Lost, FoundStopped, StartFailed:
		return stay()
	default:
		return refuse(isAbsent)
	}
}

// offRule: shut off or crashed. As in libvirt, a defined domain can also be created, with another definition for this
// one life.
func offRule(a Action) rule {
	switch a {
	case Redefine:
		return stay(updated)
	case Undefine:
		return to(Absent, removed)
	case Start, Create:
		return to(Starting)
	case PoweredOff, Crashed, Lost, FoundStopped, StartFailed:
		return stay()
	case Define:
		return refuse(isDefined)
	case Started, StartedPaused:
		return refuse(isNotAwaited)
	default:
		return refuse(isNotRunning)
	}
}

// startingRule: nothing has been told of this start yet, so its end is no event either, as in libvirt.
func startingRule(a Action) rule {
	switch a {
	case Started:
		return to(runningBooted, booted)
	case StartedPaused:
		return to(pausedUser, booted, suspended)
	case StartFailed, PoweredOff, Crashed, Lost:
		return to(offFailed)
	case FoundStopped:
		return to(offDaemon)
	case Destroy:
		return to(offDestroyed)
	case Start, Create:
		return refuse(isStarting)
	default:
		return storedRule(a, isStarting)
	}
}

// storedRule: what is done to the stored definition of an active domain leaves it running. The rest is refused.
func storedRule(a Action, why string) rule {
	switch a {
	case Define:
		return stay(added)
	case Redefine:
		return stay(updated)
	case Undefine:
		return stay(removed)
	default:
		return refuse(why)
	}
}

// activeRule is what holds alike while init runs, frozen or not.
func activeRule(a Action) rule {
	switch a {
	case Destroy:
		return to(offDestroyed, destroyed)
	case PoweredOff:
		return to(offShutdown, ended)
	case Crashed:
		return to(offCrashed, panicked.while(crashedPanicked), died)
	case CrashedRestarting:
		return stay(panicked.while(crashedPanicked))
	case Stuck:
		return to(Lingering, stuck)
	case Lost:
		return to(offFailed, failed)
	case FoundStopped:
		return to(offDaemon, failed)
	case Start:
		return refuse(isRunning)
	case Create:
		return refuse(isActive)
	case Started, StartedPaused, StartFailed:
		return refuse(isNotAwaited)
	default:
		return storedRule(a, isRunning)
	}
}

func runningRule(a Action) rule {
	switch a {
	case Shutdown:
		return to(shutdownUser, asked)
	case Reboot:
		return stay()
	case Suspend:
		return to(pausedUser, suspended)
	case Restarted:
		return to(runningCrashed, booted)
	case Rebooted:
		return to(runningBooted)
	default:
		return activeRule(a)
	}
}

// shutdownRule: it may be asked again, and a guest may end otherwise than it was asked to. A request to reboot would get lost.
func shutdownRule(a Action) rule {
	switch a {
	case Shutdown:
		return stay()
	case Reboot:
		return refuse(isEnding)
	default:
		return runningRule(a)
	}
}

// stuckRule: what was destroyed can be destroyed again, and nothing else; it comes to its end whatever its guest did last.
func stuckRule(a Action) rule {
	switch a {
	case Stuck:
		return stay()
	case Shutdown, Reboot, Suspend, Resume:
		return refuse(isStuck)
	case Restarted, Rebooted:
		return stay()
	default:
		return activeRule(a)
	}
}

// pausedRule: a frozen guest can neither end nor reboot by itself, but it can be killed, and a restart that was under
// way may show late.
func pausedRule(a Action) rule {
	switch a {
	case Suspend:
		return stay()
	case Resume:
		return to(runningUnpaused, resumed)
	case Shutdown, Reboot:
		return refuse(isPaused)
	case Restarted:
		return stay(booted)
	case Rebooted:
		return stay()
	default:
		return activeRule(a)
	}
}
