package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domrename() command {
	var name, to string
	return command{
		name: "domrename", help: "rename a domain that is not active",
		operands: []operand{domainOperand(&name), {name: "new-name", help: "new domain name", one: &to}},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			_, err = c.RenameDomain(ctx, &davitv1.RenameDomainRequest{Domain: client.ByUUID(info.GetUuid()), NewName: to})
			if err != nil {
				return unsure(err)
			}
			a.extra("Domain successfully renamed\n")
			return nil
		},
	}
}
