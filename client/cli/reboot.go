package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) reboot() command {
	var name, mode string
	return command{
		name: "reboot", help: "reboot a domain",
		operands: []operand{domainOperand(&name)},
		flags:    func(f *pflag.FlagSet) { f.StringVar(&mode, "mode", "", modeHelp) },
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			ways, err := shutdownModes(mode)
			if err != nil {
				return err
			}
			return a.onDomain(ctx, name, "Domain '%s' is being rebooted", "Failed to reboot domain '%s'",
				func(c *client.Client, ref *davitv1.DomainRef) error {
					return firstHeard(ways, func(how davitv1.ShutdownMode) error {
						_, err := c.RebootDomain(ctx, &davitv1.RebootDomainRequest{Domain: ref, Mode: how})
						return err
					})
				})
		},
	}
}
