package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) reset() command {
	var name string
	return command{
		name: "reset", help: "end a domain by force and start it again, without a word to the guest",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.onDomain(ctx, name, "Domain '%s' was reset", "Failed to reset domain '%s'",
				func(c *client.Client, ref *davitv1.DomainRef) error {
					_, err := c.ResetDomain(ctx, &davitv1.ResetDomainRequest{Domain: ref})
					return err
				})
		},
	}
}
