package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domifGetlink() command {
	var name, iface string
	var config, persistent bool
	return command{
		name: "domif-getlink", help: "get link state of a virtual interface",
		operands: []operand{domainOperand(&name), interfaceOperand(&iface)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&persistent, "persistent", false, "the same as --config")
			f.BoolVar(&config, "config", false, "get persistent interface state")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			_, info, err := a.inspect(ctx, name, scope{config: config || persistent})
			if err != nil {
				return err
			}
			found, err := a.interfaceOf(ctx, info, iface)
			if err != nil {
				return err
			}
			state := "up"
			if found.GetLinkState() == davitv1.LinkState_LINK_STATE_DOWN {
				state = "down"
			}
			if a.notation != text {
				return a.show(object{{"interface", iface}, {"link", state}})
			}
			a.print("%s %s\n", cell(iface), state)
			return nil
		},
	}
}
