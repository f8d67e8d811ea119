package cli

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domid() command {
	return a.one("domid", "convert a domain name or UUID to domain id", "id",
		func(d *davitv1.DomainInfo) any { return d.GetId() }, func(d *davitv1.DomainInfo) string { return idText(d) })
}

// one is a command that prints one thing of a domain: value for programs, words for people.
func (a *app) one(name, help, member1 string, value func(*davitv1.DomainInfo) any, words func(*davitv1.DomainInfo) string) command {
	var domainName string
	return command{
		name: name, help: help,
		operands: []operand{domainOperand(&domainName)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			_, info, err := a.lookup(ctx, domainName)
			if err != nil {
				return err
			}
			if a.notation != text {
				return a.show(object{{member1, value(info)}})
			}
			a.print("%s\n", words(info))
			return nil
		},
	}
}

// idText is a domain's number as virsh shows it.
func idText(d *davitv1.DomainInfo) string {
	if d.GetId() == 0 {
		return "-"
	}
	return fmt.Sprint(d.GetId())
}
