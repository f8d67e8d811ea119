package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) why() command {
	var name string
	return command{
		name: "why", help: "tell why a domain is in its state: what stopped it, and what it said last",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			stats, err := measure(ctx, c, info)
			if err != nil {
				return err
			}
			job, err := c.GetDomainJob(ctx, &davitv1.GetDomainJobRequest{Domain: client.ByUUID(info.GetUuid())})
			if err != nil && !errors.Is(err, domain.ErrNotFound) {
				return err
			}
			log, err := lastOf(ctx, c, info.GetUuid())
			if err != nil {
				return err
			}
			return a.showWhy(&story{info, stats, job, log})
		},
	}
}

// story is what there is to tell about a domain.
type story struct {
	info  *davitv1.DomainInfo
	stats *davitv1.DomainStats
	job   *davitv1.GetDomainJobResponse
	log   []*davitv1.LogLine
}

func (a *app) showWhy(s *story) error {
	if a.notation != text {
		lines := []any{}
		for _, l := range s.log {
			lines = append(lines, strings.ToValidUTF8(string(l.GetText()), "\uFFFD"))
		}
		return a.show(object{{"why", s.verdict()}, {"domain", s.info}, {"doing", s.job.GetOperation()}, {"log", lines}})
	}
	state := domain.StateWord(s.info.GetState())
	a.print("%s\n", cell(fmt.Sprintf("%s is %s: %s", s.info.GetName(), state, s.verdict())))
	for _, p := range s.facts() {
		a.print("  %-14s %s\n", p.name+":", cell(p.value))
	}
	if len(s.log) > 0 {
		a.print("Last lines of its log:\n")
		for _, l := range s.log {
			a.print("  %s%s\n", linePrefix(l, false), cell(saying(l.GetText())))
		}
	}
	return nil
}

// verdict is why the domain is in its state.
func (s *story) verdict() string {
	switch s.info.GetReason() {
	case davitv1.DomainReason_DOMAIN_REASON_RUNNING_BOOTED:
		return "it was started" + s.since()
	case davitv1.DomainReason_DOMAIN_REASON_RUNNING_UNPAUSED:
		return "it was resumed"
	case davitv1.DomainReason_DOMAIN_REASON_RUNNING_CRASHED:
		return "it was started again after its init had crashed"
	case davitv1.DomainReason_DOMAIN_REASON_PAUSED_USER:
		return "a user suspended it"
	case davitv1.DomainReason_DOMAIN_REASON_PAUSED_STARTING_UP:
		return "it was started paused and not resumed yet"
	case davitv1.DomainReason_DOMAIN_REASON_SHUTDOWN_USER:
		return "it was asked to end and has not ended yet"
	case davitv1.DomainReason_DOMAIN_REASON_SHUTDOWN_STUCK:
		return "a user destroyed it, and a process of it cannot die yet"
	case davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_SHUTDOWN,
		davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_CRASHED, davitv1.DomainReason_DOMAIN_REASON_CRASHED_PANICKED:
		return exitWords(s.info.GetExit())
	case davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_DESTROYED:
		return "a user destroyed it"
	case davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_FAILED:
		if s.info.GetLastError() != "" {
			return "its last start failed"
		}
		return "its supervisor was lost"
	case davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_DAEMON:
		return "the daemon found it so when it was started"
	case davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_UNKNOWN:
		return "it was not started since it was defined"
	default:
		return "the daemon does not tell"
	}
}

// since tells what happened to a guest that runs after it was started.
func (s *story) since() string {
	switch n := s.info.GetReboots(); n {
	case 0:
		return ""
	case 1:
		return ", and its guest rebooted once since"
	default:
		return fmt.Sprintf(", and its guest rebooted %d times since", n)
	}
}

// A guest that powers off or halts shows as an init that SIGINT killed, and one that reboots as one that SIGHUP killed:
// reboot(2) in a PID namespace does it so, and neither signal can kill an init otherwise.
const (
	poweredOff = syscall.SIGINT
	rebooted   = syscall.SIGHUP
)

// exitWords tells how an init ended.
func exitWords(exit *davitv1.Exit) string {
	switch how := exit.GetHow().(type) {
	case *davitv1.Exit_Code:
		return fmt.Sprintf("its init exited with code %d", how.Code)
	case *davitv1.Exit_Signal:
		switch signal := syscall.Signal(how.Signal); {
		case exit.GetOomKilled():
			return "the OOM killer ended its init: it used all the memory that it may"
		case signal == poweredOff:
			return "its guest powered off"
		case signal == rebooted:
			return "its guest rebooted, which on_reboot makes an end"
		default:
			return "its init was killed by " + domain.SignalName(int(signal))
		}
	case *davitv1.Exit_Unknown:
		return "its init ended, and nobody saw how"
	}
	return "its guest ended"
}

// endWords tells the same behind the time of it.
func endWords(exit *davitv1.Exit) string {
	words := exitWords(exit)
	for _, subject := range []string{"its init ", "its guest ", "was "} {
		words = strings.TrimPrefix(words, subject)
	}
	words, _, _ = strings.Cut(words, ", which")
	return words
}

// facts are what else is known, in the order in which one would ask.
func (s *story) facts() []parameter {
	var all []parameter
	add := func(name, format string, args ...any) {
		all = append(all, parameter{name, fmt.Sprintf(format, args...)})
	}
	add("Since", "%s", timeText(s.info.GetSince().AsTime()))
	if s.job.GetOperation() != "" {
		add("Being done", "%s", s.job.GetOperation())
	}
	if s.info.GetId() == 0 && s.info.GetExit() != nil {
		add("Init ended", "%s, %s", timeText(s.info.GetExit().GetTime().AsTime()), endWords(s.info.GetExit()))
	}
	if s.info.GetLastError() != "" {
		add("Last error", "%s", s.info.GetLastError())
	}
	if s.info.GetReboots() > 0 {
		add("Reboots", "%d", s.info.GetReboots())
	}
	if s.stats != nil {
		memory := byteText(s.stats.GetMemoryBytes())
		if limit := s.stats.GetMemoryLimitBytes(); limit > 0 {
			memory += " of " + byteText(limit)
		}
		add("Memory", "%s", memory)
		add("OOM kills", "%d", s.stats.GetOomKills())
		add("Processes", "%d", s.stats.GetPids())
	}
	return all
}
