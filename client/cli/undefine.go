package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) undefine() command {
	var name string
	var storage bool
	return command{
		name: "undefine", help: "undefine a domain: an active one runs on and is gone when it stops",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&storage, "remove-all-storage", false, "remove what its overlays with upper='keep' hold")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.onDomain(ctx, name, "Domain '%s' has been undefined", "Failed to undefine domain '%s'",
				func(c *client.Client, ref *davitv1.DomainRef) error {
					_, err := c.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: ref, RemoveStorage: storage})
					return err
				})
		},
	}
}
