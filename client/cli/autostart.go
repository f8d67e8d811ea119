package cli

import (
	"context"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) autostart() command {
	var name string
	var disable bool
	return command{
		name: "autostart", help: "autostart a domain",
		operands: []operand{domainOperand(&name)},
		flags:    func(f *pflag.FlagSet) { f.BoolVar(&disable, "disable", false, "disable autostarting") },
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			done, failure := "Domain '%s' marked as autostarted", "Failed to mark domain '%s' as autostarted"
			if disable {
				done, failure = "Domain '%s' unmarked as autostarted", "Failed to unmark domain '%s' as autostarted"
			}
			return a.onDomain(ctx, name, done, failure, func(c *client.Client, ref *davitv1.DomainRef) error {
				_, err := c.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
					Domain: ref, Autostart: !disable, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"autostart"}},
				})
				return err
			})
		},
	}
}
