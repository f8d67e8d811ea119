package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) start() command {
	var name string
	var console, paused, dryRun, verbose, timing bool
	return command{
		name: "start", help: "start a (previously defined) inactive domain",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&console, "console", false, "attach to console after boot")
			f.BoolVar(&paused, "paused", false, "leave the guest paused after boot")
			f.BoolVar(&dryRun, "dry-run", false, "start nothing; print what a start would do, an operation a line")
			f.BoolVarP(&verbose, "verbose", "v", false, "with --dry-run: the system calls, too")
			f.BoolVar(&timing, "timing", false, "tell where the time of the start went, in the daemon")
		},
		exclusive: [][2]string{{"dry-run", "console"}, {"dry-run", "timing"}},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			if console && !isTerminal(a.in) {
				return errNoTTY()
			}
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			if info.GetId() != 0 && !dryRun {
				return failed(nil, "Domain is already active")
			}
			done := a.awaiting("domain '%s' to start", name)
			resp, err := c.StartDomain(ctx, &davitv1.StartDomainRequest{
				Domain: client.ByUUID(info.GetUuid()), Paused: paused, DryRun: dryRun, Verbose: verbose,
			})
			done()
			switch {
			case err != nil:
				return failed(unsure(err), "Failed to start domain '%s'", name)
			case dryRun:
				a.print("%s", resp.GetPlan())
				return nil
			case a.notation != text && timing:
				return a.show(messages(resp.GetPhases()))
			case a.notation != text:
				return a.show(resp.GetDomain())
			}
			a.extra("Domain '%s' started\n", name)
			if timing {
				a.printPhases(resp.GetPhases())
			}
			if !console {
				return nil
			}
			return a.runConsole(ctx, c, resp.GetDomain(), client.ConsoleOptions{Scrollback: true})
		},
	}
}
