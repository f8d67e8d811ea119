package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/domain"
)

func (a *app) domstate() command {
	var name string
	var reason bool
	return command{
		name: "domstate", help: "domain state",
		operands: []operand{domainOperand(&name)},
		flags:    func(f *pflag.FlagSet) { f.BoolVar(&reason, "reason", false, "also print reason for the state") },
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			_, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			state, why := domain.StateWord(info.GetState()), domain.ReasonWord(info.GetReason())
			switch {
			case a.notation != text:
				return a.show(object{{"state", state}, {"reason", why}})
			case reason:
				a.paint(a.out, styleOf(info.GetState()), state)
				a.print(" (%s)\n", why)
			default:
				a.paint(a.out, styleOf(info.GetState()), state)
				a.print("\n")
			}
			return nil
		},
	}
}
