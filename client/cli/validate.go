package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/domain"
)

func (a *app) validate() command {
	var file string
	var lax bool
	return command{
		name: "validate", help: "check a definition; needs no daemon",
		operands: []operand{fileOperand(&file)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&lax, "lax", false, "elements and attributes that davit does not know are warnings, as in define")
		},
		run: func(_ context.Context, _ *pflag.FlagSet) error {
			source, err := a.readDefinition(file)
			if err != nil {
				return err
			}
			_, warnings, err := domain.Read(source, domain.ReadOptions{Strict: !lax})
			if err != nil {
				return failed(err, "%s fails to validate", file)
			}
			a.warnAll(warnings)
			a.extra("%s validates\n", file)
			return nil
		},
	}
}
