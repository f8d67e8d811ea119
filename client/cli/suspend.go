package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) suspend() command {
	var name string
	return command{
		name: "suspend", help: "suspend a domain",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.onDomain(ctx, name, "Domain '%s' suspended", "Failed to suspend domain '%s'",
				func(c *client.Client, ref *davitv1.DomainRef) error {
					_, err := c.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: ref})
					return err
				})
		},
	}
}
