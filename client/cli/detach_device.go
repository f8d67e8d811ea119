package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
)

func (a *app) detachDevice() command {
	var name, file string
	var s deviceScope
	return command{
		name: "detach-device", help: "detach device from an XML file",
		operands:  []operand{domainOperand(&name), deviceFileOperand(&file)},
		flags:     s.flags,
		exclusive: deviceScopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			source, err := a.readDevice(file)
			if err != nil {
				return err
			}
			change := deviceChange{"Device detached successfully", "Failed to detach device from " + file, s, nil}
			return a.detach(ctx, name, client.ByDevice(source), change)
		},
	}
}

func (a *app) detachDeviceAlias() command {
	var name, alias string
	var s deviceScope
	return command{
		name: "detach-device-alias", help: "detach device from an alias",
		operands:  []operand{domainOperand(&name), {name: "alias", help: "device alias, as in dumpxml of a running domain", one: &alias}},
		flags:     func(f *pflag.FlagSet) { s.scope.flags(f, "affect") },
		exclusive: scopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			change := deviceChange{"Device detach request sent successfully", "Failed to detach device with alias " + alias, s, nil}
			return a.detach(ctx, name, client.ByAlias(alias), change)
		},
	}
}
