package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) create() command {
	var file string
	var strict, paused, console bool
	return command{
		name: "create", help: "create a domain from a file: it is gone when it stops",
		operands: []operand{fileOperand(&file)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&console, "console", false, "attach to console after creation")
			f.BoolVar(&paused, "paused", false, "leave the guest paused after creation")
			f.BoolVar(&strict, "validate", false, "refuse elements and attributes that davit does not know")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			if console && !isTerminal(a.in) {
				return errNoTTY()
			}
			source, err := a.readDefinition(file)
			if err != nil {
				return err
			}
			c, err := a.daemon(ctx)
			if err != nil {
				return err
			}
			done := a.awaiting("domain of %s to start", file)
			resp, err := c.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: source, Strict: strict, Paused: paused})
			done()
			if err != nil {
				return failed(unsure(err), "Failed to create domain from %s", file)
			}
			a.warnAll(resp.GetWarnings())
			if a.notation != text {
				return a.show(resp.GetDomain())
			}
			a.extra("Domain '%s' created from %s\n", resp.GetDomain().GetName(), file)
			if !console {
				return nil
			}
			return a.runConsole(ctx, c, resp.GetDomain(), client.ConsoleOptions{Scrollback: true})
		},
	}
}
