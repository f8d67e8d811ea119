// Package policy decides what follows when a container's init ends: why it ended ([Cause]), what the domain's policy
// says to that ([Action]), how long a restart is held back and when there are too many of them ([Backoff]).
package policy

import (
	"strconv"
	"syscall"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Cause tells why an init ended by how it did. reboot(2) within a PID namespace shows as death by SIGHUP for a restart
// and by SIGINT for halt and power-off; no other signal of these two can kill an init, for the kernel shields it from all
// but SIGKILL and what it handles itself.
func Cause(exit *monitorv1.Exit) monitorv1.Cause {
	switch how := exit.GetHow().(type) {
	case *monitorv1.Exit_Code:
		return monitorv1.Cause_CAUSE_POWEROFF
	case *monitorv1.Exit_Signal:
		switch syscall.Signal(how.Signal) {
		case syscall.SIGINT:
			return monitorv1.Cause_CAUSE_POWEROFF
		case syscall.SIGHUP:
			return monitorv1.Cause_CAUSE_REBOOT
		default:
			return monitorv1.Cause_CAUSE_CRASH
		}
	}
	return monitorv1.Cause_CAUSE_UNSPECIFIED
}

// Action is what the policy says to a cause. What it does not say ends the container.
func Action(policy *monitorv1.Policy, cause monitorv1.Cause) monitorv1.Action {
	action := monitorv1.Action_ACTION_DESTROY
	switch cause {
	case monitorv1.Cause_CAUSE_POWEROFF:
		action = policy.GetOnPoweroff()
	case monitorv1.Cause_CAUSE_REBOOT:
		action = policy.GetOnReboot()
	case monitorv1.Cause_CAUSE_CRASH:
		action = policy.GetOnCrash()
	case monitorv1.Cause_CAUSE_UNSPECIFIED:
	}
	if action != monitorv1.Action_ACTION_RESTART {
		return monitorv1.Action_ACTION_DESTROY
	}
	return action
}

// CauseWord is a cause in a word, for logs: to ask the schema for its name would unpack the schema.
func CauseWord(cause monitorv1.Cause) string {
	switch cause {
	case monitorv1.Cause_CAUSE_POWEROFF:
		return "poweroff"
	case monitorv1.Cause_CAUSE_REBOOT:
		return "reboot"
	case monitorv1.Cause_CAUSE_CRASH:
		return "crash"
	case monitorv1.Cause_CAUSE_UNSPECIFIED:
	}
	return "unknown"
}

// ExitWords are an exit in words: "code 3", "signal 9" or "unknown".
func ExitWords(exit *monitorv1.Exit) string {
	switch how := exit.GetHow().(type) {
	case *monitorv1.Exit_Code:
		return "code " + strconv.FormatUint(uint64(how.Code), 10)
	case *monitorv1.Exit_Signal:
		return "signal " + strconv.FormatUint(uint64(how.Signal), 10)
	}
	return "unknown"
}

// Story is an exit in words for who reads what a container said: "exited with code 3", "killed by signal 9", "rebooted".
func Story(exit *monitorv1.Exit, cause monitorv1.Cause) string {
	switch how := exit.GetHow().(type) {
	case *monitorv1.Exit_Code:
		return "exited with code " + strconv.FormatUint(uint64(how.Code), 10)
	case *monitorv1.Exit_Signal:
		switch cause {
		case monitorv1.Cause_CAUSE_REBOOT:
			return "rebooted"
		case monitorv1.Cause_CAUSE_POWEROFF:
			return "powered off"
		case monitorv1.Cause_CAUSE_CRASH, monitorv1.Cause_CAUSE_UNSPECIFIED:
		}
		return "killed by signal " + strconv.FormatUint(uint64(how.Signal), 10)
	}
	return "ended, nobody saw how"
}
