package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) define() command {
	var file string
	var strict, dryRun bool
	return command{
		name: "define", help: "define (but don't start) a domain from a file",
		operands: []operand{fileOperand(&file)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&strict, "validate", false, "refuse elements and attributes that davit does not know")
			f.BoolVar(&dryRun, "dry-run", false, "define nothing; tell what would change, and what each change comes down to")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			source, err := a.readDefinition(file)
			if err != nil {
				return err
			}
			c, err := a.daemon(ctx)
			if err != nil {
				return err
			}
			resp, err := c.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: source, Strict: strict, ValidateOnly: dryRun})
			if err != nil {
				return failed(elsewise(unsure(err)), "Failed to define domain from %s", file)
			}
			a.warnAll(resp.GetWarnings())
			if dryRun {
				return a.showRehearsal(resp, file)
			}
			if a.notation != text {
				return a.show(resp.GetDomain())
			}
			a.extra("Domain '%s' defined from %s\n", resp.GetDomain().GetName(), file)
			return nil
		},
	}
}

// elsewise says what may have been meant when the name of a definition is that of a domain with another UUID.
func elsewise(err error) error {
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || e.Reason != davitv1.ErrorReason_ERROR_REASON_NAME_IN_USE || e.Detail["uuid"] == "" {
		return err
	}
	name, uuid := cell(e.Detail["domain"]), cell(e.Detail["uuid"])
	return &hinted{err, fmt.Sprintf("'edit %s' changes that domain; to define it anew from this file, give the file its uuid, %s", name, uuid)}
}
