package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) resume() command {
	var name string
	return command{
		name: "resume", help: "resume a domain",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.onDomain(ctx, name, "Domain '%s' resumed", "Failed to resume domain '%s'",
				func(c *client.Client, ref *davitv1.DomainRef) error {
					_, err := c.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: ref})
					return err
				})
		},
	}
}
