package cli

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) wait() command {
	var name, state, timeout string
	return command{
		name: "wait", help: "wait until a domain has stopped, or is in a state",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&state, "for", "", "the state: running, paused, shutoff or crashed; shutoff or crashed when not given")
			f.StringVar(&timeout, "timeout", "", "give up after so many seconds, or a time as in 10m")
		},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			states, err := waitedStates(state)
			if err != nil {
				return err
			}
			if set.Changed("timeout") {
				limit, ok := duration(timeout)
				if !ok || limit == 0 {
					return badNumber(timeout, "timeout")
				}
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, limit, errTimeout)
				defer cancel()
			}
			return a.await(ctx, name, states)
		},
	}
}

// waitedStates reads the value of --for; none are the states of a domain that has stopped.
func waitedStates(word string) ([]davitv1.DomainState, error) {
	switch strings.ReplaceAll(word, " ", "") {
	case "":
		return nil, nil
	case "running":
		return []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_RUNNING}, nil
	case "paused":
		return []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_PAUSED}, nil
	case "inshutdown":
		return []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_SHUTDOWN}, nil
	case "shutoff":
		return []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_SHUTOFF}, nil
	case "crashed":
		return []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_CRASHED}, nil
	}
	return nil, failed(nil, "Unknown state '%s', expecting 'running', 'paused', 'shutoff', or 'crashed'", word)
}

// await waits, also while the daemon restarts, and prints the state in which the domain is.
func (a *app) await(ctx context.Context, name string, states []davitv1.DomainState) error {
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return err
	}
	done := a.awaiting("domain '%s'", name)
	resp, err := c.WaitDomain(ctx, &davitv1.WaitDomainRequest{Domain: client.ByUUID(info.GetUuid()), States: states})
	done()
	switch {
	case err != nil && context.Cause(ctx) == errTimeout: //nolint:errorlint // it is that very value
		return failed(nil, "Timed out while waiting for domain '%s'", name)
	case err != nil && ctx.Err() != nil:
		return exitError(1) // interrupted
	case err != nil:
		return failed(err, "Failed to wait for domain '%s'", name)
	case resp.GetGone() && len(states) > 0:
		return failed(nil, "Domain '%s' is gone", name)
	}
	word := domain.StateWord(resp.GetDomain().GetState())
	if resp.GetGone() {
		word = "gone"
	}
	if a.notation != text {
		return a.show(object{{"state", word}, {"gone", resp.GetGone()}, {"domain", resp.GetDomain()}})
	}
	a.print("%s\n", word)
	return nil
}
