package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) dumpxml() command {
	var name string
	var inactive, secrets bool
	return command{
		name: "dumpxml", help: "domain information in XML",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&inactive, "inactive", false, "show inactive defined XML")
			f.BoolVar(&secrets, "security-info", false, "include security sensitive information in XML dump")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			ref := client.ByUUID(info.GetUuid())
			if a.notation == text {
				doc, wrong := c.GetDomainXML(ctx, &davitv1.GetDomainXMLRequest{Domain: ref, Inactive: inactive, IncludeSecrets: secrets})
				a.print("%s", doc.GetXml())
				return wrong
			}
			resp, err := c.GetDomain(ctx, &davitv1.GetDomainRequest{
				Domain: ref, View: davitv1.DomainView_DOMAIN_VIEW_FULL, Inactive: inactive, IncludeSecrets: secrets,
			})
			if err != nil {
				return err
			}
			return a.printDefinition(resp.GetDomain().GetDefinition(), string(a.notation))
		},
	}
}
